package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func written(t *testing.T, name string, res any) string {
	t.Helper()
	content, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func steadyResult() *Result {
	return &Result{
		Scenario: "steady", Rate: Rate{Intended: 100, Published: 100, Pushes: 80}, Latency: []Latency{{Of: "all", P50: 10, P99: 100, P999: 200, Max: 300}},
		Daemon: Daemon{PerPush: 50, Cores: 1, PeakMB: 80}, Timeline: []Moment{{Lag: 5}, {Lag: 0}},
	}
}

func TestWhatIsWorseBeyondTheThresholdIsMarked(t *testing.T) {
	t.Parallel()
	a, b := steadyResult(), steadyResult()
	b.Latency[0].P99, b.Latency[0].P50 = 111, 10.9 // 11 and 9 percent
	b.Rate.Published = 80                          // less is worse here
	b.Daemon.PerPush = 40
	b.Extra = 1 // there was none
	b.Rate.Pushes = 10
	b.Latency = append(b.Latency, Latency{Of: "fcm"})
	got := call("--compare", written(t, "a.json", a), written(t, "b.json", b), "--json")
	var c Comparison
	if err := json.Unmarshal([]byte(got.stdout), &c); err != nil || got.code != exitPassed {
		t.Fatalf("exit code %d, %v: %s", got.code, err, got.stderr)
	}
	marks := map[string]string{}
	for _, m := range c.Measures {
		if m.Mark != "" {
			marks[m.What] = m.Mark
		}
		if strings.HasPrefix(m.What, "fcm") && (m.A != nil || m.B == nil || m.Ratio != nil) {
			t.Errorf("%+v is in the second only", m)
		}
		if m.What == "all: p99 ms" && *m.Ratio != 1.11 || m.What == "pushes more than needed" && m.Ratio != nil {
			t.Errorf("%+v", m)
		}
	}
	want := map[string]string{"all: p99 ms": "worse", "events/s published": "worse", "pushes more than needed": "worse", "daemon: µs per push": "better"}
	if !reflect.DeepEqual(marks, want) || c.Worse != 3 || len(c.Doubts) != 0 {
		t.Errorf("%v, %d worse, doubts %v", marks, c.Worse, c.Doubts)
	}
	wide := call("--compare", "--threshold", "50%", c.A, c.B)
	if !strings.HasPrefix(wide.stdout, "1 worse by more than 50%") || !strings.Contains(wide.stdout, "all: p99 ms") {
		t.Error(wide.stdout, wide.stderr)
	}
}

func TestTwoRampsAreComparedByTheirHighestRates(t *testing.T) {
	t.Parallel()
	a := &RampResult{Scenario: "steady", Limit: theDaemon, Highest: 1000, Steps: []Step{{Asked: 1000, Held: true, P99: 80, PerPush: 50}}}
	b := &RampResult{Scenario: "burst", Limit: theMachine, Highest: 1500, Steps: []Step{{Asked: 1000, Held: true, P99: 40, PerPush: 30}, {Asked: 1500, Held: true, P99: 99, PerPush: 20}}}
	got := call("--compare", written(t, "a.json", a), written(t, "b.json", b))
	for _, want := range []string{"0 worse", "the scenario is steady in the first one, and burst", "who was at the limit is daemon", "highest events/s held   1000    1500    1.5  better"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is not in\n%s", want, got.stdout)
		}
	}
}

func TestAFileThatIsNoResultIsNotCompared(t *testing.T) {
	t.Parallel()
	result, ramp := written(t, "a.json", steadyResult()), written(t, "b.json", &RampResult{Steps: []Step{}})
	text := scenarioFile(t, smallest)
	for want, args := range map[string][]string{
		"no such file":            {result, "/nope/b.json"},
		"is not JSON":             {text, result},
		"is no result of the":     {result, written(t, "c.json", map[string]int{"a": 1})},
		"compare two of the same": {result, ramp},
		"needs two files":         {result},
	} {
		if got := call(append([]string{"--compare"}, args...)...); got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("%v: exit code %d: %s", args, got.code, got.stderr)
		}
	}
	if got := call(result); got.code != exitUsage || !strings.Contains(got.stderr, "with --compare") {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	if got := call("--compare", "--threshold", "x", result, result); got.code != exitUsage || !strings.Contains(got.stderr, "is no part from 0%") {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
}
