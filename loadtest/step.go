package main

import (
	"fmt"
	"runtime"
	"time"
)

// RampResult is what a ramp found.
type RampResult struct {
	Scenario string  `json:"scenario"`
	About    string  `json:"about"`
	Started  string  `json:"started"`
	Seed     uint64  `json:"seed"`
	Passed   bool    `json:"passed"` // no promise was broken at any rate
	BoundMS  float64 `json:"p99_bound_ms"`
	HoldS    float64 `json:"hold_seconds"`
	Highest  float64 `json:"highest_per_s"` // events per second that held; 0 where none did
	Limit    string  `json:"limit"`         // who was at its limit at the next higher rate: daemon, machine, publisher, broker, simulators, or load test at its own bounds
	Ended    string  `json:"ended"`         // what that means
	Steps    []Step  `json:"steps"`         // in the order in which they were tried
}

// Step is one rate of a ramp: what was measured after the warm-up, while it was held.
type Step struct {
	Asked     float64 `json:"asked_per_s"`     // events
	Published float64 `json:"published_per_s"` // acknowledged by the broker
	Pushes    float64 `json:"pushes_per_s"`
	P50       float64 `json:"p50_ms"` // to a percent, as the next two
	P99       float64 `json:"p99_ms"`
	P999      float64 `json:"p999_ms"`
	BehindMS  float64 `json:"behind_p99_ms"`       // how long after its time an event was handed to the client
	AckedMS   float64 `json:"acknowledged_p99_ms"` // and acknowledged
	SendMS    float64 `json:"send_ms"`             // from a push to its answer, as a mean
	Cores     float64 `json:"cpu_cores"`           // of the daemon
	PerPush   float64 `json:"cpu_us_per_push"`     // likewise
	Self      float64 `json:"self_cores"`          // of the load test
	Others    float64 `json:"others_cores"`        // of everything else
	RSSMB     float64 `json:"rss_mb"`              // at most
	Lag       float64 `json:"lag"`                 // at most
	Lost      int     `json:"lost"`
	Falsely   int     `json:"falsely_dead"`
	Extra     int     `json:"extra"`
	Imbalance float64 `json:"worst_imbalance"`
	Tries     int     `json:"tries"` // of which this is the last: those before did not hold, as others had the machine
	Held      bool    `json:"held"`
	Limit     string  `json:"limit,omitempty"` // of one that did not hold; see RampResult
	Why       string  `json:"why,omitempty"`
}

// The limits beside thePublisher, theBroker and theSimulators.
const (
	theDaemon   = "daemon"
	theMachine  = "machine"
	theLoadTest = "load test"
	aPromise    = "promise"
)

// judgeStep sums a step up: all after the warm-up, until the last event was due.
func (r *run) judgeStep(res *Result, rate float64, bound time.Duration) Step {
	from, to := seconds(r.warm), seconds(r.scenario.Duration)
	moments := res.Timeline[from:min(to, len(res.Timeline))] // of a second each, as a step is short
	h := latencyOf("", r.book.Course(from, to))
	mean := together(moments)
	step := Step{
		Asked: rate, Published: mean.Published, Pushes: round(mean.APNs+mean.FCM, 1), P50: h.P50, P99: h.P99, P999: h.P999,
		BehindMS: r.publisher.handed().P99, AckedMS: r.publisher.acknowledged().P99,
		SendMS: mean.SendMS, Cores: mean.Cores, PerPush: round(1e6*mean.Cores/max(1, mean.APNs+mean.FCM), 1), Self: mean.Self, Others: mean.Others,
		Lost: res.Lost, Falsely: res.FalselyDead, Extra: res.Extra, Imbalance: res.Scrapes.WorstImbalance,
	}
	for _, m := range moments {
		step.RSSMB, step.Lag = max(step.RSSMB, m.RSSMB), max(step.Lag, m.Lag)
	}
	step.Limit, step.Why = step.limit(limits{bound: ms(bound), answer: ms(r.scenario.Latency), cores: float64(runtime.NumCPU())})
	step.Held = step.Limit == ""
	return step
}

// disturbed says that a step may have held, had others not had the machine.
func (s *Step) disturbed() bool {
	m := Machine{Cores: runtime.NumCPU(), Others: s.Others}
	return s.Limit == theMachine && m.doubt() != ""
}

// broken says that pushd did what it must not do at any rate.
func (s *Step) broken() bool { return s.Limit == aPromise }

