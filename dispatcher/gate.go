package dispatcher

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"pushd/providers"
)

const (
	// quantum is how many pushes a lane may begin in one turn: enough for a sender to fill its frames, few enough that
	// the other lanes' turns come soon.
	quantum = 64
	// turnsPerStep is how many turns are given before the gate looks at its inbox again.
	turnsPerStep = 64
	// shortest is how soon the gate wakes for the next token: at high rates several pushes' worth.
	shortest = 2 * time.Millisecond
)

// weights are the turns that each class gets while all have wakes: urgent overtakes, bulk never starves.
var weights = [classes]int{32, 8, 1}

// gate gives the lanes of one provider their turns under the limits they share. It is a state machine (step), with a
// goroutine around it (run).
type gate struct {
	provider string
	limits   []*rate.Limiter // the provider's and the total; the total is shared with the other gates
	expires  time.Duration   // Config.Merge.Expires
	probe    time.Duration   // Config.Merge.HoldProbe
	metrics  *metrics

	// Owned by the goroutine.
	rings  [classes][]*lane
	credit [classes]int
	timed  []*lane // lanes that wait for a time; few
	halted bool

	inFlight atomic.Int64 // over all lanes
	waiting  atomic.Int64 // places in the lanes' queues

	mu    sync.Mutex // guards the inbox
	inbox gateInbox
	bell  chan struct{} // capacity 1; rung when the inbox has something
}

type gateInbox struct {
	offers  []*wake
	answers []laneAnswer
	halt    bool
}

// laneAnswer is what a gate has to know of a batch of results.
type laneAnswer struct {
	lane    *lane
	n       int
	refused bool          // the credential was
	healthy bool          // the provider took or judged a push: the credential works
	wait    time.Duration // the provider asked the whole credential to wait
}

func newGate(provider string, cfg Config, total *rate.Limiter, perSecond float64, m *metrics) *gate {
	g := &gate{
		provider: provider, expires: cfg.Merge.Expires, probe: cfg.Merge.HoldProbe, metrics: m,
		credit: weights, bell: make(chan struct{}, 1),
	}
	for _, l := range []*rate.Limiter{total, newLimit(perSecond)} {
		if l != nil {
			g.limits = append(g.limits, l)
		}
	}
	return g
}

// offer takes wakes that are ready. It may be called from any goroutine.
func (g *gate) offer(wakes []*wake) {
	g.mu.Lock()
	g.inbox.offers = append(g.inbox.offers, wakes...)
	g.mu.Unlock()
	ring(g.bell)
}

func (g *gate) answered(a laneAnswer) {
	g.mu.Lock()
	g.inbox.answers = append(g.inbox.answers, a)
	g.mu.Unlock()
	ring(g.bell)
}

// halt makes the gate begin nothing any more. Answers are still taken.
func (g *gate) halt() {
	g.mu.Lock()
	g.inbox.halt = true
	g.mu.Unlock()
	ring(g.bell)
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
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
		case <-g.bell:
		case <-timer.C:
		}
		g.mu.Lock()
		in := g.inbox
		g.inbox = gateInbox{offers: spare.offers[:0], answers: spare.answers[:0], halt: in.halt}
		g.mu.Unlock()
		now := time.Now()
		if next := g.step(in, now); !next.IsZero() {
			timer.Reset(max(0, next.Sub(now)))
		}
		clear(in.offers)
		spare = in
	}
}

// step takes the inbox, gives turns, and says when it wants to be called again (zero: at the next inbox).
func (g *gate) step(in gateInbox, now time.Time) time.Time {
	g.halted = in.halt
	for _, w := range in.offers {
		// The content says which lane. It may be gone before we look (withdrawn, or begun from an earlier place), or be
		// another gate's: the device moved to another provider meanwhile, and was offered there too.
		if k := w.offer.Load(); k != nil && k.lane.gate == g {
			k.lane.queues[k.priority].push(w)
			g.waiting.Add(1)
			g.enlist(k.lane)
		}
	}
	for i := range in.answers {
		g.take(&in.answers[i], now)
	}
	return g.turns(now)
}

// take takes the sum of a batch of results.
func (g *gate) take(a *laneAnswer, now time.Time) {
	l := a.lane
	l.inFlight -= a.n
	g.inFlight.Add(int64(-a.n))
	switch {
	case a.healthy: // also beside a refusal: then it was about one push, not about the credential
		l.probing, l.barredUntil = false, time.Time{}
		l.barred.Store(false)
	case a.refused:
		l.probing = false
		l.barredUntil = now.Add(g.probe)
	}
	if a.wait > 0 && now.Add(a.wait).After(l.until) {
		l.until = now.Add(a.wait)
	}
	g.enlist(l)
}

