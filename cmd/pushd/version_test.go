package main

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

func TestVersionTellsVersionCommitAndToolchain(t *testing.T) {
	t.Parallel()
	got := pushd(nil, "version", "--json")
	var b build
	if err := json.Unmarshal([]byte(got.stdout), &b); err != nil || got.code != exitOK {
		t.Fatalf("exit code %d, %q: %v", got.code, got.stdout, err)
	}
	if b.Go != runtime.Version() || b.Version == "" || b.Commit == "" {
		t.Errorf("build is %+v", b)
	}
	if plain := pushd(nil, "version").stdout; !strings.HasPrefix(plain, "pushd "+b.Version+" (commit "+b.Commit) {
		t.Errorf("plain version is %q", plain)
	}
}
