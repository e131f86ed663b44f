package main

import (
	"math"
	"testing"
	"time"
)

func TestATrendIsWhatTheValuesGrow(t *testing.T) {
	t.Parallel()
	var line, wave, late trend
	for i := range 100 {
		at := time.Duration(i) * time.Second
		line.add(at, 100+2*float64(i))
		wave.add(at, 50+10*float64(i%2))
		late.add(at, max(0, 10-float64(i)))
	}
	if got := line.growth(); math.Abs(got-198) > 1e-6 {
		t.Errorf("a line from 100 to 298 grows by %g", got)
	}
	if got := wave.growth(); math.Abs(got) > 1 {
		t.Errorf("what goes up and down grows by %g", got)
	}
	if all, got := late.growth(), late.after(20*time.Second).growth(); all > -1 || got != 0 {
		t.Errorf("what has come to rest after 20 s grows by %g, and in all by %g", got, all)
	}
	var saw trend
	for i := range 100 {
		saw.add(time.Duration(i)*time.Second, 50+float64(i%7)*float64(i)) // its teeth grow, and its floor does not
	}
	if all, got := saw.growth(), saw.floors(10*time.Second); all < 10 || len(got.at) != 10 || got.growth() != 0 {
		t.Errorf("of a saw that grows by %g the %d floors grow by %g", all, len(got.at), got.growth())
	}
	if got := line.after(98 * time.Second).mean(); got != 297 {
		t.Errorf("the last two are %g", got)
	}
}
