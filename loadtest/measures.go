package main

import (
	"fmt"
	"io"
)

func (r *Result) kind() string { return "scenario" }

func (r *Result) setting() map[string]any {
	return map[string]any{"the scenario": r.Scenario, "the rate in events per second": r.Rate.Intended, "the time in seconds": r.Rate.Seconds, "the number of cores": r.Machine.Cores}
}

func (r *Result) disturbed() string { return r.Machine.doubt() }

func (r *Result) measures() []measure {
	all := []measure{
		low("events lost", float64(r.Lost)), low("tokens falsely reported dead", float64(r.FalselyDead)), low("pushes more than needed", float64(r.Extra)),
		high("events/s published", r.Rate.Published), aside("pushes/s accepted", r.Rate.Pushes), low("seconds to the last promise", r.Rate.Drained),
	}
	for _, l := range r.Latency {
		all = append(all, low(l.Of+": p50 ms", l.P50), low(l.Of+": p99 ms", l.P99), low(l.Of+": p99.9 ms", l.P999), low(l.Of+": max ms", l.Max))
	}
	lag, open := 0.0, 0
	for _, m := range r.Timeline {
		lag, open = max(lag, m.Lag), max(open, m.Open)
	}
	return append(all,
		low("lag at most", lag), low("open at most", float64(open)),
		low("daemon: µs per push", r.Daemon.PerPush), low("daemon: cores", r.Daemon.Cores), low("daemon: MB at most", r.Daemon.PeakMB),
		aside("load test: cores", r.Machine.Self), aside("others: cores", r.Machine.Others))
}

func (r *RampResult) kind() string { return "ramp" }

func (r *RampResult) setting() map[string]any {
	return map[string]any{"the scenario": r.Scenario, "the bound of p99 in ms": r.BoundMS, "the time in seconds": r.HoldS, "who was at the limit": r.Limit}
}

// disturbed says nothing: a ramp says itself who ended it.
func (r *RampResult) disturbed() string { return "" }

// measures are the highest rate, and what was used at it; at rates that both ramps tried, the latency too.
func (r *RampResult) measures() []measure {
	all := []measure{high("highest events/s held", r.Highest)}
	if best := r.best(); best != nil {
		all = append(all, high("pushes/s at it", best.Pushes), low("daemon: µs per push at it", best.PerPush), low("daemon: MB at it", best.RSSMB))
	}
	for _, s := range r.ascending() {
		if s.P99 > 0 {
			at := fmt.Sprintf("at %g events/s: ", s.Asked)
			all = append(all, ofBoth(low(at+"p99 ms", s.P99)), ofBoth(low(at+"µs per push", s.PerPush)))
		}
	}
	return all
}

// passed is true: to be worse is no failure, as the machine can be the reason.
func (c *Comparison) passed() bool { return true }

func (c *Comparison) table(w io.Writer) error {
	fmt.Fprintf(w, "%d worse by more than %g%%\n\n", c.Worse, 100*c.Threshold)
	for _, d := range c.Doubts {
		fmt.Fprintf(w, "They are not alike: %s\n", d)
	}
	s := c.sheet()
	return s.print(w)
}

func (c *Comparison) sheet() sheet {
	s := sheet{Title: c.A + ", and " + c.B, Head: []string{"what", "first", "second", "ratio", "mark"}}
	number := func(n *float64) any {
		if n == nil {
			return "-"
		}
		return *n
	}
	for _, m := range c.Measures {
		s.add(m.What, number(m.A), number(m.B), number(m.Ratio), m.Mark)
	}
	return s
}

func (c *Comparison) page() *page {
	p := &page{Title: "Load test, comparison", Passed: true, Head: fmt.Sprintf("%d worse by more than %g%%", c.Worse, 100*c.Threshold), Sheets: []sheet{c.sheet()}}
	for _, d := range c.Doubts {
		p.Doubt += "They are not alike: " + d + " "
	}
	return p
}
