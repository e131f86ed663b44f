package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"

	"pushd/loadtest/audit"
	"pushd/loadtest/mixture"
	"pushd/providers"
)

// demoResult is what the demo found. Lost and extra pushes are the audit's; accepted is the simulators' account; the
// other counts are pushd's own, and the table holds the two against each other.
type demoResult struct {
	Seed              uint64      `json:"seed"`               // that publishes the same again
	Events            int         `json:"events"`             // records published
	Wakes             int         `json:"wakes"`              // wakes that came to an end
	Merged            int         `json:"merged"`             // events merged into another's wake
	DuplicatesDropped int         `json:"duplicates_dropped"` // records that were published before
	Accepted          int         `json:"accepted"`           // pushes that the simulators accepted
	TokenDead         int         `json:"token_dead"`         // wakes that ended with a dead token
	Expired           int         `json:"expired"`            // wakes that expired
	DeadLetters       int         `json:"dead_letters"`       // records that nobody can read
	Held              int         `json:"held"`               // events whose credential is refused, in the end
	Lost              int         `json:"lost"`               // events without what they should have; those not settled in time too
	TimedOut          bool        `json:"timed_out"`          // --within was over before all was settled
	ExtraPushes       int         `json:"extra_pushes"`
	Seconds           float64     `json:"seconds"` // from the first record published to the last push that was wanted
	PushesPerSecond   float64     `json:"pushes_per_second"`
	LatencyMS         percentiles `json:"latency_ms"` // from a push being due (audit.Latency) to its being accepted
	APNsLimit         float64     `json:"apns_limit"` // pushes per second to Apple
	Noisy             share       `json:"noisy"`      // of that limit: the noisy tenant's
	Others            share       `json:"others"`     // of that limit: all others'
	Refused           refused     `json:"refused"`

	lost      []string
	within    time.Duration
	open      int
	imbalance int
}

// share is what tenants got of a limit. What a provider answered with a fault at first is left out: it waits for that.
type share struct {
	Events    int         `json:"events"` // that were pushed
	LatencyMS percentiles `json:"latency_ms"`
}

// refused is what a tenant went through whose certificate was refused until it was replaced.
type refused struct {
	Tenant   string `json:"tenant"`
	Reason   string `json:"reason"`    // the provider's, as feedback told it
	Held     int    `json:"held"`      // events, when the certificate was replaced
	SeenMS   int64  `json:"seen_ms"`   // from then until a push came with the new one; -1 where none did
	PushedMS int64  `json:"pushed_ms"` // from then until the last of what had been published before was pushed
}

type percentiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// judge asks the audit and reads the daemon's own account.
func (d *demo) judge(timedOut bool) (*demoResult, error) {
	v := d.audit.Check(d.stage.Receipts, demoInterval)
	own, err := d.ownAccount()
	if err != nil {
		return nil, err
	}
	settled := func(outcome string) int { return int(own["pushd_events_settled_total"+outcome]) }
	r := &demoResult{
		Seed: d.cmd.Seed, TimedOut: timedOut, within: d.cmd.Within,
		Events: v.Published, Accepted: d.stage.Accepted(), Lost: len(v.Lost), ExtraPushes: v.Extra,
		Merged: settled("merged"), DuplicatesDropped: int(own["pushd_events_duplicate_total"]),
		TokenDead: settled("token_dead"), Expired: settled("expired"), DeadLetters: settled("dead_letter"),
		Held: int(own["pushd_holds"]), Seconds: v.Last.Sub(v.First).Seconds(), APNsLimit: d.cmd.limit(),
		lost: v.Lost, imbalance: int(own["pushd_accounting_imbalance"]),
	}
	d.latencies(v.Latencies, r)
	r.Refused = d.refused(v.Latencies)
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

// fault is the error that the demo ends with. What was not settled in time counts as lost, but where pushd still had work
// that is most likely all that is wrong.
func (r *demoResult) fault() error {
	switch unfinished := r.open + r.unread(); {
	case r.Lost > 0 && r.TimedOut && unfinished > 0:
		return fmt.Errorf("%d of %d events were not settled within %v of the last being published, and count as lost; pushd still had %d records to settle, so give it longer with --within (seed %d, the first: %s)",
			r.Lost, r.Events, r.within, unfinished, r.Seed, r.lost[0])
	case r.Lost > 0:
		return fmt.Errorf("lost %d of %d events with seed %d: pushd had settled everything it read, the first: %s", r.Lost, r.Events, r.Seed, r.lost[0])
	case r.imbalance != 0 || !r.addsUp():
		return fmt.Errorf("pushd's own account does not add up, with seed %d", r.Seed)
	}
	return nil
}

// unread is how many records are in no line of pushd's account.
func (r *demoResult) unread() int {
	return r.Events - (r.Wakes + r.Merged + r.DuplicatesDropped + r.DeadLetters + r.open)
}

// addsUp says whether every record published is in exactly one line of pushd's account.
func (r *demoResult) addsUp() bool { return r.unread() == 0 }

// latencies tells the shares of the limit apart.
func (d *demo) latencies(all []audit.Latency, r *demoResult) {
	var every, noisy, others []time.Duration
	for _, l := range all {
		every = append(every, l.Took())
		switch limited := l.Provider == providers.APNs && d.load.Faults[l.Token] == mixture.NoFault; {
		case !limited || l.Tenant() == d.hold.tenant.Name:
		case l.Tenant() == d.load.Tenants[0].Name:
			noisy = append(noisy, l.Took())
		default:
			others = append(others, l.Took())
		}
	}
	r.LatencyMS = percentilesOf(every)
	r.Noisy, r.Others = share{len(noisy), percentilesOf(noisy)}, share{len(others), percentilesOf(others)}
}

// refused sums up the hold.
func (d *demo) refused(all []audit.Latency) refused {
	h := &d.hold
	r := refused{Tenant: h.tenant.Name, Reason: d.audit.Refused(h.tenant.Name), Held: h.events, SeenMS: -1}
	if seen := d.stage.Seen(h.serial); !seen.IsZero() {
		r.SeenMS = seen.Sub(h.ends).Milliseconds()
	}
	for _, l := range all {
		if l.Tenant() == r.Tenant && l.Due.Before(h.ends) {
			r.PushedMS = max(r.PushedMS, l.Accepted.Sub(h.ends).Milliseconds())
		}
	}
	return r
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
	fmt.Fprintf(w, "\nWhat became of the records (seed %d):\n", r.Seed)
	row(r.Wakes, "wakes", "came to their end: accepted, token dead or expired")
	row(r.Merged, "merged", "into another event's wake")
	row(r.DuplicatesDropped, "duplicates", "dropped: published before")
	row(r.DeadLetters, "dead letters", "that nobody can read")
	row(r.open, "open", "not settled; held for a refused credential: "+strconv.Itoa(r.Held))
	if r.TimedOut && r.unread() > 0 {
		row(r.unread(), "unread", "not read yet")
	}
	row(r.Events, "records", "published; the sum of the above")
	fmt.Fprintln(w, "\nWhat the wakes came to:")
	row(r.Accepted, "pushes", "accepted by the simulators")
	row(r.TokenDead, "token dead", "reported to the feedback topic")
	row(r.Expired, "expired", "reported to the feedback topic")
	fmt.Fprintln(w, "\nWhat the audit says, from the publisher's list and the simulators' accounts alone:")
	lost := "events without the push, the feedback or the dead letter that they should have"
	if r.TimedOut {
		lost += fmt.Sprintf(", %v after the last was published", r.within)
	}
	row(r.Lost, "lost", lost)
	row(r.ExtraPushes, "extra", "pushes that no event asked for, or sooner than merge.interval after another")
	took := func(p percentiles, whose, means string) {
		fmt.Fprintf(w, "%5.0f, %5.0f  %-13s %s\n", p.P50, p.P99, whose, means)
	}
	fmt.Fprintf(w, "\nHow many ms pushes waited (p50, p99) for their share of %.0f per second to Apple:\n", r.APNsLimit)
	took(r.Noisy.LatencyMS, "noisy tenant", fmt.Sprintf("with %d events, most of them in bursts", r.Noisy.Events))
	took(r.Others.LatencyMS, "others", fmt.Sprintf("with %d events, evenly", r.Others.Events))
	if r.Refused.Held > 0 { // with few events it may have none
		fmt.Fprintf(w, "\nWhat became of %s, whose certificate was refused (%s) until it was replaced half-way:\n", r.Refused.Tenant, r.Refused.Reason)
		row(r.Refused.Held, "held", "events, until its files were replaced")
		if r.Refused.SeenMS >= 0 {
			row(int(r.Refused.SeenMS), "ms later", "pushd had noticed by itself, and pushed with the new certificate")
			row(int(r.Refused.PushedMS), "ms later", "all that had been held was pushed")
		}
	}
	_, err := fmt.Fprintf(w, "\n%.1f s, %.0f pushes/s; from due to accepted: p50 %.0f ms, p99 %.0f ms, p99.9 %.0f ms\n",
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