// enlist puts a lane into the rings of the classes it has wakes of.
func (g *gate) enlist(l *lane) {
	for class := range l.queues {
		if l.queues[class].len() > 0 && !l.listed[class] {
			l.listed[class] = true
			g.rings[class] = append(g.rings[class], l)
		}
	}
}

// turns gives the lanes their turns until nothing may be begun, or it is time to look at the inbox.
func (g *gate) turns(now time.Time) time.Time {
	if g.halted {
		return time.Time{}
	}
	for i := len(g.timed) - 1; i >= 0; i-- {
		if l := g.timed[i]; !now.Before(l.wakeAt) {
			l.timed = false
			g.timed[i] = g.timed[len(g.timed)-1]
			g.timed = g.timed[:len(g.timed)-1]
			g.enlist(l)
		}
	}
	for range turnsPerStep {
		if g.empty() {
			return g.soonest()
		}
		room := quantum
		for _, limit := range g.limits {
			room = min(room, tokens(limit, now))
		}
		if room < 1 {
			return now.Add(g.untilToken(now))
		}
		g.turn(g.pick(), room, now)
	}
	return now
}

// turn lets the first lane of a ring begin up to room pushes.
func (g *gate) turn(class, room int, now time.Time) {
	l := g.rings[class][0]
	g.rings[class] = g.rings[class][1:]
	l.listed[class] = false
	if outcome, wait := l.closed(now); outcome != 0 {
		own, places := l.turnAway(outcome, wait)
		g.waiting.Add(int64(-places))
		g.answerSelf(l, own)
		return
	}
	if l.barred.Load() {
		l.probing = true
	}
	room = min(room, l.room(now))
	if room == 0 {
		g.block(l, now)
		return
	}
	before := l.queues[class].len()
	pushes, own := l.begin(class, room, now, g.expires)
	g.waiting.Add(int64(l.queues[class].len() - before))
	g.answerSelf(l, own)
	if n := len(pushes); n > 0 {
		for _, limit := range g.limits {
			limit.ReserveN(now, n) // another gate may have been quicker with the total: then this borrows
		}
		if l.limit != nil {
			l.limit.ReserveN(now, n)
		}
		l.inFlight += n
		g.inFlight.Add(int64(n))
		l.sender.Send(pushes, l.done)
	}
	g.enlist(l)
}

// block leaves a lane out of the rings until an answer or a time lets it go on.
func (g *gate) block(l *lane, now time.Time) {
	switch {
	case now.Before(l.until):
		l.wakeAt = l.until
	case l.limit == nil || tokens(l.limit, now) > 0:
		return // full: its next answer enlists it
	default:
		l.wakeAt = now.Add(untilToken(l.limit, now))
	}
	if !l.timed {
		l.timed = true
		g.timed = append(g.timed, l)
	}
}

// empty says whether no lane wants a turn.
func (g *gate) empty() bool {
	for class := range g.rings {
		if len(g.rings[class]) > 0 {
			return false
		}
	}
	return true
}

// pick chooses the class of the next turn by weight. Some class is not empty.
func (g *gate) pick() int {
	for {
		for class := range g.rings {
			if len(g.rings[class]) > 0 && g.credit[class] > 0 {
				g.credit[class]--
				return class
			}
		}
		g.credit = weights
	}
}

// soonest is when the first timed lane may go on.
func (g *gate) soonest() (next time.Time) {
	for _, l := range g.timed {
		if next.IsZero() || l.wakeAt.Before(next) {
			next = l.wakeAt
		}
	}
	return next
}

func (g *gate) untilToken(now time.Time) (wait time.Duration) {
	for _, limit := range g.limits {
		wait = max(wait, untilToken(limit, now))
	}
	return wait
}

func untilToken(limit *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - limit.TokensAt(now)
	return max(shortest, time.Duration(missing/float64(limit.Limit())*float64(time.Second)))
}

// answerSelf gives the shards the lane's own answers.
func (g *gate) answerSelf(l *lane, own []providers.Result) {
	if len(own) > 0 {
		g.metrics.count(l.provider, own)
		deliver(own)
	}
}
