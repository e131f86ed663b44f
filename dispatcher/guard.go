package dispatcher

import (
	"sync"
	"time"

	"pushd/providers"
	"pushd/store"
)

// guard watches over what a provider says of one credential's tokens. A wrong host, a certificate of another topic or a fault
// of the provider's makes every token look dead, and a publisher that believed it would erase a fleet. So a dead token is
// reported only after guard.settle, and not while there are too many of them.
//
//	          dead ≥ guard.count, of the newest guard.count / guard.ratio
//	calm ───────────────────────────────────────────────▶ tripped
//	 ▲                                                      │
//	 ├──── ratio halved, with guard.count accepted ─────────┤  what was held back is sent again; until then, guard.count of
//	 │                                                      │  it each merge.hold_probe, or nothing might be accepted
//	 ├──── credential replaced ─────────────────────────────┤  what was held back is sent again
//	 └──── released by an operator: trusted for an hour ────┘  what was held back is sent again, or reported
//
// A guard does not outlive the process; its suspects do, and they are all that does: what was accepted is settled and never
// sent again, whereas a suspect is. A guard that is new would hear of nothing but dead tokens, and trip for the best of
// credentials; and one that did not count what is sent again would believe a wrong one, whose suspects were all counted
// before. So each suspect carries its doubt, until its push is accepted or goes to another token: what is sent again, and called
// dead again, is counted together with the accepted pushes that it was called dead among. In the order in which they were
// found that is the share as it was, whichever of them come back, to whichever machine; in another it is near that. And if
// they were held back the first of them trips the guard again, unless more is accepted than dead by then, for there may be
// too few of them left to trip it. Where the credential was put right meanwhile they are accepted, and their doubt counts
// for nothing.
//
// Any goroutine may use it.
type guard struct {
	cfg GuardConfig

	mu       sync.Mutex           // guards all below
	answers  newest[store.Device] // the bad ones are the dead tokens; a device that is asked for again and again is one
	tripped  bool
	since    time.Time // when it tripped
	proven   int       // accepted since then
	sampled  int       // sent again in the round that began at sampling
	sampling time.Time
	trusted  time.Time // until then every answer is believed
}

const (
	// trustFor is how long the answers are believed after an operator has released a guard.
	trustFor = time.Hour
	// unprovenEvery is how often a dead token is looked at again while too little is known.
	unprovenEvery = 10 * time.Second
)

// ruling is what a guard says of a dead token.
type ruling uint8

const (
	believed ruling = iota
	unproven        // as good as nothing was accepted yet, so the credential may be to blame
	heldBack        // tripped
)

// turnOfGuard is what answers do to a guard.
type turnOfGuard uint8

const (
	stays turnOfGuard = iota
	trips
	calms
)

func newGuard(cfg GuardConfig) *guard {
	return &guard{cfg: cfg, answers: newNewest[store.Device](cfg.Count, cfg.Ratio)}
}

// doubt is what a suspect carries over a restart of its guard.
type doubt struct {
	accepted int  // pushes, since the dead token before it: as many as the guard remembers at most
	heldBack bool // the guard was tripped
	restored bool // this guard has not counted it
}

// note takes what a batch of results says of tokens. It sets the doubt of wakes whose token is called dead: no shard looks at
// a wake's doubt while a push is under way.
func (g *guard) note(results []providers.Result, now time.Time) turnOfGuard {
	if g == nil {
		return stays
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	accepted, again := 0, false // again: one was held back before a restart
	for i := range results {
		switch results[i].Outcome {
		case providers.Accepted:
			g.answers.good(1)
			accepted++
		case providers.TokenDead:
			w := results[i].Ref.(*wake)
			again = again || w.doubt.restored && w.doubt.heldBack
			g.count(w.device, &w.doubt)
		}
	}
	switch {
	case g.tripped:
		g.proven += accepted
		if g.proven >= g.cfg.Count && g.answers.share() < g.cfg.Ratio/2 {
			g.tripped = false
			return calms
		}
	case (again || g.answers.count() >= g.cfg.Count) && g.many() && !now.Before(g.trusted):
		g.tripped, g.since, g.proven = true, now, 0
		g.sampled, g.sampling = g.cfg.Count, now
		return trips
	}
	return stays
}

// count counts a dead token; g.mu is held.
func (g *guard) count(device store.Device, d *doubt) {
	if !g.answers.has(device) {
		if d.restored {
			g.answers.good(d.accepted)
		} else {
			d.accepted = g.answers.since()
		}
		g.answers.bad(device)
	}
	d.restored = false
}

// samples says whether a wake that is held back is to be sent again: guard.count of them in every so long. Each round is
// judged by what it brings, not by what was said before.
func (g *guard) samples(now time.Time, every time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.sampling) >= every {
		g.sampled, g.sampling = 0, now
		g.forget()
	}
	g.sampled++
	return g.sampled <= g.cfg.Count
}

// forget forgets all answers; g.mu is held.
func (g *guard) forget() {
	g.answers = newNewest[store.Device](g.cfg.Count, g.cfg.Ratio)
}

// many says whether the newest answers have too many dead tokens among them.
func (g *guard) many() bool { return g.answers.share() >= g.cfg.Ratio }

// rule says what to make of a dead token now.
func (g *guard) rule(now time.Time) ruling {
	if g == nil {
		return believed
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.tripped:
		return heldBack
	case g.answers.count() > 0 && g.many() && !now.Before(g.trusted):
		return unproven
	}
	return believed
}

// settle is how long a dead token waits for what is said of the others.
func (g *guard) settle() time.Duration {
	if g == nil {
		return 0
	}
	return g.cfg.Settle
}

// reset forgets everything: the credential is another one.
func (g *guard) reset() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget()
	g.tripped, g.trusted = false, time.Time{}
}

// trust releases the guard on an operator's word, if it is tripped. It says whether it was.
func (g *guard) trust(now time.Time) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.tripped {
		return false
	}
	g.forget()
	g.tripped, g.trusted = false, now.Add(trustFor)
	return true
}

// counts is how it stands: whether it is tripped, since when, and the answers that it remembers.
func (g *guard) counts() (tripped bool, since time.Time, accepted, dead int) {
	if g == nil {
		return false, time.Time{}, 0, 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tripped, g.since, g.answers.length() - g.answers.count(), g.answers.count()
}
