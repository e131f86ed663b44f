package main

import (
	"testing"
	"time"
)

func TestASpreadHasItsMedianInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{7}, spread{7, 7, 7}},
		{[]float64{9, 1, 2}, spread{2, 1, 9}},
		{[]float64{4, 1, 3, 2}, spread{2.5, 1, 4}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.values, got, c.want)
		}
	}
}

func TestASampleIsByThePush(t *testing.T) {
	t.Parallel()
	s := sample{Pushes: 4000, Took: 2 * time.Second, CPU: 20 * time.Millisecond, Simulator: 8 * time.Millisecond, RSS: 3_500_000}
	if s.rate() != 2000 || s.cpuMicros() != 5 || s.simMicros() != 2 || s.megabytes() != 3.5 {
		t.Errorf("%g/s, %g us, %g us, %g MB", s.rate(), s.cpuMicros(), s.simMicros(), s.megabytes())
	}
}

func TestASampleIsWhatLiesBetweenTwoReadings(t *testing.T) {
	t.Parallel()
	start := time.Now()
	begin := reading{moment{Accepted: 100, At: start, CPU: time.Second, RSS: 5_000_000}, 3 * time.Second, latency{}, published{}}
	end := reading{moment{Accepted: 400, At: start.Add(2 * time.Second), CPU: 4 * time.Second, RSS: 6_000_000}, 8 * time.Second, latency{}, published{}}
	want := sample{Pushes: 300, Took: 2 * time.Second, CPU: 3 * time.Second, Simulator: 5 * time.Second, RSS: 6_000_000}
	if got := between(begin, end); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSharesAreOfTheEventsBetweenTwoReadings(t *testing.T) {
	t.Parallel()
	begin, end := latency{100, [2]float64{90, 99}}, latency{400, [2]float64{240, 399}}
	if got, want := end.since(begin), (inTime{0.5, 1}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := begin.since(begin); got != (inTime{}) {
		t.Errorf("of no event: %v", got)
	}
}
