package main

import (
	"fmt"
	"io"
)

func (r *Result) passed() bool { return r.Passed }

// table prints the result for people.
func (r *Result) table(w io.Writer) error {
	fmt.Fprintf(w, "%s: scenario %s, seed %d, started %s\n%s\n\n", verdict(r.Passed), r.Scenario, r.Seed, r.Started, r.About)
	printFacts(w, r.facts())
	latency, timeline, swaps := r.latencySheet(), timelineSheet(r.Timeline), r.swapsSheet()
	if err := latency.print(w); err != nil {
		return err
	}
	printLine(w, r.Step, r.Timeline)
	if err := timeline.print(w); err != nil {
		return err
	}
	if err := swaps.print(w); err != nil {
		return err
	}
	r.printChecks(w)
	return nil
}

func verdict(passed bool) string {
	if passed {
		return "PASSED"
	}
	return "FAILED"
}

// facts are the sums.
func (r *Result) facts() []fact {
	return append([]fact{
		newFact(r.Rate.Intended, "events/s intended", "for %g s", r.Rate.Seconds),
		newFact(r.Rate.Published, "events/s published", "the latest %g ms behind its time, %g ms when acknowledged; %d records were not taken by the broker", r.Rate.BehindMS, r.Rate.AckedMS, r.Unpublished),
		newFact(r.Rate.Pushes, "pushes/s accepted", "the last promise was kept %g s after the last event", r.Rate.Drained),
		newFact(r.Events, "events", "published"),
		newFact(r.Pushes, "pushes", "accepted by the simulators"),
		newFact(r.TokensDead, "tokens dead", "reported; of them %d falsely", r.FalselyDead),
		newFact(r.DeadLetters, "dead letters", ""),
		newFact(r.Lost, "lost", "events that nothing came of %s", r.FirstLost),
		newFact(r.Extra, "extra", "pushes more than needed; %d are allowed", r.Allowed),
	}, usageFacts(&r.Daemon, &r.Machine, &r.Cost, &r.Scrapes, "events were published")...)
}

// usageFacts are what was used, and how it was watched.
func usageFacts(d *Daemon, m *Machine, c *Cost, s *Scrapes, while string) []fact {
	return []fact{
		newFact(d.CPUSeconds, "CPU seconds", "of the daemon while %s, %g cores, %g µs per push; %g s in all", while, d.Cores, d.PerPush, d.TotalCPU),
		newFact(d.PeakMB, "MB", "of the daemon resident at most; %g when it was ready, %g s after its start", d.ReadyMB, d.ReadyS),
		newFact(d.Known, "devices known", "by the daemon, at most"),
		newFact(m.Cores, "cores", "of this machine: while %s, %g for the load test itself, %g for others", while, m.Self, m.Others),
		newFact(c.Publisher, "µs per event", "of CPU for the publisher, and %g for the embedded broker; %g per push for the simulators; %g cores for the rest of the load test", c.Broker, c.Simulators, c.Rest),
		newFact(s.Count, "scrapes", "of at least %d; %d failed; worst pushd_accounting_imbalance %g", s.Least, s.Failed, s.WorstImbalance),
	}
}

func (r *Result) latencySheet() sheet {
	s := sheet{Title: "Latency in ms, from the intended time of an event to its push at the simulator", Head: []string{"of", "events", "p50", "p90", "p99", "p99.9", "max"}}
	for _, l := range r.Latency {
		s.add(l.Of, l.Events, l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	return s
}

func timelineSheet(timeline []Moment) sheet {
	s := sheet{Head: []string{"second", "intended/s", "published/s", "APNs/s", "FCM/s", "events", "p50 ms", "p99", "p99.9", "send ms", "open", "lag", "parked", "breakers", "MB", "cores", "test", "others"}}
	for _, m := range thin(timeline, rows) {
		s.add(m.Second, m.Intended, m.Published, m.APNs, m.FCM, m.Events, m.P50, m.P99, m.P999, m.SendMS, m.Open, m.Lag, m.Parked, m.Breakers, m.RSSMB, m.Cores, m.Self, m.Others)
	}
	return s
}

func (r *Result) swapsSheet() sheet {
	s := sheet{Title: "Certificates replaced", Head: []string{"tenant", "at s", "refused", "first push with it"}}
	for _, w := range r.Swaps {
		s.add(w.Tenant, w.AtS, w.Refused, w.seen())
	}
	return s
}

// printLine prints what the rows of the timeline say, at a glance.
func printLine(w io.Writer, step int, timeline []Moment) {
	var published, apns, fcm []float64
	for _, m := range thin(timeline, rows) {
		published, apns, fcm = append(published, m.Published), append(apns, m.APNs), append(fcm, m.FCM)
	}
	fmt.Fprintf(w, "\nThe run, as a line, and as rows of which each stands for %d s or several times that\npublished %s\nAPNs      %s\nFCM       %s\n\n",
		step, sparkline(published), sparkline(apns), sparkline(fcm))
}

func (r *Result) printChecks(w io.Writer) {
	fmt.Fprint(w, "\nExpected\n")
	for _, c := range r.Checks {
		verdict := "pass"
		if !c.Passed {
			verdict = "FAIL"
		}
		fmt.Fprintf(w, "%s  %s: %s; it is %s\n", verdict, c.What, c.Want, c.Got)
	}
	if doubt := r.Machine.doubt(); doubt != "" {
		fmt.Fprintf(w, "\n%s\n", doubt)
	}
}

// doubt says why a latency or a rate may say little of the daemon; empty where nothing speaks against them.
func (m Machine) doubt() string {
	if 4*m.Others <= float64(m.Cores) {
		return ""
	}
	return fmt.Sprintf("Others had %g of the %d cores: latencies and rates say little of the daemon.", m.Others, m.Cores)
}
