package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pushd/loadtest/mixture"
)

// TestTheDemoCatchesALostWake builds a pushd that tells itself that the one push of a certain device was accepted, and
// sends nothing. The demo's audit must see it: a check that cannot fail proves nothing.
func TestTheDemoCatchesALostWake(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a pushd")
	}
	const seed, events = 1, 2000
	victim := onePushOnly(t, mixture.New((&demoCmd{Events: events, Tenants: 50, Seed: seed}).mixture()))
	pushd := buildMutant(t, "../../dispatcher/lane.go",
		"\t\tdefault:\n\t\t\tl.credit[class]--\n",
		"\t\tcase w.name == "+fmt.Sprintf("%q", victim)+":\n\t\t\town = append(own, providers.Result{Ref: w, Outcome: providers.Accepted})\n"+
			"\t\tdefault:\n\t\t\tl.credit[class]--\n")
	demo := exec.Command(pushd, "demo", "--json", "--within=3s", fmt.Sprint("--seed=", seed), fmt.Sprint("--events=", events))
	var stdout, stderr bytes.Buffer
	demo.Stdout, demo.Stderr = &stdout, &stderr
	err := demo.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Fatalf("it ended with %v, not with exit code 1\n%s", err, stderr.String())
	}
	var result demoResult
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		t.Fatal(err)
	}
	if result.Lost != 1 {
		t.Errorf("lost: %d, want 1\n%s", result.Lost, stderr.String())
	}
	t.Logf("the audit says: %s", strings.TrimSpace(stderr.String()))
}

// onePushOnly finds a device with a single event, which wants a push.
func onePushOnly(t *testing.T, m *mixture.Mixture) string {
	t.Helper()
	records := map[string]int{}
	for _, r := range m.Records {
		records[r.Device]++
	}
	for _, r := range m.Records {
		if r.Want == mixture.Push && records[r.Device] == 1 && m.Faults[r.Token] == mixture.NoFault {
			_, name, _ := strings.Cut(r.Device, "/")
			return name
		}
	}
	t.Fatal("the mixture has no such device")
	return ""
}

// buildMutant builds pushd with one place of a source file changed.
func buildMutant(t *testing.T, file, from, to string) string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), from); n != 1 {
		t.Fatalf("%s has the place to change %d times, not once", file, n)
	}
	dir := t.TempDir()
	mutant, overlay, pushd := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "pushd")
	original, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(source), from, to, 1)
	if err := errors.Join(os.WriteFile(mutant, []byte(changed), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-overlay", overlay, "-o", pushd, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the mutant: %v\n%s", err, out)
	}
	return pushd
}
