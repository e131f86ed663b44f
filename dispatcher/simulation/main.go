// Command simulation plays the engine's simulation (dispatcher/simulation_test.go) with many seeds, and then with each of
// the mutants: faults of a known kind that are put into a copy of the real source. A seed that breaks a promise, a mutant that
// breaks none, or a rare state that was never reached: each of them fails the run.
//
//	go run ./dispatcher/simulation -seeds 20000
//	go run ./dispatcher/simulation -seed 7                          the history of one seed
//	go run ./dispatcher/simulation -seed 7 -mutant flight-drops     what a mutant makes of it
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// mutantSeeds is how many seeds a mutant may survive, at most. Most do not survive ten.
const mutantSeeds = 20_000

func main() {
	seeds := flag.Int("seeds", 20_000, "play the seeds below this one")
	seed := flag.Int("seed", -1, "show the history of this seed instead")
	only := flag.String("mutant", "", "play this mutant alone")
	flag.Parse()
	if err := run(os.Stdout, *seeds, *seed, *only); err != nil {
		if err != errBroken {
			fmt.Fprintln(os.Stderr, "simulate:", err)
		}
		os.Exit(1)
	}
}

// errBroken has been explained by what was printed.
var errBroken = errors.New("the simulation failed; see above")

func run(out io.Writer, seeds, seed int, only string) error {
	if seeds < 1 {
		return fmt.Errorf("of %d seeds none can be played; give a number from 1 on", seeds)
	}
	dir, err := os.MkdirTemp("", "pushd-simulation")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the module's folder: %w", err)
	}
	b := builder{root: strings.TrimSpace(string(root)), dir: dir}
	mutants, err := readMutants(only)
	if err != nil {
		return err
	}
	if seed >= 0 {
		return b.show(out, seed, mutants, only)
	}
	began := time.Now()
	engine, err := b.build("pushd", "")
	if err != nil {
		return err
	}
	mutated, err := b.buildMutants(mutants)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "compiled the engine, and the engine with %d mutants, in %.0f s\n", len(mutants), time.Since(began).Seconds())
	began = time.Now()
	original := play(out, engine, seeds, "")
	fmt.Fprintf(out, "played seeds 0 to %d in %.0f s\n", seeds-1, time.Since(began).Seconds())
	began = time.Now()
	killed := hunt(out, mutants, mutated, seeds)
	fmt.Fprintf(out, "played the mutants in %.0f s\n", time.Since(began).Seconds())
	fmt.Fprintf(out, "seeds %d violations %d mutants killed %d of %d sometimes reached %d of %d\n",
		original.played, original.violations, killed, len(mutants), original.reached, original.rare)
	if original.err != nil || original.violations > 0 || original.played < seeds || killed < len(mutants) || original.reached < original.rare {
		return errBroken
	}
	return nil
}

// hunt plays the mutants, as many at a time as there are cores to play them, and returns how many were found.
func hunt(out io.Writer, mutants []mutant, binary string, seeds int) int {
	var killed atomic.Int64
	var mu sync.Mutex // guards the output
	var wait sync.WaitGroup
	slots := make(chan struct{}, 2)
	for _, m := range mutants {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			o := play(out, binary, min(max(seeds, 200), mutantSeeds), m.name)
			mu.Lock()
			defer mu.Unlock()
			if o.violations == 0 {
				fmt.Fprintf(out, "SURVIVED %-24s %s\n", m.name, m.breaks)
				return
			}
			killed.Add(1)
			fmt.Fprintf(out, "killed   %-24s %s\n", m.name, o.first)
		})
	}
	wait.Wait()
	return int(killed.Load())
}

// outcome is what a test binary says of its seeds.
type outcome struct {
	played, violations, reached, rare int
	first                             string // the first violation, of a mutant
	err                               error
}

// play plays seeds with a test binary, as it is or as a mutant. Of a mutant only the first violation is wanted.
func play(out io.Writer, binary string, seeds int, mutant string) (o outcome) {
	isMutant := mutant != ""
	cmd := exec.Command(binary, "-test.run", "^TestSimulate$", "-test.timeout", "30m", "-simulate.seeds", fmt.Sprint(seeds))
	cmd.Env = append(os.Environ(), "GOGC=400")
	if isMutant {
		cmd.Args = append(cmd.Args, "-simulate.mutant")
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1", mutantVariable+"="+mutant)
	}
	cmd.Stderr = os.Stderr
	printed, err := cmd.StdoutPipe()
	if err != nil {
		return outcome{err: err}
	}
	if err := cmd.Start(); err != nil {
		return outcome{err: err}
	}
	for lines := bufio.NewScanner(printed); lines.Scan(); {
		line, ours := strings.CutPrefix(lines.Text(), "simulate: ")
		n, _ := fmt.Sscanf(line, "seeds %d violations %d reached %d of %d", &o.played, &o.violations, &o.reached, &o.rare)
		switch {
		case ours && n == 4:
		case ours && isMutant && o.first == "":
			o.first = line
		case !isMutant && line != "PASS" && line != "FAIL":
			fmt.Fprintln(out, line)
		}
	}
	o.err = cmd.Wait()
	return o
}

// builder compiles the simulation.
type builder struct {
	root string // of the module
	dir  string // for what it makes
}

// buildMutants compiles one binary that plays any of the mutants.
func (b *builder) buildMutants(mutants []mutant) (string, error) {
	overlay, err := b.overlay(mutants)
	if err != nil {
		return "", err
	}
	return b.build("mutants", overlay)
}

func (b *builder) build(name, overlay string) (string, error) {
	binary := filepath.Join(b.dir, name+".test")
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, "./dispatcher")
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile %s: %w\n%s", name, err, out)
	}
	return binary, nil
}

// show shows the history of one seed: of the engine as it is, or of a mutant.
func (b *builder) show(out io.Writer, seed int, mutants []mutant, mutant string) error {
	binary, err := b.build("pushd", "")
	if mutant != "" {
		binary, err = b.buildMutants(mutants)
	}
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, "-test.run", "^TestSimulate$", "-simulate.show", "-simulate.seed", fmt.Sprint(seed))
	cmd.Env = append(os.Environ(), mutantVariable+"="+mutant)
	cmd.Stderr = os.Stderr
	printed, err := cmd.Output()
	history, _, _ := strings.Cut(string(printed), "\n--- FAIL") // what follows is the test's, and says nothing more
	history = strings.TrimSuffix(strings.TrimSpace(history), "\nPASS")
	if mutant != "" && err != nil {
		history += " MUTANT=" + mutant
	}
	fmt.Fprintln(out, history)
	if err != nil {
		return errBroken
	}
	return nil
}
