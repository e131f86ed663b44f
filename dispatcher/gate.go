package dispatcher

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"pushd/providers"
)

// gate gives the lanes of one provider their turns under the limits they share. It is a state machine (step), with a
// goroutine around it (run).
type gate struct {
	provider string
	expires  time.Duration // Config.Merge.Expires
	probe    time.Duration // Config.Merge.HoldProbe
	metrics  *metrics
	breaker  *breaker
	close    func(providers.Sender) // closes the sender of a retired outlet; it must not block
	tripped  func(*lane)            // a lane's guard tripped; it must not block
	calmed   func(*lane)            // a lane's guard believes the provider again; it must not block

	// Owned by the goroutine.
	limits []*rate.Limiter // the provider's, and the total, which is shared with the other gates
	line   line
	timed  []*lane // lanes that wait for a time; few
	halted bool
	pushes []providers.Push // of the turn; memory for the next one

	short slow // of what all lanes share

	share    atomic.Uint64 // the process's part of the limits (math.Float64bits); 0 is all
	inFlight atomic.Int64  // over all lanes
	waiting  atomic.Int64  // places in the lanes' queues

	mu    sync.Mutex // guards the inbox
	inbox gateInbox
	bell  bell // rung when the inbox has something
}

type gateInbox struct {
	offers  []*wake
	answers []laneAnswer
	changes []func() // of lanes and limits; rare
	halt    bool
}

// laneAnswer is what a gate has to know of a batch of results.
type laneAnswer struct {
	outlet  *outlet
	n       int
	failed  int           // of them; see health
	fine    int           // of them
	refused bool          // the credential was
	healthy bool          // the provider took or judged a push: the credential works
	wait    time.Duration // the provider asked the whole credential to wait
}

func newGate(provider string, cfg Config, m *metrics, log *slog.Logger) *gate {
	return &gate{
		provider: provider, expires: cfg.Merge.Expires, probe: cfg.Merge.HoldProbe, metrics: m,
		breaker: &breaker{provider: provider, cfg: cfg.Breaker, log: log},
		close:   providers.Sender.Close, tripped: func(*lane) {}, calmed: func(*lane) {},
		line: line{round: 1}, bell: newBell(),
	}
}

// down says whether the provider is down. Any goroutine may ask.
func (g *gate) down() bool { return g.breaker.is(open) }

// limit sets the limits of the provider and of all providers together; nil is none.
func (g *gate) limit(total, own *rate.Limiter) {
	g.limits = g.limits[:0]
	for _, l := range []*rate.Limiter{total, own} {
		if l != nil {
			g.limits = append(g.limits, l)
		}
	}
}

// change lets the goroutine run f between two steps.
func (g *gate) change(f func()) {
	g.mu.Lock()
	g.inbox.changes = append(g.inbox.changes, f)
	g.mu.Unlock()
	g.bell.ring()
}

// offer takes wakes that are ready, of which some may be urgent. It may be called from any goroutine.
func (g *gate) offer(wakes []*wake, urgent bool) {
	g.mu.Lock()
	n := len(g.inbox.offers)
	g.inbox.offers = append(g.inbox.offers, wakes...)
	g.mu.Unlock()
	if urgent {
		g.bell.ring()
		return
	}
	g.bell.ringFor(n, n+len(wakes), gather)
}

func (g *gate) answered(a laneAnswer) {
	g.mu.Lock()
	n := len(g.inbox.answers)
	g.inbox.answers = append(g.inbox.answers, a)
	g.mu.Unlock()
	if a.outlet.lane.slow.isFull() { // the lane waits for it
		g.bell.ring()
		return
	}
	g.bell.ringFor(n, n+1, gather)
}

// halt makes the gate begin nothing any more. Answers are still taken.
func (g *gate) halt() {
	g.mu.Lock()
	g.inbox.halt = true
	g.mu.Unlock()
	g.bell.ring()
}

