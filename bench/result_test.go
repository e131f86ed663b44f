package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; -update writes it anew. Got:\n%s", path, got)
	}
}

// measured is a result with figures that can be checked by hand: floor has 1000, 2000 and 3000 pushes in a second.
func measured() *result {
	pushed := func(key, name string, pushes ...int64) row {
		r := row{Key: key, Name: name}
		for _, n := range pushes {
			r.Samples = append(r.Samples, sample{Pushes: n, Took: time.Second, CPU: 4 * time.Millisecond, Simulator: 6 * time.Millisecond, RSS: 20_000_000})
		}
		return r
	}
	return &result{
		Date: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), Rounds: 3, Measure: time.Second,
		Machine: machine{CPU: "A CPU, 2100 MHz", Cores: 2, Memory: 24.5, Kernel: "Linux 6.1", Go: "go1.26", Commit: "abc123", Load: 0.07},
		Outcomes: []*outcome{{
			Title: "APNs", About: "Answers at once.", Against: []string{"floor", "absent"},
			Rows:  []row{pushed("floor", "floor", 3000, 1000, 2000), pushed("apns2", "apns2 loop", 500, 400, 250)},
			Notes: []string{"h2load is not installed."},
		}},
		Parts: []*goOutcome{{Name: "ledger", Title: "Ledger", About: "Look-ups.", Rows: []goRow{
			{Name: "Flush/known=1000000", Unit: "cpu-ns/outcome", Values: []float64{12.25, 11, 14}},
			{Name: "Flush/known=1000000", Unit: "disk-bytes/outcome", Values: []float64{0, 0, 0}},
			{Name: "Index", Unit: "ns/op", Values: []float64{1234567, 3.456, 170}},
		}}},
	}
}

func TestTheTablesForATerminalAndForAPage(t *testing.T) {
	t.Parallel()
	var text, page bytes.Buffer
	if err := errors.Join(measured().text(&text), measured().markdown(&page)); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/tables.txt", text.Bytes())
	golden(t, "testdata/page.md", page.Bytes())
}

func TestATableSaysWhereTheSimulatorsAreTooDear(t *testing.T) {
	t.Parallel()
	o := &outcome{Rows: []row{{Key: "floor_50ms", Samples: []sample{{Pushes: 1000, Took: time.Second, CPU: 2 * time.Millisecond, Simulator: 4 * time.Millisecond}}}}}
	if notes := o.sheet().notes; len(notes) != 0 {
		t.Errorf("twice the floor's: %q", notes)
	}
	o.Rows[0].Samples[0].Simulator++
	if notes := o.sheet().notes; len(notes) != 1 {
		t.Errorf("more than twice the floor's: %q", notes)
	}
}

func TestTheJSONHasAKeyForEachRow(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := measured().json(&out); err != nil {
		t.Fatal(err)
	}
	var got map[string]map[string]float64
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		key, figure string
		value       float64
	}{
		{"floor", "pushes_per_second", 2000}, {"floor", "pushes_per_second_min", 1000}, {"floor", "cpu_us_per_push", 2},
		{"apns2", "cpu_us_per_push", 10}, {"apns2", "simulator_cpu_us_per_push", 15}, {"apns2", "rss_mb", 20},
		{"ledger.Flush/known=1000000", "cpu-ns/outcome", 12.25}, {"ledger.Index", "ns/op", 170},
	} {
		if value, has := got[want.key][want.figure]; !has || value != want.value {
			t.Errorf("%s of %s is %v, want %v", want.figure, want.key, value, want.value)
		}
	}
	if len(got) != 4 {
		t.Errorf("got %s", out.Bytes())
	}
}

func TestWhatWasMeasuredIsToldThoughItIsZero(t *testing.T) {
	t.Parallel()
	ahead, pushed, acknowledged := 0.0, inTime{0, 0.5}, inTime{0.9, 1}
	s := sample{Pushes: 2000, Took: time.Second, CPU: time.Millisecond}
	queued, timed := s, s
	queued.Ahead = &ahead
	timed.PushLatency, timed.AckLatency = &pushed, &acknowledged
	for name, c := range map[string]struct {
		sample       sample
		told, untold []string
	}{
		"neither": {s, nil, []string{"within", "ahead"}},
		"queued":  {queued, []string{"events ahead |\n", " 0 |\n", `"events_ahead": 0`}, []string{"within"}},
		"timed": {timed, []string{
			"| % pushed within 10 ms | % acknowledged within 10 ms | % pushed within 50 ms | % acknowledged within 50 ms |\n",
			"| 0.00 | 90.00 | 50.00 | 100.00 |\n", `"within_10_ms": 0,`, `"acknowledged_within_10_ms": 0.9,`,
		}, []string{"ahead"}},
	} {
		r := &result{Outcomes: []*outcome{{Title: "Daemon", Rows: []row{{Key: "daemon", Name: "daemon", Samples: []sample{c.sample}}}}}}
		var out strings.Builder
		if err := errors.Join(r.markdown(&out), r.json(&out)); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.told {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is missing in\n%s", name, want, out.String())
			}
		}
		for _, not := range c.untold {
			if strings.Contains(out.String(), not) {
				t.Errorf("%s: %q is told in\n%s", name, not, out.String())
			}
		}
	}
}
