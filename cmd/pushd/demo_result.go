package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// demoResult is what the demo found. Lost and extra pushes are the audit's; accepted is the simulators' account; the
// other counts are pushd's own, and the table holds the two against each other.
type demoResult struct {
	Events            int         `json:"events"`             // records published
	Wakes             int         `json:"wakes"`              // wakes that came to an end
	Merged            int         `json:"merged"`             // events merged into another's wake
	DuplicatesDropped int         `json:"duplicates_dropped"` // records that were published before
	Accepted          int         `json:"accepted"`           // pushes that the simulators accepted
	TokenDead         int         `json:"token_dead"`         // wakes that ended with a dead token
	Expired           int         `json:"expired"`            // wakes that expired
	DeadLetters       int         `json:"dead_letters"`       // records that nobody can read
	Held              int         `json:"held"`               // events whose credential is refused
	Lost              int         `json:"lost"`
	ExtraPushes       int         `json:"extra_pushes"`
	Seconds           float64     `json:"seconds"` // from the first record published to the last push that was wanted
	PushesPerSecond   float64     `json:"pushes_per_second"`
	LatencyMS         percentiles `json:"latency_ms"` // from being published to the first accepted push after it

	lost          []string
	seed          uint64
	open          int
	imbalance     int
	feedbackHeard int
	lettersHeard  int
}

type percentiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// judge asks the audit and reads the daemon's own account.
func (d *demo) judge() (*demoResult, error) {
	v := d.audit.Check(d.stage.Receipts, demoInterval)
	own, err := d.ownAccount()
	if err != nil {
		return nil, err
	}
	settled := func(outcome string) int { return int(own["pushd_events_settled_total"+outcome]) }
	r := &demoResult{
		Events: v.Published, Accepted: d.stage.Accepted(), Lost: len(v.Lost), ExtraPushes: v.Extra,
		Merged: settled("merged"), DuplicatesDropped: int(own["pushd_events_duplicate_total"]),
		TokenDead: settled("token_dead"), Expired: settled("expired"), DeadLetters: settled("dead_letter"),
		Held: int(own["pushd_holds"]), Seconds: v.Last.Sub(v.First).Seconds(), LatencyMS: percentilesOf(v.Latencies),
		lost: v.Lost, seed: d.cmd.Seed, imbalance: int(own["pushd_accounting_imbalance"]),
		feedbackHeard: v.Feedbacks, lettersHeard: v.Letters,
	}
	r.Wakes = settled("accepted") + r.TokenDead + r.Expired + settled("rejected") + settled("stale")
	for name, value := range own {
		if len(name) > len(openSeries) && name[:len(openSeries)] == openSeries {
			r.open += int(value)
		}
	}
	if r.Seconds > 0 {
		r.PushesPerSecond = math.Round(float64(r.Accepted) / r.Seconds)
		r.Seconds = math.Round(r.Seconds*100) / 100
	}
	return r, nil
}

const openSeries = "pushd_events_open"

// fault is the error that the demo ends with.
func (r *demoResult) fault() error {
	switch {
	case r.Lost > 0:
		return fmt.Errorf("lost %d of %d events with seed %d, the first: %s", r.Lost, r.Events, r.seed, r.lost[0])
	case r.imbalance != 0 || !r.addsUp():
		return fmt.Errorf("pushd's own account does not add up, with seed %d", r.seed)
	}
	return nil
}

// addsUp says whether every record published is in exactly one line of pushd's account.
func (r *demoResult) addsUp() bool {
	return r.Events == r.Wakes+r.Merged+r.DuplicatesDropped+r.DeadLetters+r.open
}

func percentilesOf(latencies []time.Duration) percentiles {
	if len(latencies) == 0 {
		return percentiles{}
	}
	slices.Sort(latencies)
	at := func(q float64) float64 {
		d := latencies[min(len(latencies)-1, int(q*float64(len(latencies))))]
		return math.Round(float64(d)/float64(time.Millisecond)*10) / 10
	}
	return percentiles{at(.5), at(.99), at(.999)}
}

// table prints the result for people.
func (r *demoResult) table(w io.Writer) error {
	row := func(n int, what, means string) { fmt.Fprintf(w, "%12d  %-13s %s\n", n, what, means) }
	fmt.Fprintf(w, "\nWhat became of the records (seed %d):\n", r.seed)
	row(r.Wakes, "wakes", "came to their end: accepted, token dead or expired")
	row(r.Merged, "merged", "into another event's wake")
	row(r.DuplicatesDropped, "duplicates", "dropped: published before")
	row(r.DeadLetters, "dead letters", "that nobody can read")
	row(r.open, "open", "not settled; held for a refused credential: "+strconv.Itoa(r.Held))
	row(r.Events, "records", "published; the sum of the above")
	fmt.Fprintln(w, "\nWhat the wakes came to:")
	row(r.Accepted, "pushes", "accepted by the simulators")
	row(r.TokenDead, "token dead", "reported to the feedback topic")
	row(r.Expired, "expired", "reported to the feedback topic")
	fmt.Fprintln(w, "\nWhat the audit says, from the publisher's list and the simulators' accounts alone:")
	row(r.Lost, "lost", "events without the push, the feedback or the dead letter that they should have")
	row(r.ExtraPushes, "extra", "pushes that no event asked for, or sooner than merge.interval after another")
	_, err := fmt.Fprintf(w, "\n%.1f s, %.0f pushes/s; from published to accepted: p50 %.0f ms, p99 %.0f ms, p99.9 %.0f ms\n",
		r.Seconds, r.PushesPerSecond, r.LatencyMS.P50, r.LatencyMS.P99, r.LatencyMS.P999)
	return err
}

// ownAccount is what the daemon's metrics say, by name; a labelled one by name and label value.
func (d *demo) ownAccount() (map[string]float64, error) {
	families, err := d.daemon.serving.metrics.Gather()
	if err != nil {
		return nil, fmt.Errorf("read the daemon's metrics: %w", err)
	}
	own := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += label.GetValue()
			}
			own[name] += value(m)
		}
	}
	return own, nil
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	}
	return 0
}
