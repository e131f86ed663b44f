package dispatcher

import (
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"pushd/providers"
)

// breaker is what a gate knows of its provider's health. Where the provider is down, pushes would only fail, each wake would
// back off for itself, and all would come back at about the same time. So the gate stops instead: wakes keep their places,
// one push at a time tries, and when it is answered the rate goes up slowly.
//
//	closed ──count and ratio of failures──▶ open ──a probe is answered──▶ ramping ──breaker.ramp over, nobody waits──▶ closed
//	                                        ▲ │ a probe fails                │ count and ratio of failures
//	                                        └─┘◀────────────────────────────┘
//
// A failure is a connection that cannot be had or is lost, a time-out, or a 5xx answer. One tenant's trouble is no outage:
// breaker.ratio is also the part of the lanes of which that part of the answers must be failures. It belongs to the
// goroutine of its gate, but for state.
type breaker struct {
	provider string
	cfg      BreakerConfig
	log      *slog.Logger
	state    atomic.Int32 // a breakerState; any goroutine may read it
	opened   atomic.Int64 // how often

	now, last spell // the spell that runs, and the one before
	normal    float64
	since     time.Time // when the state was entered
	probing   bool      // open: a probe is under way
	probeAt   time.Time // open: when the next may be sent
	limit     *rate.Limiter
}

type breakerState int32

const (
	closed  breakerState = iota
	ramping              // the provider answers again
	open                 // the provider is down
)

// spellLength is how long failures and answers are counted together; two spells are looked at.
const spellLength = time.Second

// spellsApart is how long nothing may be answered before the spell before says nothing any more. Where requests time out,
// answers come in bursts.
const spellsApart = time.Minute

// spell is what was answered for a while.
type spell struct {
	began        time.Time
	number       int64
	failed, fine int
	lanes, ill   int // lanes that had an answer, and those whose answers were failures
}

// tally is what one lane was answered in a spell.
type tally struct {
	spell        int64 // its number
	failed, fine int
}

// ill says whether so many of the answers are failures that they are all but all.
func (c BreakerConfig) ill(failed, fine int) bool {
	return failed > 0 && float64(failed) >= c.Ratio*float64(failed+fine)
}

// rampFloor is the least rate, per second, that the ramp leads to, rampStart the part of it that the ramp begins with, and
// rampDoublings how often it is doubled at most where a backlog is left: more no machine can send.
const (
	rampFloor     = 1000
	rampStart     = 0.05
	rampDoublings = 20
)

// health is what an answer says of the provider: bad, or fine, or neither.
func health(r *providers.Result) (failed, fine bool) {
	switch {
	case r.Outcome == providers.Accepted, r.Status > 0 && r.Status < 500:
		return false, true
	case r.Status >= 500:
		return true, false
	}
	// No answer came. What the server surely did not look at says nothing: it drains (no wait), or we have closed. Where
	// all of a credential is to wait, it is the credential's: no access token could be had for it.
	lost := r.Outcome == providers.Again || r.Outcome == providers.Later && r.Scope == providers.Device
	return lost && r.Wait > 0 && r.Reason != providers.ReasonClosed, false
}

func (b *breaker) is(s breakerState) bool { return breakerState(b.state.Load()) == s }

func (b *breaker) enter(s breakerState, now time.Time) {
	b.state.Store(int32(s))
	b.since, b.now, b.last = now, spell{began: now, number: b.now.number + 1}, spell{}
}

// observe takes the sum of a batch of results of a lane.
func (b *breaker) observe(l *lane, failed, fine int, now time.Time) {
	if b.is(open) {
		b.probed(fine > 0, now) // an answer that says nothing of the provider's health is none
		return
	}
	if b.cfg.Count == 0 || failed+fine == 0 {
		return
	}
	b.roll(now)
	b.add(&l.tally, failed, fine)
	if b.last.began.IsZero() && now.Sub(b.now.began) < spellLength/2 {
		return // too short to know all lanes
	}
	bad, good := b.now.failed+b.last.failed, b.now.fine+b.last.fine
	lanes, ill := b.now.lanes+b.last.lanes, b.now.ill+b.last.ill
	if bad >= b.cfg.Count && b.cfg.ill(bad, good) && b.cfg.ill(ill, lanes-ill) {
		b.open(bad, good, now)
	}
}

