package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestADamagedLedgerIsSetAsideWhereItsWakesAreElsewhereToo damages the ledger of a daemon that is not running: with
// retry.durability=local the next one refuses it, with replicated it begins a new one and keeps the old.
func TestADamagedLedgerIsSetAsideWhereItsWakesAreElsewhereToo(t *testing.T) {
	t.Parallel()
	p := embeddedPlay(t, 200, 8)
	first := p.daemon("daemon")
	p.publish(p.load.Records, 0)
	p.settled(len(p.load.Records))
	first.stop(t)
	p.daemons = nil
	manifests, err := filepath.Glob(filepath.Join(p.ledger("daemon"), "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no manifest: %v", err)
	}
	for _, path := range manifests {
		if err := os.Truncate(path, 10); err != nil {
			t.Fatal(err)
		}
	}

	refused := p.daemon("daemon", "--retry.durability=local")
	if code := refused.exit(t); code != exitFailed || refused.said("put back a copy of the directory") == "" {
		t.Errorf("local: exit code %d, want %d, and a word of how to go on", code, exitFailed)
	}
	p.daemons = nil
	again := p.daemon("daemon", "--retry.durability=replicated")
	again.ready(t)
	if again.said("it is damaged and was set aside") == "" || again.metric(t, "pushd_ledger_set_aside_total") != 1 {
		t.Error("replicated: it does not say what it did")
	}
	if _, err := os.Stat(filepath.Join(p.ledger("daemon")+".damaged.1", filepath.Base(manifests[0]))); err != nil {
		t.Errorf("replicated: the damaged ledger is not kept: %v", err)
	}
	p.judge(0)
	again.stop(t)
}
