package main

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"pushd/loadtest/mixture"
)

func TestTheDemoShowsThatOthersDoNotWaitForANoisyTenantAndThatAHoldEndsByItself(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	demo := demoCmd{Events: 4000, Tenants: 10, Seed: 7, JSON: true, Within: patience}
	if err := demo.Run(&process{stdout: &out, stderr: io.Discard}); err != nil {
		t.Fatal(err)
	}
	var r demoResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if r.Seed != 7 || r.TimedOut || r.Events != 4000 || r.Lost != 0 || r.ExtraPushes != 0 || r.Held != 0 {
		t.Errorf("seed %d, timed out %t: of %d events, %d are lost and %d held; %d pushes are too many", r.Seed, r.TimedOut, r.Events, r.Lost, r.Held, r.ExtraPushes)
	}
	if r.Noisy.Events < 1500 || r.Others.Events < 500 || 2*r.Others.LatencyMS.P50 > r.Noisy.LatencyMS.P50 {
		t.Errorf("the noisy tenant: %+v; the others: %+v", r.Noisy, r.Others)
	}
	// The hold ends long before its probe, and soon after the files were replaced.
	if h := r.Refused; h.Held == 0 || h.Reason != "BadCertificateEnvironment" || h.SeenMS < 0 || h.PushedMS < h.SeenMS {
		t.Errorf("the refused tenant: %+v", h)
	}
	t.Logf("%+v", r)
}

func TestTheDemoRefusesWhatShowsNothing(t *testing.T) {
	t.Parallel()
	for arg, bound := range map[string]string{
		"--events=0": "at least 5", "--events=4": "at least 5", "--events=-1": "at least 5", "--tenants=2": "at least 3", "--tenants=-1": "at least 3",
		"--within=0s": "at least 1s", "--within=999ms": "at least 1s", "--within=-1m": "at least 1s",
	} {
		if got := pushd(nil, "demo", arg); got.code != exitUsage || !strings.Contains(got.stderr, arg) || !strings.Contains(got.stderr, bound) {
			t.Errorf("%s: %+v", arg, got)
		}
	}
	if err := (&demoCmd{Events: 5, Tenants: 3, Within: time.Second}).Validate(); err != nil {
		t.Error(err)
	}
}

// The fewest that are taken are published to their end: no burst is empty.
func TestTheSmallestDemoHasAllItPublishes(t *testing.T) {
	t.Parallel()
	load := mixture.New((&demoCmd{Events: leastEvents, Tenants: 3, Seed: 1}).mixture())
	if len(load.Bursts) != 2 || len(load.Bursts[0]) == 0 || len(load.Bursts[1]) == 0 || len(load.Records) == 0 {
		t.Errorf("%d records, bursts %v", len(load.Records), load.Bursts)
	}
}

func TestTheDemoTellsWhatWasTooLateFromWhatIsLost(t *testing.T) {
	t.Parallel()
	late := demoResult{Seed: 9, Events: 10, Wakes: 6, open: 1, Lost: 4, TimedOut: true, lost: []string{"e-1"}, within: time.Second}
	for _, part := range []string{"4 of 10 events were not settled within 1s", "--within", "pushd still had 4 records to settle", "seed 9"} {
		if err := late.fault(); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("too late: %v does not say %q", err, part)
		}
	}
	lost := late
	lost.Wakes, lost.open = 10, 0
	if err := lost.fault(); err == nil || !strings.Contains(err.Error(), "lost 4 of 10 events with seed 9") {
		t.Errorf("lost: %v", err)
	}
	var table strings.Builder
	if err := late.table(&table); err != nil || !strings.Contains(table.String(), "should have, 1s after the last was published") {
		t.Errorf("%v\n%s", err, table.String())
	}
}

func TestTheDemoTellsNothingOfAHoldThatWasNone(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		refused refused
		block   bool
		lines   int
	}{
		{refused{Tenant: "tenant-002", SeenMS: -1}, false, 0},
		{refused{Tenant: "tenant-002", Reason: "BadCertificateEnvironment", Held: 3, SeenMS: -1}, true, 0},
		{refused{Tenant: "tenant-002", Reason: "BadCertificateEnvironment", Held: 3, SeenMS: 700, PushedMS: 900}, true, 2},
	} {
		var table strings.Builder
		if err := (&demoResult{Refused: row.refused}).table(&table); err != nil {
			t.Fatal(err)
		}
		block, lines := strings.Contains(table.String(), "whose certificate was refused"), strings.Count(table.String(), "ms later")
		if block != row.block || lines != row.lines || strings.Contains(table.String(), "-1") {
			t.Errorf("of %+v it tells\n%s", row.refused, table.String())
		}
	}
}

// Exit code 1 is an event that was lost; who does not wait has lost none.
func TestAnInterruptedDemoSaysThatItMadeNoAudit(t *testing.T) {
	t.Parallel()
	demo := startChild(t, "demo", "demo", "--events=100000", "--tenants=3", "--seed=7")
	eventually(t, "it wakes", func() bool { return demo.said("of 100000 events: woken") != "" }, demo)
	demo.tell(syscall.SIGINT)
	if code := demo.exit(t); code != exitInterrupted {
		t.Errorf("it ended with exit code %d", code)
	}
	if end := demo.lines(1); len(end) != 1 || !regexp.MustCompile(`^pushd: interrupted after [1-9]\d* of 100000 events; no audit was made$`).MatchString(end[0]) {
		t.Errorf("its last words are %q", end)
	}
	told, err := json.Marshal(&interruptedError{Interrupted: true, Seed: 7, Published: 3, Events: 10})
	if err != nil || string(told) != `{"interrupted":true,"seed":7,"published":3,"events":10}` {
		t.Errorf("as JSON it is %s, %v", told, err)
	}
}

func TestTheDemosProgressFitsWhatItIsWrittenTo(t *testing.T) {
	t.Parallel()
	began := time.Now()
	var elsewhere bytes.Buffer
	p := newDemoProgress(&elsewhere, 1000, onTerminal(&elsewhere), began)
	for ms := 1; ms <= 11_000; ms += 250 {
		p.set(ms/11, began.Add(time.Duration(ms)*time.Millisecond))
	}
	p.end()
	if want := "454 of 1000 events: woken, 91 events/s\n909 of 1000 events: woken, 91 events/s\n"; elsewhere.String() != want {
		t.Errorf("without a terminal it writes %q, want %q", elsewhere.String(), want)
	}
	var terminal bytes.Buffer
	p = newDemoProgress(&terminal, 1000, true, began)
	p.set(900, began.Add(time.Microsecond))
	if got := terminal.String(); !strings.Contains(got, "\rwoken") || strings.Contains(got, "/s") {
		t.Errorf("on a terminal it begins with %q", got)
	}
	p.set(950, began.Add(2*time.Second))
	p.end()
}
