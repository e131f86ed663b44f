package main

import (
	"testing"
	"time"

	"pushd/loadtest/promise"
	"pushd/loadtest/scrape"
)

// judged is a run of two tenants, both with Apple devices: a-0000 had 10 pushes in each of ten seconds, b-0000 had 20, each of
// them a second after its event.
func judged(t *testing.T) *run {
	t.Helper()
	s := parsed(t, `
duration: 10s
interval: 100ms
groups:
  - {name: a, devices: 1000, rate: 10, providers: {apns: 1}}
  - {name: b, devices: 1000, rate: 20, providers: {apns: 1}}
`)
	f := newFleet(s.Groups, 1)
	r := &run{scenario: s, fleet: f, scrapes: newScraper("nowhere")}
	r.book = promise.New(promise.Config{Interval: s.Interval, Fleet: f.devices, Classes: 2 * providers, Lanes: 2 * providers, Longest: time.Minute})
	start := time.Now()
	r.book.Begin(start)
	for second := range 10 {
		for i := range 30 {
			n := f.first[min(1, i/10)] + 30*second + i
			at := start.Add(time.Duration(second)*time.Second + time.Duration(i)*time.Millisecond)
			r.book.Publish(n, int64(n), at.Add(-time.Second), at)
			r.book.Accepted(n, at)
		}
	}
	r.scrapes.greatest = scrape.Values{"x": 3, "z_seconds_count": 1}
	return r
}

func TestAnExpectationIsMetOrNot(t *testing.T) {
	t.Parallel()
	r := judged(t)
	three := 3.0
	four := 4.0
	rate := func(e ExpectRate) Check { e.For = 10 * time.Second; return r.judgeRate(e) }
	latency := func(e ExpectLatency) Check { return r.judgeLatency(e)[0] }
	for what, c := range map[string]struct {
		check Check
		want  bool
	}{
		"a group's rate":            {rate(ExpectRate{Group: "a", Is: 10, Within: 0.01}), true},
		"a group's events":          {rate(ExpectRate{Group: "b", Within: 0.01}), true},
		"both groups' rate":         {rate(ExpectRate{Provider: "apns", Is: 30, Within: 0.01}), true},
		"too low a rate":            {rate(ExpectRate{Group: "a", Is: 11, Within: 0.05}), false},
		"too high a rate":           {rate(ExpectRate{Group: "a", Is: 9, Within: 0.05}), false},
		"a low rate, but near":      {rate(ExpectRate{Group: "a", Is: 11, Within: 0.1}), true},
		"nothing of a provider":     {rate(ExpectRate{Provider: "fcm", Is: 1, Within: 0.5}), false},
		"a latency":                 {latency(ExpectLatency{P99: 1100 * time.Millisecond}), true},
		"the longest latency":       {latency(ExpectLatency{Group: "b", Max: 900 * time.Millisecond}), false},
		"a latency of none":         {latency(ExpectLatency{Provider: "fcm", P50: time.Second}), false},
		"a share of one":            {r.judgeShares(ExpectShare{Group: "a", For: 10 * time.Second, Within: 0.01}), true},
		"a share of nothing":        {r.judgeShares(ExpectShare{Group: "a", After: 20 * time.Second, For: time.Second, Within: 0.5}), false},
		"a metric within bounds":    {r.judgeMetric(ExpectMetric{Name: "x", Min: &three, Max: &three}), true},
		"a metric below its least":  {r.judgeMetric(ExpectMetric{Name: "x", Min: &four}), false},
		"a metric that is unknown":  {r.judgeMetric(ExpectMetric{Name: "y", Min: &three}), false},
		"an unknown one, at most":   {r.judgeMetric(ExpectMetric{Name: "y", Max: &three}), false},
		"a histogram, at most":      {r.judgeMetric(ExpectMetric{Name: "z_seconds", Max: &three}), false},
		"more pushes than allowed":  {atMost("pushes", 0, 1), false},
		"as many pushes as allowed": {atMost("pushes", 1, 1), true},
	} {
		if c.check.Passed != c.want {
			t.Errorf("%s: %+v", what, c.check)
		}
	}
}

func TestAShareIsUnfairToTheOneWhoGetsLess(t *testing.T) {
	t.Parallel()
	r := judged(t)
	r.fleet.owner = []int{0, 0} // both tenants are of group a now
	for _, c := range []struct {
		within float64
		want   bool
	}{{0.3, false}, {0.34, true}} {
		if check := r.judgeShares(ExpectShare{Group: "a", For: 10 * time.Second, Within: c.within}); check.Passed != c.want {
			t.Errorf("within %v: %+v", c.within, check)
		}
	}
}
