package dispatcher

import (
	"sync"
	"sync/atomic"
	"time"

	"pushd/providers"
)

// outlet is what a lane's pushes go through: the sender of one credential, with what is under way on it.
//
//	current ──credential replaced──▶ retired ──last push answered──▶ closed
//
// What a retired outlet is told of its credential says nothing about the lane any more. Its fields belong to the goroutine
// of the lane's gate, but for those that say otherwise.
type outlet struct {
	lane     *lane                    // set once
	sender   providers.Sender         // set once
	answered func([]providers.Result) // done; set once, as a method made a value is an object each time
	inFlight int

	// barred is true from the first refusal of the credential until a push is answered otherwise. It is also set by
	// the sender's goroutines, so that of many refusals under way only the first is reported.
	barred  atomic.Bool
	telling sync.RWMutex // guards stale; held by the sender's goroutines until a batch is with the guard and the shards
	stale   bool         // the outlet is retired
}

// done is what the sender calls with answers, from its own goroutines.
func (o *outlet) done(results []providers.Result) { o.take(results, time.Now()) }

// take gives answers on: each to the shard that owns the device, and their sum to the gate.
func (o *outlet) take(results []providers.Result, now time.Time) {
	a := laneAnswer{outlet: o, n: len(results)}
	told := o.tell(results, &a, now)
	l := o.lane
	l.gate.answered(a)
	switch told { // the gate's functions may take their time
	case trips:
		l.gate.tripped(l)
	case calms:
		l.gate.calmed(l)
	}
}

// tell gives results to the guard and to the shards. A credential is replaced before it or after it: whatever is held for
// the old one, and whatever its guard holds back, is there when the lane goes on with the new one.
func (o *outlet) tell(results []providers.Result, a *laneAnswer, now time.Time) (told turnOfGuard) {
	o.telling.RLock()
	defer o.telling.RUnlock()
	if !o.stale {
		told = o.lane.guard.note(results, now)
	}
	for i := range results {
		r := &results[i]
		if failed, fine := health(r); failed {
			a.failed++
		} else if fine {
			a.fine++
		}
		switch {
		case o.stale && blames(r):
			*r = providers.Result{Ref: r.Ref, Outcome: providers.Again, Status: r.Status, Reason: r.Reason}
		case r.Outcome == providers.Refused:
			a.refused = true
			if !o.barred.CompareAndSwap(false, true) {
				r.Outcome = barred
			}
		case r.Outcome == providers.Later && r.Scope == providers.Credential:
			a.wait = max(a.wait, r.Wait)
		case judged(r):
			a.healthy = true
		}
	}
	o.lane.gate.metrics.count(o.lane.provider, results)
	deliver(results)
	return told
}

// retire ends the outlet's say: what comes from now on is about a credential that the lane does not have any more.
func (o *outlet) retire() {
	o.telling.Lock()
	defer o.telling.Unlock()
	o.stale = true
}

// blames says whether an answer can be the credential's fault: with another one it may be otherwise.
func blames(r *providers.Result) bool {
	switch r.Outcome {
	case providers.Refused, providers.TokenDead:
		return true
	case providers.Rejected:
		return r.Status != 0
	case providers.Later:
		return r.Scope == providers.Credential
	}
	return false
}

// judged says whether the provider itself took or judged the push: it is there, and the credential works.
func judged(r *providers.Result) bool {
	return r.Outcome == providers.Accepted || r.Outcome == providers.TokenDead || r.Outcome == providers.Rejected && r.Status != 0
}

// equip gives a lane its limits, and an outlet where the credential's sender is another one than before; it says whether it
// is. Only the gate's goroutine calls it, or whoever made the lane before anybody else knows it.
func (l *lane) equip(c Credential) (replaced bool) {
	l.rate, l.cap, l.weight = c.Rate, max(1, c.InFlight), max(1, c.Weight)
	l.ration()
	old := l.outlet.Load()
	if old != nil && old.sender == c.Sender || old == nil && c.Sender == nil {
		return false
	}
	if old != nil {
		old.retire()
	}
	l.guard.reset() // no old answer comes to it any more
	var current *outlet
	if c.Sender != nil {
		current = &outlet{lane: l, sender: c.Sender}
		current.answered = current.done
	}
	l.outlet.Store(current)
	l.probing, l.barredUntil, l.until = false, time.Time{}, time.Time{} // what was said of the old one
	if old != nil {
		l.retired = append(l.retired, old)
	}
	return true
}
