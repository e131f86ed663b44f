package dispatcher

import (
	"container/heap"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"pushd/queue/event"
	"pushd/store"
)

// park makes a wake outlive the process: with the next flush the ledger has it, or it is on its way to the topic of parked
// wakes, and when it is there its offsets are done (I2). Parking again what is parked stores its newest form. Where the budget
// is used up nothing happens: the wake stays in memory, keeps its offsets, and the partition pauses when its window is full.
func (c *core) park(w *wake, now time.Time) {
	if !w.durable && !c.keep(w, c.Budget) {
		return
	}
	if (w.state == held || w.state == suspect) && w.storedState == w.state && w.stored == w.content && len(w.taken) == 0 {
		return // tried, or looked at, again in vain: the ledger has it as it is
	}
	c.changed[w.device] = struct{}{}
	if !c.replicated() { // else its offsets are done when the topic has it (copied)
		c.passOn(w, len(w.taken), now)
	}
}

// passOn settles the first n events that hold offsets of a wake: it is stored with them.
func (c *core) passOn(w *wake, n int, now time.Time) {
	kind := store.Parked
	if w.state == held {
		kind = store.Held
	}
	for _, t := range w.taken[:n] {
		c.outcomes = append(c.outcomes, store.Outcome{Device: w.device, Event: t.id, Kind: kind, At: now})
		c.offsets = append(c.offsets, t.offset)
	}
	w.parked += n
	c.drop(w, n)
}

// drop takes the first n off the events that hold offsets of a wake.
func (c *core) drop(w *wake, n int) {
	if w.taken = slices.Delete(w.taken, 0, n); len(w.taken) == 0 {
		c.holders.drop(w)
	}
}

// keep makes the wake one that is stored, where the budget allows.
func (c *core) keep(w *wake, budget *atomic.Int64) bool {
	if budget.Add(-1) < 0 {
		budget.Add(1)
		return false
	}
	w.durable, w.budget = true, budget
	c.books.parked++
	c.changed[w.device] = struct{}{}
	return true
}

// unpark drops a wake with the next flush from where it is stored.
func (c *core) unpark(w *wake) {
	if !w.durable {
		return
	}
	w.durable, w.stored = false, nil
	w.budget.Add(1)
	c.books.parked--
	if c.replicated() {
		c.settled = append(c.settled, w.copy.at...)
		w.copy.at = nil
		return
	}
	c.changed[w.device] = struct{}{}
}

// restore takes what the ledger kept.
func (c *core) restore(list []store.Waiting, orphan func(tenant, provider string) *lane, now time.Time) error {
	for i := range list {
		p, err := decodeParked(list[i].Data)
		if err != nil {
			return fmt.Errorf("waiting wake %016x of partition %d: %w", list[i].Device, c.partition, err)
		}
		c.admit(c.revive(list[i].Device, &p, orphan, now))
	}
	return nil
}

// revive makes a wake of its stored form. Due times are wall-clock times, so after a jump of the clock they are brought
// back to where backoff could have put them.
func (c *core) revive(d store.Device, p *parkedWake, orphan func(tenant, provider string) *lane, now time.Time) *wake {
	to := c.Route(p.Tenant, p.Provider)
	if to == nil {
		to = orphan(p.Tenant, p.Provider)
	}
	w := &wake{
		shard: c.shard, device: d, tenant: p.Tenant, name: p.Device, heapAt: -1, since: p.Since, attempts: p.Attempts,
		parked: p.Events, rewake: p.Rewake, staleSent: p.StaleSent, storedUntil: p.StoredUntil, state: waiting,
		content: &content{
			lane: to, token: p.Token, pushMagic: p.PushMagic, topic: p.Topic, pushType: p.PushType,
			payload: p.Payload, suspect: p.State == suspect.String(), priority: event.Priority(p.Priority), expires: p.Expires,
			registered: p.Registered, newest: p.Newest, read: p.Read, id: p.ID, traceparent: p.Traceparent,
		},
	}
	for _, s := range []state{resting, held, owing} {
		if p.State == s.String() {
			w.state = s
		}
	}
	w.due = now.Add(p.Due.Sub(now)) // from here on the clock may jump
	if last := now.Add(c.longestWait()); w.due.Before(now) || w.due.After(last) {
		w.due = now
	}
	doubted := p.State == suspect.String()
	if doubted {
		w.due = now // its guard is a new one, which has to hear it again
	}
	if doubted || p.Among > 0 || p.HeldBack {
		w.kept = doubt{accepted: p.Among, heldBack: p.HeldBack, restored: true}
		w.doubt = w.kept
	}
	return w
}

// admit takes a revived wake among the others.
func (c *core) admit(w *wake) {
	budget := c.Budget
	if w.state == owing {
		budget = c.Owing
	}
	c.endure(w, budget)
	c.books.restored += int64(w.parked)
	c.books.open[w.state] += int64(w.parked)
	c.wakes[w.device] = w
	heap.Push(&c.due, w)
}

// endure notes that the wake is stored, whether the budget allows it or not.
func (c *core) endure(w *wake, budget *atomic.Int64) {
	if w.durable {
		return
	}
	budget.Add(-1)
	w.durable, w.budget = true, budget
	c.books.parked++
}

// longestWait is the longest time that a wake can be scheduled ahead.
func (c *core) longestWait() time.Duration {
	longest := max(c.Config.Merge.Interval, c.Config.Merge.HoldProbe*2, 24*time.Hour+maxBackoff)
	for _, wait := range c.Config.Merge.Rewake {
		longest = max(longest, wait)
	}
	return longest
}
