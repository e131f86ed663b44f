package dispatcher

import (
	"cmp"
	"slices"
	"time"

	"pushd/store"
)

// A suspect is a wake whose token is said to be dead, which the lane's guard does not believe yet. It is parked at once.
// With local durability that is in the flush that has the accepted pushes it was answered among: what is lost of either at a
// crash is lost of both, and sent again. With replicated durability the topic of parked wakes may be ahead of it or behind.
// After a restart it is sent again too, for the guard is new then (guard).

// suspect lets a dead token wait for what is said of the lane's others.
func (c *core) suspect(w *wake, v verdict, now time.Time) {
	w.verdict, w.doubted, w.kept = v, now, w.doubt
	settle := w.content.lane.guard.settle()
	if settle == 0 {
		c.judge(w, now)
		return
	}
	w.holdBack(c.ruling(w, now))
	old := w.content
	c.clean(w)
	if w.content.readdressed(old) {
		w.noDoubt()
		c.begin(w, now)
		return
	}
	c.schedule(w, suspect, now.Add(settle), now)
}

// judge decides what becomes of a suspect: it is due, or what the guard says has changed. While the guard is tripped, some
// are sent again from time to time: only so it can learn that the provider has come to its senses.
func (c *core) judge(w *wake, now time.Time) {
	if w.doubt.restored && w.doubt.heldBack && w.content.lane.guard != nil {
		c.resend(w) // the guard has not heard that it was held back (holdAgain)
		return
	}
	ruling := c.ruling(w, now)
	w.holdBack(ruling)
	probe := c.Config.Merge.HoldProbe
	switch {
	case ruling == believed:
		c.believe(w, now)
	case w.content.expired(now):
		c.report(w, store.Expired, verdict{reason: "expired while its token was in doubt"}, now)
	case ruling == unproven:
		c.schedule(w, suspect, now.Add(min(unprovenEvery, c.Config.Guard.Patience)), now)
	case w.content.lane.guard.samples(now, probe):
		c.resend(w)
	default:
		c.schedule(w, suspect, now.Add(probe), now)
	}
}

// holdBack notes whether the wake is held back; if that has changed, its stored form is out of date.
func (w *wake) holdBack(r ruling) {
	if is := r == heldBack; is != w.doubt.heldBack {
		w.doubt.heldBack, w.stored = is, nil
		w.kept = w.doubt
	}
}

// holdAgain notes that an owner before held the wake back; nothing of it is under way.
func (w *wake) holdAgain() {
	w.doubt.heldBack, w.doubt.restored = true, true
	w.kept = w.doubt
}

// noDoubt takes the doubt away: the token is another, or was accepted.
func (w *wake) noDoubt() { w.doubt, w.kept = doubt{}, doubt{} }

// resend offers a suspect again. Its push goes apart: the token was called dead before.
func (c *core) resend(w *wake) {
	k := *w.content
	k.suspect = true
	w.content, w.attempts = &k, 0
	c.queue(w)
}

// ruling is the guard's, but for a token that was long in doubt alone: one dead device of a small tenant proves nothing.
func (c *core) ruling(w *wake, now time.Time) ruling {
	r := w.content.lane.guard.rule(now)
	if r == unproven && now.Sub(w.doubted) >= c.Config.Guard.Patience {
		return believed
	}
	return r
}

// believe reports the token dead.
func (c *core) believe(w *wake, now time.Time) {
	c.unschedule(w)
	if since := w.verdict.since; !since.IsZero() {
		token := c.Identify.Token(w.content.token)
		c.index.Bury(token, since)
		c.tombstones = append(c.tombstones, store.Tombstone{Token: token, Since: since})
	}
	c.report(w, store.TokenDead, w.verdict, now)
}

// mergeSuspect takes an event of a device whose token is in doubt: with another address, or one that was registered since,
// it is worth a push.
func (c *core) mergeSuspect(w *wake, newer *content, t taken, now time.Time) {
	old := w.content
	w.content = old.merged(newer)
	c.hold(w, t)
	if w.content.readdressed(old) {
		w.attempts = 0
		w.noDoubt()
		c.begin(w, now)
		return
	}
	c.books.pending++
	if w.durable {
		c.park(w, now)
	}
}

// readdressed says whether a push made of c goes elsewhere than one made of old, or to a token that was registered anew.
func (c *content) readdressed(old *content) bool {
	return c.token != old.token || c.lane != old.lane || c.registered.After(old.registered)
}

// absolve takes the word that a guard believes its provider again: what it held back is sent again, once, or reported.
func (c *core) absolve(now time.Time, report bool, of func(*lane) bool) {
	for _, w := range c.those(suspect, of) {
		if report || w.resent {
			c.believe(w, now)
			continue
		}
		w.resent = true
		c.resend(w)
	}
}

// those are the wakes in a state, of some lanes, in the order of their devices, so that a history replays to the byte.
func (c *core) those(s state, of func(*lane) bool) []*wake {
	var found []*wake
	for _, w := range c.wakes {
		if w.state == s && of(w.content.lane) {
			found = append(found, w)
		}
	}
	slices.SortFunc(found, func(a, b *wake) int { return cmp.Compare(a.device, b.device) })
	return found
}
