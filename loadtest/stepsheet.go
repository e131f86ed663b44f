package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"pushd/loadtest/plot"
)

func (r *RampResult) passed() bool { return r.Passed }

// table prints the ramp for people.
func (r *RampResult) table(w io.Writer) error {
	fmt.Fprintf(w, "%s: ramp of scenario %s, seed %d, started %s\n%s\n\n", verdict(r.Passed), r.Scenario, r.Seed, r.Started, r.About)
	printFacts(w, r.facts())
	steps, failed := r.stepsSheet(), r.failedSheet()
	if err := steps.print(w); err != nil {
		return err
	}
	return failed.print(w)
}

func (r *RampResult) facts() []fact {
	facts := []fact{newFact(r.Highest, "events/s held", "the highest rate at which 99%% had their push within %g ms, for %g s", r.BoundMS, r.HoldS)}
	if best := r.best(); best != nil {
		facts = append(facts,
			newFact(best.Pushes, "pushes/s", "accepted at that rate"),
			newFact(best.PerPush, "µs per push", "of CPU for the daemon at that rate, %g cores", best.Cores),
			newFact(best.RSSMB, "MB", "of the daemon resident at that rate"))
	}
	return append(facts, fact{r.Limit, "ended it", r.Ended})
}

// stepsSheet is a row for each step, from the lowest rate to the highest.
func (r *RampResult) stepsSheet() sheet {
	s := sheet{
		Title: "Steps; latency in ms from the intended time of an event to its push at the simulator",
		Head: []string{"events/s", "published", "pushes/s", "p50", "p99", "p99.9", "handed p99", "acked p99", "send", "cores", "µs/push", "test", "others", "MB", "lag",
			"lost", "false", "extra", "imbalance", "tries", "held", "by"},
	}
	for _, t := range r.ascending() {
		s.add(t.Asked, t.Published, t.Pushes, t.P50, t.P99, t.P999, t.BehindMS, t.AckedMS, t.SendMS, t.Cores, t.PerPush, t.Self, t.Others, t.RSSMB, t.Lag,
			t.Lost, t.Falsely, t.Extra, t.Imbalance, t.Tries, t.Held, t.Limit)
	}
	return s
}

func (r *RampResult) failedSheet() sheet {
	s := sheet{Title: "Why rates were not held", Head: []string{"events/s", "why"}}
	for _, t := range r.ascending() {
		if t.Why != "" {
			s.add(t.Asked, t.Why)
		}
	}
	return s
}

func (r *RampResult) ascending() []Step {
	return slices.SortedFunc(slices.Values(r.Steps), func(a, b Step) int { return cmp.Compare(a.Asked, b.Asked) })
}

// page is what a browser shows of the ramp.
func (r *RampResult) page() *page {
	return &page{
		Title: "Load test, ramp: " + r.Scenario, Passed: r.Passed, Head: fmt.Sprintf("%s, seed %d", r.Started, r.Seed), About: r.About,
		Facts: r.facts(), Plots: r.plots(), Sheets: []sheet{r.stepsSheet(), r.failedSheet()},
	}
}

// plots are by the rate asked for, of the steps that were played to their end.
func (r *RampResult) plots() []*plot.Plot {
	steps := slices.DeleteFunc(r.ascending(), func(s Step) bool { return s.P99 == 0 })
	if len(steps) < 2 {
		return nil
	}
	values := func(of func(*Step) float64) (all []float64) {
		for i := range steps {
			all = append(all, of(&steps[i]))
		}
		return all
	}
	at := values(func(s *Step) float64 { return s.Asked })
	draw := func(title, unit string, lines ...plot.Line) *plot.Plot {
		return &plot.Plot{Title: title, Unit: unit, X: "events per second asked for", At: at, Lines: lines}
	}
	line := func(name string, of func(*Step) float64) plot.Line { return plot.Line{Name: name, Y: values(of)} }
	latency := draw("Latency", "ms", line("p50", func(s *Step) float64 { return s.P50 }), line("p99", func(s *Step) float64 { return s.P99 }),
		line("p99.9", func(s *Step) float64 { return s.P999 }), plot.Line{Name: "bound of p99", Y: values(func(*Step) float64 { return r.BoundMS }), Bound: true})
	latency.Log = true
	return []*plot.Plot{
		latency,
		draw("Rate reached", "per second", line("events published", func(s *Step) float64 { return s.Published }), line("pushes accepted", func(s *Step) float64 { return s.Pushes })),
		draw("CPU", "cores", line("daemon", func(s *Step) float64 { return s.Cores }), line("load test", func(s *Step) float64 { return s.Self }), line("others", func(s *Step) float64 { return s.Others })),
		draw("CPU of the daemon for a push", "µs", line("daemon", func(s *Step) float64 { return s.PerPush })),
		draw("Memory of the daemon", "MB", line("resident, at most", func(s *Step) float64 { return s.RSSMB })),
		draw("Lag", "events", line("not read yet, at most", func(s *Step) float64 { return s.Lag })),
	}
}