// limit says who kept a step from holding, and by what; nobody where it held. The daemon is named last, when nothing of what is
// around it explains the delay: a rate that the load test cannot make says nothing of the daemon.
func (s *Step) limit(l limits) (who, why string) {
	who, why = s.explained(l)
	idle := l.cores - s.Cores - s.Self - s.Others
	if who == "" || who == aPromise || idle > l.cores/20 { // a twentieth is what the scheduler does not give away
		return who, why
	}
	return theMachine, fmt.Sprintf("%s; none of its %g cores was left: the daemon had %g, the load test %g, others %g", why, l.cores, s.Cores, s.Self, s.Others)
}

// limits are what a step is held against.
type limits struct {
	bound  float64 // of p99, in ms
	answer float64 // how long the simulators are to take for an answer, in ms
	cores  float64 // of the machine
}

// explained is limit of a machine that had cores left.
func (s *Step) explained(l limits) (who, why string) {
	switch {
	case s.Lost > 0 || s.Falsely > 0 || s.Imbalance != 0:
		return aPromise, fmt.Sprintf("%d events were lost, %d tokens falsely reported dead, and the account was out by %g", s.Lost, s.Falsely, s.Imbalance)
	case s.Published < 0.97*s.Asked:
		return thePublisher, fmt.Sprintf("%g of %g events per second were published", s.Published, s.Asked)
	case s.P99 <= l.bound: // the time that publisher and broker took is in it
		return "", ""
	case s.BehindMS > l.bound/4:
		return thePublisher, fmt.Sprintf("1%% of the events were handed to the client %g ms late or more, which is over a quarter of the bound", s.BehindMS)
	case s.AckedMS > l.bound/2:
		return theBroker, fmt.Sprintf("1%% of the events were acknowledged after %g ms or more, which is over half of the bound", s.AckedMS)
	case s.SendMS > l.answer+l.bound/4:
		return theSimulators, fmt.Sprintf("answers took %g ms, which is over %g ms and a quarter of the bound", s.SendMS, l.answer)
	}
	return theDaemon, fmt.Sprintf("p99 is %g ms", s.P99)
}

func (s *Step) verdict() string {
	numbers := fmt.Sprintf("p50 %g ms, p99 %g ms, %g pushes/s, daemon %g cores, %g µs per push", s.P50, s.P99, s.Pushes, s.Cores, s.PerPush)
	switch {
	case s.Held:
		return "held; " + numbers
	case s.P99 == 0:
		return "did not hold, by the " + s.Limit + ": " + s.Why
	}
	return fmt.Sprintf("did not hold, by the %s: %s; %s", s.Limit, s.Why, numbers)
}

// conclude says what ended the ramp.
func (r *RampResult) conclude(most float64) {
	var next *Step // the lowest that did not hold
	for i := range r.Steps {
		s := &r.Steps[i]
		switch {
		case s.broken():
			r.Highest, r.Limit, r.Ended = 0, s.Limit, fmt.Sprintf("at %g events/s a promise was broken: %s", s.Asked, s.Why)
			return
		case !s.Held && (next == nil || s.Asked < next.Asked):
			next = s
		}
	}
	r.Highest = round(r.Highest, 0)
	if next == nil {
		r.Limit, r.Ended = theLoadTest, fmt.Sprintf("the load test makes no more than %.0f events/s, and the daemon holds that", most)
		return
	}
	meaning := map[string]string{
		theDaemon:     "the daemon was at its limit: the machine had cores left, and publisher and broker were in time",
		theMachine:    "the machine was at its limit, which the daemon shares with the load test and with others: with a machine of its own the daemon holds at least what it held here",
		thePublisher:  "the publisher was at its limit: the daemon holds at least what it held here, and its limit is not known",
		theSimulators: "the simulators, or the way to them, were at their limit: the daemon holds at least what it held here, and its limit is not known",
		theBroker:     "the broker was at its limit: the daemon holds at least what it held here, and its limit is not known",
	}[next.Limit]
	r.Limit, r.Ended = next.Limit, fmt.Sprintf("at %g events/s %s (%s)", next.Asked, meaning, next.Why)
}

// brokenOff says that the ramp did not come to its end.
func (r *RampResult) brokenOff(why error) {
	r.Passed, r.Highest, r.Limit, r.Ended = false, round(r.Highest, 0), theLoadTest, fmt.Sprintf("the ramp was broken off: %v", why)
}

// best is the step of the highest rate that held; nil where none did.
func (r *RampResult) best() *Step {
	for i := range r.Steps {
		if r.Steps[i].Held && r.Steps[i].Asked == r.Highest {
			return &r.Steps[i]
		}
	}
	return nil
}
