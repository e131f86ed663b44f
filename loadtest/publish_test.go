package main

import (
	"errors"
	"testing"
	"time"

	"pushd/loadtest/promise"
)

func TestAnEventIsPublishedWhenTheBrokerSaysSo(t *testing.T) {
	t.Parallel()
	s := parsed(t, smallest+"    duplicates: 1\n")
	f := newFleet(s.Groups, 1)
	book := promise.New(promise.Config{Interval: s.Interval, Fleet: f.devices, Classes: providers, Lanes: providers, Longest: time.Minute})
	p := newPublisher(nil, "", newPlan(f, s.Duration, 1), book)
	p.start = time.Now().Add(-50 * time.Second)
	messages := p.take(nil, p.start, p.start.Add(s.Duration))
	if len(messages) != 300 || p.events.Load() != 150 || p.rate(s.Duration) != 0 {
		t.Fatalf("%d messages of %d events; %g/s before any is acknowledged", len(messages), p.events.Load(), p.rate(s.Duration))
	}
	p.completed(messages[:200], nil)
	p.completed(messages[200:], errors.New("the broker is away"))
	if rate := p.rate(s.Duration); rate < 1.9 || rate > 2 { // 100 events, and the last acknowledgement is after 50 s
		t.Errorf("%g/s, want 2", rate)
	}
	if rate := p.rate(100 * time.Second); rate != 1 {
		t.Errorf("%g/s of a plan that goes on, want 1", rate)
	}
	if p.acknowledged().Max < 49e3 || p.in(29) != 0 || book.Open() != 100 {
		t.Errorf("acknowledged within %g ms, %d in second 29, %d open", p.acknowledged().Max, p.in(29), book.Open())
	}
}

func TestAnEventThatIsAcknowledgedLateIsNotPublishedInTime(t *testing.T) {
	t.Parallel()
	for ms, want := range map[float64]bool{2999: true, 3000: false} {
		r := judged(t)
		passed := false
		for _, c := range r.judge(&Result{Rate: Rate{AckedMS: ms}}) {
			passed = passed || c.What == "events acknowledged in time" && c.Passed
		}
		if passed != want {
			t.Errorf("%g ms late: passed %v", ms, passed)
		}
	}
}
