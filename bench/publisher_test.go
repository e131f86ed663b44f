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
	for events, kept := range map[int64]bool{1979: false, 1980: true, 2000: true, 2020: true, 2021: false} {
		err := p.checkRate(reading{moment: moment{At: at}, Published: published{Events: 500}}, reading{moment: moment{At: at.Add(2 * time.Second)}, Published: published{Events: 500 + events}})
		if kept != (err == nil) || err != nil && !strings.Contains(err.Error(), "should have been 1000") {
			t.Errorf("%d events in 2 s: %v", events, err)
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

func TestAnEventIsDueAtItsPlaceInTheRate(t *testing.T) {
	t.Parallel()
	p, began := publishing{Rate: 50}, time.Now()
	for n, want := range map[int64]time.Duration{0: 0, 1: 20 * time.Millisecond, 5_000_000: 100_000 * time.Second} {
		if got := p.due(began, n).Sub(began); got != want {
			t.Errorf("event %d is due after %v, want %v", n, got, want)
		}
	}
}
