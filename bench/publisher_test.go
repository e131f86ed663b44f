package main

import (
	"strings"
	"testing"
	"time"
)

func TestAnAcknowledgementCountsWithinItsBound(t *testing.T) {
	t.Parallel()
	var a acknowledgements
	for _, took := range []time.Duration{0, 10 * time.Millisecond, 10*time.Millisecond + 1, 50 * time.Millisecond, time.Second} {
		a.add(took)
	}
	if got, want := a.latency(), (latency{5, [2]float64{2, 4}}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestARateIsKeptToAHundredth(t *testing.T) {
	t.Parallel()
	p := publishing{Rate: 1000}
	at := time.Now()
	for published, kept := range map[float64]bool{1979: false, 1980: true, 2000: true, 2020: true, 2021: false} {
		err := p.kept(reading{moment: moment{At: at}, AckLatency: latency{All: 500}}, reading{moment: moment{At: at.Add(2 * time.Second)}, AckLatency: latency{All: 500 + published}})
		if kept != (err == nil) || err != nil && !strings.Contains(err.Error(), "should have been 1000") {
			t.Errorf("%g events in 2 s: %v", published, err)
		}
	}
}

func TestEventsAreAheadOfPushesByTheDead(t *testing.T) {
	t.Parallel()
	for events := int64(deadEvery); events <= 10*deadEvery; events += deadEvery {
		if got := eventsOf(events - events/deadEvery); got != events {
			t.Errorf("%d pushes of %d events are %d", events-events/deadEvery, events, got)
		}
	}
}

func TestLatencyIsToldWhereItWasMeasured(t *testing.T) {
	t.Parallel()
	s := sample{Pushes: 2000, Took: time.Second, CPU: time.Millisecond, Ahead: 123, PushLatency: inTime{0, 0.5}, AckLatency: inTime{0.9, 1}}
	o := &outcome{Title: "At a rate", Rows: []row{{Key: "timed", Name: "timed", Samples: []sample{s}}}}
	var out strings.Builder
	r := &result{Outcomes: []*outcome{o}}
	if err := r.markdown(&out); err != nil {
		t.Fatal(err)
	}
	if err := r.json(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"events ahead | % pushed within 10 ms | % acknowledged within 10 ms | % pushed within 50 ms | % acknowledged within 50 ms",
		"123 | 0.00 | 90.00 | 50.00 | 100.00", `"within_10_ms": 0,`, `"acknowledged_within_10_ms": 0.9,`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	s.PushLatency, s.AckLatency = inTime{}, inTime{}
	o.Rows[0].Samples[0] = s
	out.Reset()
	if err := r.json(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "within") {
		t.Errorf("what was not measured is told:\n%s", out.String())
	}
}