// add counts answers in the spell that runs, and in it whether their lane is ill.
func (b *breaker) add(t *tally, failed, fine int) {
	b.now.failed += failed
	b.now.fine += fine
	if t.spell != b.now.number {
		*t = tally{spell: b.now.number}
		b.now.lanes++
	}
	if b.cfg.ill(t.failed, t.fine) {
		b.now.ill--
	}
	t.failed += failed
	t.fine += fine
	if b.cfg.ill(t.failed, t.fine) {
		b.now.ill++
	}
}

// roll begins a new spell when the one that runs is over, and learns the normal rate from it.
func (b *breaker) roll(now time.Time) {
	length := now.Sub(b.now.began)
	if length < spellLength {
		return
	}
	b.last = b.now
	switch {
	case length > spellsApart, length > 2*spellLength && b.now.fine > 0: // nothing was answered for a while
		b.last = spell{}
	case b.is(closed) && b.now.fine > b.now.failed:
		b.normal = max(0.8*b.normal, float64(b.now.fine)/length.Seconds())
	}
	b.now = spell{began: now, number: b.now.number + 1}
}

func (b *breaker) open(bad, good int, now time.Time) {
	b.enter(open, now)
	b.opened.Add(1)
	b.probing, b.probeAt, b.limit = false, now.Add(b.cfg.Probe), nil
	b.log.Error("a provider is down: no push to it is begun but one at a time that tries it; its wakes wait, nothing is lost",
		"provider", b.provider, "failed", bad, "answered", good, "try_every", b.cfg.Probe,
		"mend", "see the provider's status page and the network from here; pushd goes on by itself")
}

// probed takes an answer that came while the provider is down: of a probe, or of a push that was begun before.
func (b *breaker) probed(fine bool, now time.Time) {
	b.probing = false
	if !fine {
		b.probeAt = now.Add(b.cfg.Probe)
		return
	}
	b.log.Info("a provider answers again: the rate of pushes to it goes up to what it was", "provider", b.provider,
		"down_for", now.Sub(b.since).Round(time.Millisecond), "per_second", int(max(rampFloor, b.normal)), "within", b.cfg.Ramp)
	if b.cfg.Ramp == 0 {
		b.enter(closed, now)
		return
	}
	b.enter(ramping, now)
	b.limit = rate.NewLimiter(0, 1)
	b.ramp(now)
}

// ramp is the limit of the provider now; nil where there is none. It leads to the normal rate within breaker.ramp, and if
// there is a backlog then, it is not let loose: the rate doubles every quarter of that time until nobody waits (settle).
func (b *breaker) ramp(now time.Time) *rate.Limiter {
	if !b.is(ramping) {
		return nil
	}
	normal, part := max(rampFloor, b.normal), float64(now.Sub(b.since))/float64(b.cfg.Ramp)
	perSecond := normal * (rampStart + (1-rampStart)*part)
	if part > 1 {
		perSecond = normal * math.Exp2(min(rampDoublings, 4*(part-1)))
	}
	b.limit.SetLimitAt(now, rate.Limit(perSecond))
	b.limit.SetBurstAt(now, burst(perSecond))
	return b.limit
}

// settle is told that nobody waits: a ramp that is over ends the trouble. It returns when to ask again; zero is never.
func (b *breaker) settle(now time.Time) time.Time {
	if !b.is(ramping) {
		return time.Time{}
	}
	if over := b.since.Add(b.cfg.Ramp); now.Before(over) {
		return over
	}
	b.enter(closed, now)
	b.limit = nil
	return time.Time{}
}

// mayProbe says whether a push may try the provider that is down, and if not, when; zero is not before an answer.
func (b *breaker) mayProbe(now time.Time) (bool, time.Time) {
	switch {
	case b.probing:
		return false, time.Time{}
	case now.Before(b.probeAt):
		return false, b.probeAt
	}
	return true, time.Time{}
}
