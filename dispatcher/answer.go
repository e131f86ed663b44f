package dispatcher

import (
	"time"

	"pushd/providers"
	"pushd/queue/event"
	"pushd/store"
)

// Outcomes that lanes add to the providers' own: a lane answers a wake that it did not send, too.
const (
	// lapsed: the wake's expiry passed while it stood in the lane.
	lapsed providers.Outcome = 0x80 + iota
	// barred: the lane's credential is refused; the wake was not sent.
	barred
	// deferred: the provider asked the whole credential to wait for Result.Wait; the wake was not sent.
	deferred
)

// verdict is what feedback says of a wake's end.
type verdict struct {
	reason string
	status int
	since  time.Time
}

func verdictOf(r *providers.Result) verdict {
	return verdict{reason: r.Reason, status: r.Status, since: r.Since}
}

// answer takes the result of the push that was made for w, or the lane's word why none was made.
func (c *core) answer(w *wake, r *providers.Result, now time.Time) {
	if r.Outcome < lapsed {
		w.attempts++
	}
	if w.moot {
		c.answerMoot(w, r, now)
		return
	}
	switch r.Outcome {
	case providers.Accepted:
		c.accepted(w, r.At, now)
	case providers.TokenDead:
		c.tokenDead(w, r, now)
	case providers.Rejected:
		c.report(w, store.Rejected, verdictOf(r), now)
	case providers.Again, providers.Later, deferred:
		c.retry(w, r, now)
	case providers.Refused:
		c.refusal(w, r, now)
		c.refused(w, now)
	case barred:
		c.refused(w, now)
	case lapsed:
		c.report(w, store.Expired, verdict{reason: "expired while it waited"}, now)
	default:
		panic("dispatcher: a result without an outcome")
	}
}

// answerMoot ends a wake whose events were settled while its push was under way.
func (c *core) answerMoot(w *wake, r *providers.Result, now time.Time) {
	w.moot = false
	switch r.Outcome {
	case providers.Accepted:
		c.index.Rest(w.device, now)
	case providers.Refused:
		c.refusal(w, r, now)
	}
	c.next(w, now)
}

// accepted: the promise is kept for every event merged into the push, since its answer came. From now on the device rests.
func (c *core) accepted(w *wake, came, now time.Time) {
	c.index.Rest(w.device, now)
	if c.Observe != nil {
		c.Observe(w, came)
	}
	w.storedUntil = w.content.expires
	if w.storedUntil.IsZero() {
		w.storedUntil = now.Add(c.Config.Merge.Expires)
	}
	if c.Accepted {
		c.publish(w, event.Accepted, verdict{}, now, func(now time.Time) { c.conclude(w, now) })
		return
	}
	c.conclude(w, now)
}

// conclude ends an accepted push.
func (c *core) conclude(w *wake, now time.Time) {
	c.settle(w, store.Accepted, now)
	w.attempts, w.staleSent, w.resent = 0, false, false
	w.noDoubt()
	if c.Config.Merge.Until == UntilCheckin && c.owe(w, now) {
		return
	}
	c.trail(w, now)
}

// owe lets an accepted wake wait for the device's check-in. It says false where it cannot: the rewakes are used up, or
// what made the wake dirty needs a push of its own.
func (c *core) owe(w *wake, now time.Time) bool {
	if w.rewake >= len(c.Config.Merge.Rewake) || w.dirty != nil && !w.content.covers(w.dirty) {
		return false
	}
	due := now.Add(c.Config.Merge.Rewake[w.rewake])
	if !w.storedUntil.After(due) && w.dirty != nil || !w.durable && !c.keep(w, c.Owing) {
		return false
	}
	if w.dirty != nil {
		merged := w.content.merged(w.dirty)
		if c.replicated() {
			c.clean(w) // covered when the topic has it (copied)
		} else {
			c.settleDirty(w, store.Covered, now)
		}
		w.content = merged
	}
	c.schedule(w, owing, due, now)
	return true
}

// trail ends a wake whose events are all settled, or lets what made it dirty follow after the rest.
func (c *core) trail(w *wake, now time.Time) {
	if w.dirty == nil && w.state != owing {
		c.remove(w)
		return
	}
	if w.dirty != nil {
		w.dirty.address(w.content) // it was just accepted: better than an older one
		w.rewake = 0
		c.become(w, w.dirty)
	}
	w.since = now
	c.begin(w, now)
}

// next goes on after an end that was no acceptance: what made the wake dirty is a wake like any other.
func (c *core) next(w *wake, now time.Time) {
	if w.dirty == nil {
		c.remove(w)
		return
	}
	c.become(w, w.dirty)
	w.since, w.attempts, w.staleSent, w.resent, w.rewake = now, 0, false, false, 0
	w.noDoubt()
	c.begin(w, now)
}

// tokenDead: unless the token was registered again after the provider found it dead. A stale answer like that is not
// believed: the wake is sent once more, and reported.
func (c *core) tokenDead(w *wake, r *providers.Result, now time.Time) {
	stale := !r.Since.IsZero() && w.content.registered.After(r.Since)
	switch {
	case stale && !w.staleSent:
		w.staleSent = true
		c.publish(w, event.Stale, verdictOf(r), now, func(now time.Time) {
			c.clean(w)
			c.schedule(w, waiting, now.Add(againFloor), now)
		})
	case stale:
		c.report(w, store.Stale, verdictOf(r), now)
	default:
		c.suspect(w, verdictOf(r), now)
	}
}

// retry lets the wake wait for another try, merged with what made it dirty meanwhile: nothing of it was accepted yet.
func (c *core) retry(w *wake, r *providers.Result, now time.Time) {
	c.clean(w)
	due := now.Add(backoff(r, w.attempts, c.Rand))
	if w.content.expires.IsZero() && now.Sub(w.since) >= c.Config.Merge.GiveUp {
		c.report(w, store.Expired, verdict{reason: "given up: " + r.Reason, status: r.Status}, now)
		return
	}
	if w.content.expired(due) {
		c.report(w, store.Expired, verdictOf(r), now)
		return
	}
	if !due.After(now) {
		c.queue(w)
		return
	}
	c.schedule(w, waiting, due, now)
}

// refusal tells the publisher that a credential is refused. The lane lets one refusal through for each try.
func (c *core) refusal(w *wake, r *providers.Result, now time.Time) {
	c.send(&notice{message: c.feedback(w, event.CredentialRefused, verdictOf(r), now)})
}

// refusedAgain is the first wait after a refusal that was about one push, or about a credential that is replaced by now.
const refusedAgain = time.Second

// refused holds the wake until its credential is tried again, or replaced.
func (c *core) refused(w *wake, now time.Time) {
	if !w.content.lane.refused() {
		c.retry(w, &providers.Result{Wait: refusedAgain, Obeyed: w.attempts == 0, Reason: "credential refused"}, now)
		return
	}
	c.clean(w)
	if w.content.expired(now) {
		c.report(w, store.Expired, verdict{reason: "expired while its credential was refused"}, now)
		return
	}
	probe := c.Config.Merge.HoldProbe
	c.schedule(w, held, now.Add(probe+random(c.Rand, probe/obeyedSpread)), now)
}