// run is the gate's goroutine; it ends with ctx.
func (g *gate) run(ctx context.Context) {
	var spare gateInbox
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.bell.rung:
		case <-g.bell.soon.C:
		case <-timer.C:
		}
		g.mu.Lock()
		in := g.inbox
		g.inbox = gateInbox{offers: spare.offers[:0], answers: spare.answers[:0], changes: spare.changes[:0], halt: in.halt}
		g.mu.Unlock()
		now := time.Now()
		if next := g.step(in, now); !next.IsZero() {
			timer.Reset(max(0, next.Sub(now)))
		}
		clear(in.offers)
		clear(in.answers)
		clear(in.changes)
		spare = in
	}
}

// step takes the inbox, gives turns, and says when it wants to be called again (zero: at the next inbox).
func (g *gate) step(in gateInbox, now time.Time) time.Time {
	g.halted = in.halt
	for _, f := range in.changes {
		f()
	}
	for _, w := range in.offers {
		// The content says which lane. It may be gone before we look (withdrawn, or begun from an earlier place), or be
		// another gate's: the device moved to another provider meanwhile, and was offered there too.
		if k := w.offer.Load(); k != nil && k.lane.gate == g {
			k.lane.queues[k.priority].push(w)
			g.count(k.lane, 1)
			g.line.enlist(k.lane)
		}
	}
	for i := range in.answers {
		g.take(&in.answers[i], now)
	}
	return g.turns(now)
}

// take takes the sum of a batch of results.
func (g *gate) take(a *laneAnswer, now time.Time) {
	o, l := a.outlet, a.outlet.lane
	o.inFlight -= a.n
	l.inFlight -= a.n
	l.slow.answered(a.n)
	g.inFlight.Add(int64(-a.n))
	g.breaker.observe(l, a.failed, a.fine, now)
	if o != l.outlet.Load() {
		g.closeRetired(l)
		g.line.enlist(l)
		return
	}
	switch {
	case a.healthy: // also beside a refusal: then it was about one push, not about the credential
		l.probing, l.barredUntil = false, time.Time{}
		o.barred.Store(false)
	case a.refused:
		l.probing = false
		l.barredUntil = now.Add(g.probe)
	}
	if a.wait > 0 && now.Add(a.wait).After(l.until) {
		l.until = now.Add(a.wait)
	}
	g.line.enlist(l)
}

// equip gives a lane of this gate a credential and limits (lane.equip), and lets it go on if it can.
func (g *gate) equip(l *lane, c Credential) (replaced bool) {
	replaced = l.equip(c)
	g.closeRetired(l)
	g.line.enlist(l)
	return replaced
}

// closeRetired closes what a lane pushed through before, once all of it is answered.
func (g *gate) closeRetired(l *lane) {
	l.retired = slices.DeleteFunc(l.retired, func(o *outlet) bool {
		if o.inFlight == 0 {
			g.close(o.sender)
		}
		return o.inFlight == 0
	})
}

// count counts places that were taken, or left, in a lane's queues.
func (g *gate) count(l *lane, n int) {
	g.waiting.Add(int64(n))
	l.places.Add(int64(n))
}

// send gives pushes that a lane has begun to its outlet, and counts them against all limits.
func (g *gate) send(l *lane, pushes []providers.Push, now time.Time) {
	n := len(pushes)
	if n == 0 {
		return
	}
	for _, limit := range g.limits {
		limit.ReserveN(now, n) // another gate may have been quicker with the total: then this borrows
	}
	reserve(l.limit, now, n)
	reserve(g.breaker.limit, now, n)
	g.breaker.probing = g.breaker.is(open)
	o := l.outlet.Load()
	o.inFlight += n
	l.inFlight += n
	g.inFlight.Add(int64(n))
	o.sender.Send(pushes, o.answered)
}

// answerSelf gives the shards the lane's own answers.
func (g *gate) answerSelf(l *lane, own []providers.Result) {
	if len(own) > 0 {
		g.metrics.count(l.provider, own)
		deliver(own)
	}
}
