package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table prints the result for people.
func (r *Result) table(w io.Writer) error {
	verdict := "PASSED"
	if !r.Passed {
		verdict = "FAILED"
	}
	fmt.Fprintf(w, "%s: scenario %s, seed %d\n\n", verdict, r.Scenario, r.Seed)
	r.tableSums(w)
	for _, part := range []func(*tabwriter.Writer){r.tableLatency, r.tableTimeline, r.tableSwaps, r.tableChecks} {
		columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		part(columns)
		if err := columns.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Result) tableSums(w io.Writer) {
	row := func(n any, what, means string, args ...any) {
		fmt.Fprintf(w, "%12v  %-17s %s\n", n, what, fmt.Sprintf(means, args...))
	}
	row(r.Rate.Intended, "events/s intended", "for %g s", r.Rate.Seconds)
	row(r.Rate.Published, "events/s published", "the latest %g ms behind its time, %g ms when acknowledged; %d records were not taken by the broker", r.Rate.BehindMS, r.Rate.AckedMS, r.Unpublished)
	row(r.Rate.Pushes, "pushes/s accepted", "the last promise was kept %g s after the last event", r.Rate.Drained)
	row(r.Events, "events", "published")
	row(r.Pushes, "pushes", "accepted by the simulators")
	row(r.TokensDead, "tokens dead", "reported; of them %d falsely", r.FalselyDead)
	row(r.DeadLetters, "dead letters", "")
	row(r.Lost, "lost", "events that nothing came of %s", r.FirstLost)
	row(r.Extra, "extra", "pushes more than needed; %d are allowed", r.Allowed)
	row(r.Daemon.CPUSeconds, "CPU seconds", "of the daemon while events were published, %g cores; %g s in all", r.Daemon.Cores, r.Daemon.TotalCPU)
	row(r.Daemon.PeakMB, "MB", "of the daemon resident at most")
	row(r.Machine.Cores, "cores", "of this machine: %g for the load test itself, %g for others", r.Machine.Self, r.Machine.Others)
	row(r.Scrapes.Count, "scrapes", "of at least %d; %d failed; worst pushd_accounting_imbalance %g", r.Scrapes.Least, r.Scrapes.Failed, r.Scrapes.WorstImbalance)
}

func (r *Result) tableLatency(w *tabwriter.Writer) {
	fmt.Fprint(w, "\nLatency in ms, from the intended time of an event to its push at the simulator\n")
	fmt.Fprint(w, "of\tevents\tp50\tp90\tp99\tp99.9\tmax\t\n")
	for _, l := range r.Latency {
		fmt.Fprintf(w, "%s\t%d\t%g\t%g\t%g\t%g\t%g\t\n", l.Of, l.Events, l.P50, l.P90, l.P99, l.P999, l.Max)
	}
}

func (r *Result) tableTimeline(w *tabwriter.Writer) {
	var published, apns, fcm []float64
	for _, m := range r.Timeline {
		published, apns, fcm = append(published, m.Published), append(apns, m.APNs), append(fcm, m.FCM)
	}
	fmt.Fprintf(w, "\nThe run, as a line\npublished %s\nAPNs      %s\nFCM       %s\n\n", sparkline(published), sparkline(apns), sparkline(fcm))
	fmt.Fprint(w, "second\tpublished/s\tAPNs/s\tFCM/s\topen\tlag\tparked\tbreakers\tcores\tMB\t\n")
	for _, m := range r.Timeline {
		fmt.Fprintf(w, "%d\t%g\t%g\t%g\t%d\t%g\t%g\t%s\t%g\t%g\t\n", m.Second, m.Published, m.APNs, m.FCM, m.Open, m.Lag, m.Parked, m.Breakers, m.Cores, m.RSSMB)
	}
}

func (r *Result) tableSwaps(w *tabwriter.Writer) {
	if len(r.Swaps) == 0 {
		return
	}
	fmt.Fprint(w, "\nCertificates replaced\ntenant\tat s\trefused\tfirst push with it\t\n")
	for _, s := range r.Swaps {
		fmt.Fprintf(w, "%s\t%g\t%v\t%s\t\n", s.Tenant, s.AtS, s.Refused, s.seen())
	}
}

func (r *Result) tableChecks(w *tabwriter.Writer) {
	fmt.Fprint(w, "\nExpected\n")
	for _, c := range r.Checks {
		verdict := "pass"
		if !c.Passed {
			verdict = "FAIL"
		}
		fmt.Fprintf(w, "%s  %s: %s; it is %s\n", verdict, c.What, c.Want, c.Got)
	}
	if m := r.Machine; 4*m.Others > float64(m.Cores) {
		fmt.Fprintf(w, "\nOthers had %g of the %d cores: latencies and rates say little of the daemon.\n", m.Others, m.Cores)
	}
}

const blocks = "▁▂▃▄▅▆▇█"

// sparkline draws numbers as blocks, the greatest as the highest; nothing is a dot.
func sparkline(numbers []float64) string {
	most := 1.0
	for _, n := range numbers {
		most = max(most, n)
	}
	var b strings.Builder
	levels := []rune(blocks)
	for _, n := range numbers {
		if n == 0 {
			b.WriteByte('.')
			continue
		}
		b.WriteRune(levels[min(len(levels)-1, int(float64(len(levels))*n/most))])
	}
	return b.String()
}
