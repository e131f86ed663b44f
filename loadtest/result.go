package main

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a run found. The table and the JSON are made from it, and from nothing else.
type Result struct {
	Scenario string `json:"scenario"`
	About    string `json:"about"`
	Started  string `json:"started"` // of publishing, as RFC 3339 has it
	Seed     uint64 `json:"seed"`
	Passed   bool   `json:"passed"`

	Rate        Rate   `json:"rate"`
	Events      int    `json:"events"`      // published; one that was published twice is one
	Unpublished int    `json:"unpublished"` // records that the broker did not take
	Pushes      int    `json:"pushes"`      // accepted by the simulators
	Lost        int    `json:"lost"`        // events that nothing came of
	Extra       int    `json:"extra"`       // pushes that no event asked for, or sooner than merge.interval after another
	Allowed     int    `json:"extra_allowed"`
	TokensDead  int    `json:"tokens_dead"`          // reported to the feedback topic
	FalselyDead int    `json:"falsely_dead"`         // of them, tokens that are not
	DeadLetters int    `json:"dead_letters"`         //
	FirstLost   string `json:"first_lost,omitempty"` // the id of one of them

	Latency  []Latency `json:"latency"`
	Daemon   Daemon    `json:"daemon"`
	Machine  Machine   `json:"machine"`
	Cost     Cost      `json:"load_test_cpu"`
	Scrapes  Scrapes   `json:"scrapes"`
	Swaps    []Swap    `json:"swaps,omitempty"`
	Step     int       `json:"moment_seconds"` // that a moment of the timeline is long
	Timeline []Moment  `json:"timeline"`
	Checks   []Check   `json:"checks"`
}

// Rate is how fast it went.
type Rate struct {
	Seconds   float64 `json:"seconds"`         // of publishing
	Intended  float64 `json:"intended_per_s"`  // events, by the plan
	Published float64 `json:"published_per_s"` // acknowledged by the broker
	BehindMS  float64 `json:"behind_ms"`       // the latest that an event was handed to the client after its time
	AckedMS   float64 `json:"acknowledged_ms"` // the latest that one was acknowledged after its time
	Pushes    float64 `json:"pushes_per_s"`    // accepted while events were published
	Drained   float64 `json:"drained_seconds"` // from the end of the plan to the end of the last promise
}

// Latency is from the time when an event was to be published to the time when a simulator received the push.
type Latency struct {
	Of     string  `json:"of"`
	Events int64   `json:"events"`
	P50    float64 `json:"p50_ms"`
	P90    float64 `json:"p90_ms"`
	P99    float64 `json:"p99_ms"`
	P999   float64 `json:"p999_ms"`
	Max    float64 `json:"max_ms"`
}

// Daemon is what the process used.
type Daemon struct {
	CPUSeconds float64 `json:"cpu_seconds"` // while events were published
	Cores      float64 `json:"cpu_cores"`   // the share: 1 is one core all the time
	TotalCPU   float64 `json:"cpu_seconds_in_all"`
	PerPush    float64 `json:"cpu_us_per_push"` // while events were published
	ReadyS     float64 `json:"ready_seconds"`   // from its start
	ReadyMB    float64 `json:"ready_rss_mb"`
	Known      int     `json:"known_devices"` // at most, by its own account
	PeakMB     float64 `json:"peak_rss_mb"`
}

// Machine is who else had the machine's cores while events were published: where others took many of them, a latency or a
// rate says little of the daemon.
type Machine struct {
	Cores  int     `json:"cores"`
	Self   float64 `json:"self_cores"`   // the load test: publisher, broker and simulators
	Others float64 `json:"others_cores"` // everything but that and the daemon
}

// Cost is the CPU time that the parts of the load test took while events were published, by a profile with a hundred samples a
// second: dear parts leave little for the daemon. All are 0 where somebody else profiles the load test.
type Cost struct {
	Publisher  float64 `json:"publisher_us_per_event"`
	Broker     float64 `json:"broker_us_per_event"`    // the embedded one
	Simulators float64 `json:"simulators_us_per_push"` // and the account of the promises
	Rest       float64 `json:"rest_cores"`             // mostly of the collection of garbage
}

// Swap is a certificate that was replaced.
type Swap struct {
	Tenant  string  `json:"tenant"`
	AtS     float64 `json:"at_s"`
	Refused bool    `json:"refused"`      // APNs refuses it
	SeenS   float64 `json:"seen_after_s"` // when the first push came with it; below 0: never
}

// Moment is a second of the run; of a run of more than ten minutes, the mean of some seconds, and how it stood at their end.
type Moment struct {
	Second    int     `json:"second"`
	Intended  float64 `json:"intended_per_s"`
	Published float64 `json:"published_per_s"` // acknowledged
	APNs      float64 `json:"apns_per_s"`      // pushes accepted
	FCM       float64 `json:"fcm_per_s"`
	Events    int64   `json:"events"`       // that were due in it and for which a push was accepted, then or later
	P50       float64 `json:"p50_ms"`       // of their latencies; 0 where there are none, as the next two
	P99       float64 `json:"p99_ms"`       //
	P999      float64 `json:"p999_ms"`      //
	SendMS    float64 `json:"send_ms"`      // from a push to its answer, by the daemon\'s own account, as a mean; 0 where no answer came
	Open      int     `json:"open"`         // events that nothing has come of yet
	Lag       float64 `json:"lag"`          // events not read yet
	Parked    float64 `json:"parked"`       // wakes that wait in the ledger
	Breakers  string  `json:"breakers"`     // of APNs and FCM: - closed, ramping, open
	Cores     float64 `json:"cpu_cores"`    // of the daemon
	Self      float64 `json:"self_cores"`   // of the load test
	Others    float64 `json:"others_cores"` // of everything else
	RSSMB     float64 `json:"rss_mb"`
}

func latencyOf(of string, h *hdrhistogram.Histogram) Latency {
	micros := func(n int64) float64 { return ms(time.Duration(n) * time.Microsecond) }
	return Latency{
		Of: of, Events: h.TotalCount(), P50: micros(h.ValueAtPercentile(50)), P90: micros(h.ValueAtPercentile(90)),
		P99: micros(h.ValueAtPercentile(99)), P999: micros(h.ValueAtPercentile(99.9)), Max: micros(h.Max()),
	}
}

// ms is a time in milliseconds.
func ms(d time.Duration) float64 { return round(d.Seconds()*1e3, 1) }

// round keeps so many digits behind the point, so that table and JSON say the same.
func round(x float64, places int) float64 {
	shift := math.Pow(10, float64(places))
	return math.Round(x*shift) / shift
}

func (s Swap) check(within time.Duration) Check {
	what := fmt.Sprintf("the certificate that %s got at %gs", s.Tenant, s.AtS)
	if s.Refused {
		return Check{what, "refused, never in use", s.seen(), s.SeenS < 0}
	}
	return Check{what, "in use within " + within.String(), s.seen(), s.SeenS >= 0 && s.SeenS <= within.Seconds()}
}

func (s Swap) seen() string {
	if s.SeenS < 0 {
		return "never in use"
	}
	return fmt.Sprintf("in use after %gs", s.SeenS)
}
