package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestACommandLineThatIsWrongSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	all := "run, demo, simulate, check-config, config, dead, guard, partitions, hash-token, admin-token, version, help\n"
	noValue := "has no value; write one behind it"
	for line, want := range map[string]string{
		"":                              "pushd: a command is missing; there are: " + all,
		"bogus":                         `pushd: there is no command "bogus"; there are: ` + all,
		"chek-config":                   `there is no command "chek-config" (did you mean "check-config"?); there are: ` + all,
		"dead":                          "a command is missing; there are: list, show, replay, drop\n",
		"dead lst":                      `there is no command "lst" (did you mean "list"?); there are: list, show, replay, drop` + "\n",
		"help bogus":                    `there is no command "bogus"; there are: ` + all,
		"help dead lst":                 `there is no command "lst" (did you mean "list"?)`,
		"hash-token aabb":               "write tokens to its standard input, one a line\n",
		"dead list --tenant":            "--tenant: " + noValue,
		"dead list --since":             "--since: " + noValue,
		"dead list --limit -1":          "--limit: " + noValue,
		"dead list --limit=-1":          "--limit: -1 is below 0; 0 lists all\n",
		"demo --seed":                   "--seed: " + noValue,
		"config show --merge.interval":  "command line: merge.interval: " + noValue,
		"config show --rates.apns -5":   "command line: rates.apns: " + noValue,
		"config show --merge.interval=": `merge.interval: "" is not a duration`,
	} {
		got := pushd(nil, strings.Fields(line)...)
		if got.code != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("pushd %s: exit code %d, it does not say %q:\n%s%s", line, got.code, want, got.stdout, got.stderr)
		}
		if strings.Contains(got.stderr, "EOL") || strings.Contains(got.stderr, "aabb") {
			t.Errorf("pushd %s says:\n%s", line, got.stderr)
		}
	}
}

func TestHelpAndVersionAreFoundWhereverTheyAreLookedFor(t *testing.T) {
	t.Parallel()
	for line, same := range map[string]string{"help": "--help", "help run": "run --help", "help dead show": "dead show --help", "--version": "version"} {
		got, want := pushd(nil, strings.Fields(line)...), pushd(nil, strings.Fields(same)...)
		if got != want || got.code != exitOK || got.stdout == "" {
			t.Errorf("pushd %s: exit code %d, it is not as pushd %s:\n%s%s", line, got.code, same, got.stdout, got.stderr)
		}
	}
}

func TestHashTokenSaysThatItReadsStandardInput(t *testing.T) {
	t.Parallel()
	if got := pushd(nil, "hash-token", "--help"); !strings.Contains(got.stdout, "standard input, one a line") || !strings.Contains(got.stdout, "capitals included") {
		t.Errorf("its help is\n%s", got.stdout)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, controlName), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	p := &process{stdin: strings.NewReader("\n \n"), stdout: &stdout, stderr: &stderr, getenv: func(string) (string, bool) { return "", false }}
	if code := runIn(p, []string{"hash-token", "--store.dir=" + dir}); code != exitUsage || !strings.Contains(stderr.String(), "there was no token on standard input") {
		t.Errorf("nothing to hash: exit code %d, %s", code, stderr.String())
	}
}
