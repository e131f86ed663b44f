package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The shortest measurement of each contender, in this process: what it is told to push to accepts all of it.
func TestEachContenderPushes(t *testing.T) {
	t.Parallel()
	s, err := startSimulators(simulation{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	for name, contender := range contenders {
		var out bytes.Buffer
		j := job{
			Contender: name, Ground: s.ground, Connections: 2, Streams: 20, Workers: 10,
			WarmUp: 200 * time.Millisecond, Measure: 50 * time.Millisecond,
		}
		if err := measure(t.Context(), contender, &j, json.NewEncoder(&out)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var begin, end moment
		decoder := json.NewDecoder(&out)
		if err := decoder.Decode(&begin); err != nil {
			t.Fatal(err)
		}
		if err := decoder.Decode(&end); err != nil {
			t.Fatal(err)
		}
		if end.Accepted <= begin.Accepted || !end.At.After(begin.At) || end.CPU <= begin.CPU || end.RSS == 0 {
			t.Errorf("%s: from %+v to %+v", name, begin, end)
		}
	}
}

func TestAContenderThatFailsIsNotMeasured(t *testing.T) {
	t.Parallel()
	s, err := startSimulators(simulation{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil { // nobody listens any more
		t.Fatal(err)
	}
	j := job{Contender: "floor", Ground: s.ground, Connections: 1, Streams: 1, WarmUp: time.Minute, Measure: time.Minute}
	var out bytes.Buffer
	if err := measure(t.Context(), floor, &j, json.NewEncoder(&out)); err == nil || !strings.Contains(err.Error(), "floor ended before its time") {
		t.Errorf("got %v", err)
	}
	if err := contend(t.Context(), strings.NewReader(`{"Contender":"none"}`), &out); err == nil || !strings.Contains(err.Error(), `no contender "none"`) {
		t.Errorf("got %v", err)
	}
}
