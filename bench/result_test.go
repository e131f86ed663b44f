package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
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
		Date: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
		Outcomes: []*outcome{{
			Title: "APNs", About: "Answers at once.", Against: []string{"floor", "absent"},
			Rows:  []row{pushed("floor", "floor", 3000, 1000, 2000), pushed("apns2", "apns2 loop", 500, 400, 250)},
			Notes: []string{"h2load is not installed."},
		}},
	}
}

func TestTheTableForATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := measured().text(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/table.txt", out.Bytes())
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
	floor, apns2 := got["floor"], got["apns2"]
	if len(got) != 2 || floor["pushes_per_second"] != 2000 || floor["cpu_us_per_push"] != 2 || floor["pushes_per_second_min"] != 1000 || apns2["cpu_us_per_push"] != 10 || apns2["simulator_cpu_us_per_push"] != 15 {
		t.Errorf("got %s", out.Bytes())
	}
}
