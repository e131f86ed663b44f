package main

import (
	"fmt"
	"io"
)

func (r *Result) kind() string { return "scenario" }

func (r *Result) setting() map[string]any {
	return map[string]any{"the scenario": r.Scenario, "the rate in events per second": r.Rate.Intended, "the time in seconds": r.Rate.Seconds, "the number of cores": r.Machine.Cores}
}

func (r *Result) measures() []measure {
	all := []measure{
		{"events lost", float64(r.Lost), less}, {"tokens falsely reported dead", float64(r.FalselyDead), less}, {"pushes more than needed", float64(r.Extra), less},
		{"events/s published", r.Rate.Published, more}, {"pushes/s accepted", r.Rate.Pushes, neither}, {"seconds to the last promise", r.Rate.Drained, less},
	}
	for _, l := range r.Latency {
		all = append(all, measure{l.Of + ": p50 ms", l.P50, less}, measure{l.Of + ": p99 ms", l.P99, less}, measure{l.Of + ": p99.9 ms", l.P999, less}, measure{l.Of + ": max ms", l.Max, less})
	}
	lag, open := 0.0, 0
	for _, m := range r.Timeline {
		lag, open = max(lag, m.Lag), max(open, m.Open)
	}
	return append(all,
		measure{"lag at most", lag, less}, measure{"open at most", float64(open), less},
		measure{"daemon: µs per push", r.Daemon.PerPush, less}, measure{"daemon: cores", r.Daemon.Cores, less}, measure{"daemon: MB at most", r.Daemon.PeakMB, less},
		measure{"load test: cores", r.Machine.Self, neither}, measure{"others: cores", r.Machine.Others, neither})
}

func (r *RampResult) kind() string { return "ramp" }

func (r *RampResult) setting() map[string]any {
	return map[string]any{"the scenario": r.Scenario, "the bound of p99 in ms": r.BoundMS, "the time in seconds": r.HoldS, "who was at the limit": r.Limit}
}

// measures are the highest rate, and what was used at it; at rates that both ramps tried, the latency too.
func (r *RampResult) measures() []measure {
	all := []measure{{"highest events/s held", r.Highest, more}}
	if best := r.best(); best != nil {
		all = append(all, measure{"pushes/s at it", best.Pushes, more}, measure{"daemon: µs per push at it", best.PerPush, less}, measure{"daemon: MB at it", best.RSSMB, less})
	}
	for _, s := range r.ascending() {
		if s.P99 > 0 {
			at := fmt.Sprintf("at %g events/s: ", s.Asked)
			all = append(all, measure{at + "p99 ms", s.P99, less}, measure{at + "µs per push", s.PerPush, less})
		}
	}
	return all
}

// passed is true: to be worse is no failure, as the machine can be the reason.
func (c *Comparison) passed() bool { return true }

func (c *Comparison) table(w io.Writer) error {
	fmt.Fprintf(w, "%d worse by more than %g%%\n\n", c.Worse, 100*c.Threshold)
	for _, d := range c.Doubts {
		fmt.Fprintf(w, "They are not alike: %s.\n", d)
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
		p.Doubt += "They are not alike: " + d + ". "
	}
	return p
}
