package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// backlogOptions say what is there before the daemon is.
type backlogOptions struct {
	Backlog *int `help:"Publish N events of the scenario's load first, for as many devices, then start the daemon, and measure how fast it catches up. What the scenario expects does not count, but whatever is lost does." group:"backlog" placeholder:"N"`
	Known   int  `name:"known-devices" help:"Write a ledger with N devices that were woken just now, before the daemon starts: its memory and its start are those of a large fleet. With any kind of run." group:"backlog" placeholder:"N"`
}

const (
	leastBacklog = 1000
	maxBacklog   = maxDevices
	// stuckAfter is how long nothing comes of any event before a daemon counts as one that will not catch up.
	stuckAfter = time.Minute
)

func (o *backlogOptions) faults(c *command) (faults []error) {
	if o.Backlog != nil && (*o.Backlog < leastBacklog || *o.Backlog > maxBacklog) {
		faults = append(faults, fmt.Errorf("--backlog: %d events are not between %d and %d; leave it out to have none", *o.Backlog, leastBacklog, maxBacklog))
	}
	if o.Known < 0 || o.Known > maxKnown {
		faults = append(faults, fmt.Errorf("--known-devices: %d is not between 0 and %d", o.Known, maxKnown))
	}
	if o.Backlog != nil && (c.Ramp || c.Rate != nil || c.Duration != nil) {
		faults = append(faults, errors.New("--backlog is published as fast as the broker takes it: leave --ramp, --rate and --duration out"))
	}
	return faults
}

// pileUp makes a scenario one of so many events that are published at once, for as many devices: were there fewer, most events
// would be merged into few pushes.
func (s *Scenario) pileUp(events int) {
	s.bare()
	seconds := max(10, float64(events)/maxRate) // of the plan, which nobody waits for
	s.Duration = time.Duration(seconds * float64(time.Second))
	rate := s.Rate()
	if rate == 0 {
		return // check tells that there is nothing to publish
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		share := g.Rate / rate
		g.Rate, g.Bursts = share*float64(events)/seconds, nil
		g.Devices = max(g.Devices, int(share*float64(events)))
	}
	s.Drain = min(time.Hour, time.Minute+time.Duration(events)*time.Millisecond)
}

// bare takes away what a scenario has at times of its own.
func (s *Scenario) bare() {
	s.Acts, s.Expect = nil, Expect{Extra: s.Expect.Extra}
}

// Backlog is what a daemon did with events that were there before it.
type Backlog struct {
	Scenario string `json:"scenario"`
	About    string `json:"about"`
	Started  string `json:"started"`
	Seed     uint64 `json:"seed"`
	Passed   bool   `json:"passed"`

	Events    int     `json:"events"`
	Published float64 `json:"published_per_s"` // as fast as the broker took them
	Pushes    int     `json:"pushes"`
	Lost      int     `json:"lost"`
	Falsely   int     `json:"falsely_dead"`
	Extra     int     `json:"extra"`
	Allowed   int     `json:"extra_allowed"`

	Seconds   float64 `json:"catch_up_seconds"` // from when the daemon was ready to when the last promise was kept
	PerSecond float64 `json:"events_per_s"`     // in that time, as the next
	PushRate  float64 `json:"pushes_per_s"`
	PerPush   float64 `json:"cpu_us_per_push"` // of the daemon, as the next
	PerEvent  float64 `json:"cpu_us_per_event"`

	Daemon   Daemon   `json:"daemon"`  // while it caught up
	Machine  Machine  `json:"machine"` // likewise
	Cost     Cost     `json:"load_test_cpu"`
	Scrapes  Scrapes  `json:"scrapes"`
	Step     int      `json:"moment_seconds"`
	Timeline []Moment `json:"timeline"` // from the daemon's start; latencies count from then
}

// catchUp publishes the backlog, starts the daemon, and sees how it catches up.
func (r *run) catchUp(ctx context.Context) (res *Backlog, err error) {
	defer func() { err = errors.Join(err, r.tearDown()) }()
	if err := r.setUp(ctx); err != nil {
		return nil, err
	}
	r.progress.stage("publishing the backlog")
	var filling profiled
	filling.begin()
	as(thePublisher, func() {
		err = r.publisher.fill(ctx, func(events int64) { r.progress.say("%d events published", events) })
	})
	parts, ending := filling.end()
	if err := errors.Join(err, ending); err != nil {
		return nil, err
	}
	delete(parts, "") // of the rest, only what is beside the daemon counts
	r.spent(parts)
	r.filled = true
	r.begun()
	if err := r.startDaemon(ctx); err != nil {
		return nil, err
	}
	err = r.watched(ctx, func(ctx context.Context, _ context.CancelCauseFunc) error {
		return r.follow(ctx)
	})
	if err != nil {
		return nil, err
	}
	return r.caughtUp(), nil
}

// follow watches the daemon until nothing of the backlog is open, or nothing moves any more.
func (r *run) follow(ctx context.Context) (err error) {
	var own profiled
	own.begin()
	acting, stopActing := context.WithCancel(ctx)
	defer stopActing()
	go r.playFaults(acting)
	w := newWatch()
	defer w.stop()
	open, moved := r.book.Open(), time.Now()
	for kept := false; ; {
		select {
		case <-ctx.Done():
			_, ending := own.end() // nobody reads it
			return errors.Join(context.Cause(ctx), ending)
		case <-w.second.C:
			if err := r.sample(ctx); err != nil {
				return err
			}
		case now := <-w.look.C:
			if n := r.book.Open(); n != open {
				open, moved = n, now
			}
			switch {
			case !kept && (open == 0 || now.Sub(moved) > stuckAfter):
				kept = true
				if r.published, err = r.used(); err != nil {
					return err
				}
				parts, err := own.end()
				if err != nil {
					return err
				}
				r.spent(parts)
			case kept && now.Sub(r.published.at) > r.scenario.rest():
				r.ended = now
				return r.atEnd()
			}
		}
	}
}

// caughtUp sums up.
func (r *run) caughtUp() *Backlog {
	s, took := r.scenario, r.published.at.Sub(r.begin.at)
	events := int(r.publisher.events.Load())
	res := &Backlog{
		Scenario: s.name, About: s.About, Started: r.start.Format(time.RFC3339), Seed: r.seed,
		Events: events, Published: round(r.publisher.rate(0), 0), Pushes: r.stage.Accepted(), Lost: r.book.Open(), Falsely: r.book.FalselyDead(),
		Extra: r.extra(), Allowed: s.Expect.Extra, Seconds: round(took.Seconds(), 2), Scrapes: r.scrapes.sum(r.ended.Sub(r.begin.at)),
		Step: r.momentSeconds(), Timeline: r.timeline(),
	}
	// What was done before the daemon was seen to be ready belongs to its start.
	pushes, done := res.Pushes-r.before.pushes, r.before.open-res.Lost
	cpu := (r.published.daemon - r.begin.daemon).Seconds()
	per := func(n int) float64 { return round(1e6*cpu/max(1, float64(n)), 1) }
	res.PerPush, res.PerEvent = per(pushes), per(done)
	res.PerSecond, res.PushRate = round(float64(done)/took.Seconds(), 0), round(float64(pushes)/took.Seconds(), 0)
	res.Daemon, res.Machine, res.Cost = r.daemonUse(pushes), r.machineUse(), r.cost(res.Pushes)
	res.Passed = res.Lost == 0 && res.Falsely == 0 && res.Extra <= res.Allowed && res.Scrapes.balanced()
	return res
}
