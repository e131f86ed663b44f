package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestSimulateAsItIsSeen compiles the simulation and runs it as make simulate does: with a mutant, and then once more with the
// seed that killed it.
func TestSimulateAsItIsSeen(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it compiles the engine three times")
	}
	const mutant = "settled-twice"
	killedBy := seen(t, 20, -1, mutant,
		`compiled the engine, and the engine with 1 mutants, in \d+ s`,
		`never reached: .+`, // 20 seeds are too few for all
		`\d+ pushes needed, \d+ to wake again .+`,
		`played seeds 0 to 19 in \d+ s`,
		`killed   settled-twice +seed (\d+): .+`,
		`seeds 20 violations 0 mutants killed 1 of 1 sometimes reached \d+ of \d+`,
	)
	seed, err := strconv.Atoi(killedBy)
	if err != nil {
		t.Fatal(err)
	}
	seen(t, 1, seed, mutant,
		`seed `+killedBy+`: .+`,
		`shrunk from \d+ to \d+ items: .+`,
		` +time +step  what happens`,
		` +[\d.]+m?s +\d+  VIOLATION .+`,
		`again: make simulate SEED=`+killedBy+` MUTANT=settled-twice`,
	)
}

// seen runs the simulation, which is to fail, and wants these lines among what it prints, in this order, the last at its end. It
// returns what stood in parentheses.
func seen(t *testing.T, seeds, seed int, mutant string, want ...string) (found string) {
	t.Helper()
	var out strings.Builder
	if err := run(&out, seeds, seed, mutant); err != errBroken {
		t.Fatalf("error %v:\n%s", err, out.String())
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	at := -1
	for i, line := range want {
		form := regexp.MustCompile("^" + line + "$")
		if at++; i == len(want)-1 {
			at = len(lines) - 1
		}
		for at < len(lines) && !form.MatchString(lines[at]) {
			at++
		}
		if at == len(lines) {
			t.Fatalf("nothing is like %q in its place:\n%s", line, out.String())
		}
		if parts := form.FindStringSubmatch(lines[at]); len(parts) > 1 {
			found = parts[1]
		}
	}
	return found
}

func TestThereIsSomethingToPlay(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"from 1 on":               run(&strings.Builder{}, 0, -1, ""),
		`there is no mutant "no"`: run(&strings.Builder{}, 1, -1, "no"),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
