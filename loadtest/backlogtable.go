package main

import (
	"fmt"
	"io"

	"pushd/loadtest/plot"
)

func (b *Backlog) passed() bool { return b.Passed }

// table prints the result for people.
func (b *Backlog) table(w io.Writer) error {
	fmt.Fprintf(w, "%s: backlog of scenario %s, seed %d, started %s\n%s\n\n", verdict(b.Passed), b.Scenario, b.Seed, b.Started, b.About)
	printFacts(w, b.facts())
	printLine(w, b.Step, b.Timeline)
	timeline := timelineSheet(b.Timeline)
	if err := timeline.print(w); err != nil {
		return err
	}
	if doubt := b.Machine.doubt(); doubt != "" {
		fmt.Fprintf(w, "\n%s\n", doubt)
	}
	return nil
}

func (b *Backlog) facts() []fact {
	return append([]fact{
		newFact(b.Events, "events", "were there when the daemon started; they were published at %g/s", b.Published),
		newFact(b.Seconds, "s to catch up", "from when the daemon was ready"),
		newFact(b.PerSecond, "events/s", "settled in that time"),
		newFact(b.PushRate, "pushes/s", "accepted in that time; %d in all", b.Pushes),
		newFact(b.PerPush, "µs per push", "of CPU for the daemon in that time, %g per event", b.PerEvent),
		newFact(b.Lost, "lost", "events that nothing came of"),
		newFact(b.Falsely, "falsely dead", "tokens reported dead that are not"),
		newFact(b.Extra, "extra", "pushes more than needed; %d are allowed", b.Allowed),
	}, usageFacts(&b.Daemon, &b.Machine, &b.Cost, &b.Scrapes, "it caught up")...)
}

// page is what a browser shows.
func (b *Backlog) page() *page {
	return &page{
		Title: "Load test, backlog: " + b.Scenario, Passed: b.Passed, Head: fmt.Sprintf("%s, seed %d", b.Started, b.Seed), About: b.About, Doubt: b.Machine.doubt(),
		Facts: b.facts(), Plots: b.plots(),
	}
}

// plots are those of a run, but for the events and latencies: all events are of before it.
func (b *Backlog) plots() []*plot.Plot {
	s := curvesOf(b.Timeline)
	if s == nil {
		return nil
	}
	return []*plot.Plot{s.pushes(), s.waiting(), s.cpu(), s.memory()}
}

func (b *Backlog) kind() string { return "backlog" }

func (b *Backlog) setting() map[string]any {
	return map[string]any{"the scenario": b.Scenario, "the number of events": b.Events, "the number of cores": b.Machine.Cores}
}

func (b *Backlog) disturbed() string { return b.Machine.doubt() }

func (b *Backlog) measures() []measure {
	return []measure{
		low("events lost", float64(b.Lost)), low("tokens falsely reported dead", float64(b.Falsely)), low("pushes more than needed", float64(b.Extra)),
		high("events/s", b.PerSecond), high("pushes/s", b.PushRate), low("daemon: µs per push", b.PerPush), low("daemon: µs per event", b.PerEvent),
		low("daemon: MB at most", b.Daemon.PeakMB), low("daemon: seconds to be ready", b.Daemon.ReadyS), low("daemon: MB when ready", b.Daemon.ReadyMB),
		aside("load test: cores", b.Machine.Self), aside("others: cores", b.Machine.Others),
	}
}
