package dispatcher

import (
	"time"

	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

// take reads as many of a batch of records as the window has room for, and puts the others into the backlog.
func (c *core) take(records []queue.Record, now time.Time) {
	n := 0
	if c.backlog.len() == 0 {
		n = c.takeFitting(records, now)
	}
	for _, r := range records[n:] {
		c.backlog.push(r)
	}
	c.read(now)
}

// read takes records from the backlog while the window has room.
func (c *core) read(now time.Time) {
	if c.draining || c.window == nil {
		return
	}
	c.backlog.drop(c.takeFitting(c.backlog.all(), now))
	full := c.backlog.len() > 0 && !c.run.stopped
	if full || len(c.crowds) > 0 || c.window.Used() > nearlyFull {
		c.crowd(full, now)
	}
}

// fits says whether the record at an offset may be read now.
func (c *core) fits(offset int64) bool {
	return !c.draining && c.window != nil && !c.run.stopped && c.window.Fits(offset)
}

// ahead is how many records are decoded before the first of them is acted on, and how many results are looked at ahead: so
// many waits for memory become one.
const ahead = 16

// decoded is a record that is read, and not acted on yet.
type decoded struct {
	event  event.Event
	fault  error
	device store.Device // unless another name holds it
	id     store.EventID
}

// takeFitting takes records as far as the window has room, and says how many.
func (c *core) takeFitting(records []queue.Record, now time.Time) (n int) {
	var block [ahead]decoded
	for n < len(records) {
		some := block[:0]
		for i := n; i < len(records) && len(some) < ahead && c.fits(records[i].Offset); i++ {
			some = append(some, decoded{})
			c.decode(&records[i], &some[len(some)-1])
		}
		for i := range some {
			c.index.Warm(some[i].device, some[i].id)
		}
		if len(some) == 0 {
			break
		}
		for i := range some {
			if !c.fits(records[n].Offset) { // the one before stopped the partition, or began the window anew
				return n
			}
			c.record(&records[n], &some[i], now)
			records[n].Release()
			n++
		}
	}
	return n
}

// decode reads a record.
func (c *core) decode(r *queue.Record, to *decoded) {
	if to.event, to.fault = c.decoder.Decode(r.Key, r.Value, r.Headers, r.Time); !r.Cut.Whole() {
		to.fault = r.Cut.Fault()
	}
	if to.fault == nil {
		to.device = c.Identify.Device(to.event.Tenant, to.event.Device)
		to.id = c.eventID(to.device, &to.event, r)
	}
}

func (c *core) eventID(d store.Device, e *event.Event, r *queue.Record) store.EventID {
	if e.ID != "" {
		return c.Identify.EventID(d, e.ID)
	}
	// An event without an id is known by its place, so that reading it again after a crash is noticed too.
	return c.Identify.OffsetID(r.Partition, r.Offset, r.Time)
}

func (c *core) record(r *queue.Record, in *decoded, now time.Time) {
	done := c.window.Take(r.Offset)
	c.books.read++
	if block := r.Offset / stampEvery; block != c.stamped {
		c.stamped = block
		c.stamps[block%int64(len(c.stamps))] = stamp{published: r.Time, read: now}
	}
	if done { // the owner before had it settled (I3)
		c.books.recalled++
		c.moved = true
		return
	}
	if in.fault != nil {
		c.deadLetter(r, in.fault, now)
		return
	}
	e := &in.event
	d, w := c.deviceFrom(in.device, e.Tenant, e.Device)
	t := taken{offset: r.Offset, id: in.id}
	if d != in.device {
		t.id = c.eventID(d, e, r)
	}
	if c.index.See(d, t.id, now) {
		// The first of them is in front of this one in the window, or done: nothing hangs on this offset.
		c.books.duplicates++
		c.offsets = append(c.offsets, t.offset)
		return
	}
	switch e.Type {
	case event.Wake:
		c.wake(e, r, d, w, t, now)
	case event.Checkin:
		if c.Config.Merge.Until == UntilCheckin {
			c.checkedIn(d, e.Time, now)
		}
		c.run.note(false)
		c.note(d, t, now)
	case event.Forget:
		c.run.note(false)
		c.forget(d, e.Time, now)
		c.note(d, t, now)
	}
}

// device is the identity under which the wakes of a device are kept, and its wake if there is one. Two names with the same
// 64-bit hash would share a wake, and one would be lost; so while another name holds the identity, the next one is tried.
func (c *core) device(tenant, name string) (store.Device, *wake) {
	return c.deviceFrom(c.Identify.Device(tenant, name), tenant, name)
}

func (c *core) deviceFrom(d store.Device, tenant, name string) (store.Device, *wake) {
	for {
		w := c.wakes[d]
		if w == nil || w.name == name && w.tenant == tenant {
			return d, w
		}
		d++
	}
}

// wake takes a wake event; w is the wake that its device has, or nil.
func (c *core) wake(e *event.Event, r *queue.Record, d store.Device, w *wake, t taken, now time.Time) {
	to := c.route(e.Tenant, e.Provider)
	if to == nil {
		c.index.Unsee(d, t.id) // mended and replayed from the dead letters, it must count
		c.deadLetter(r, &event.Error{
			Reason: event.UnknownTenant, Field: "tenant",
			Text: "has no credential for " + e.Provider + "; add one to its file in tenants.dir and replay the dead letter",
		}, now)
		return
	}
	c.run.note(false)
	if w == nil {
		w = &wake{
			shard: c.shard, device: d, tenant: to.tenant, name: e.Device, since: now, heapAt: -1, state: queued,
			first: contentOf(e, to, r.Time),
		}
		w.content = &w.first
		c.wakes[d] = w
		c.hold(w, t)
		c.begin(w, now)
	} else {
		newer := contentOf(e, to, r.Time)
		c.mergeInto(w, &newer, t, now)
	}
	if _, crowds := c.crowds[w.content.lane]; crowds {
		c.makeWay(w, now)
	}
}

// route is the lane of a tenant's credential; nil where it has none.
func (c *core) route(tenant, provider string) *lane {
	key := [2]string{tenant, provider}
	to := c.routes[key]
	if to == nil || to.gone.Load() {
		if to = c.Route(tenant, provider); to != nil {
			c.routes[[2]string{to.tenant, to.provider}] = to // not the event's strings, which would stay with it
		}
	}
	return to
}

// begin brings a wake that nothing stands against to where it belongs: its end, a rest, or its lane.
func (c *core) begin(w *wake, now time.Time) {
	switch since, dead := c.index.DeadSince(c.Identify.Token(w.content.token)); {
	case w.content.expired(now):
		c.report(w, store.Expired, verdict{reason: "expired before it was sent"}, now)
	case dead && !w.content.registered.IsZero() && !w.content.registered.After(since):
		c.report(w, store.TokenDead, verdict{reason: "known dead", since: since}, now)
	default:
		if at, ok := c.restedAt(w, now); ok {
			c.schedule(w, resting, at.Add(c.Config.Merge.Interval), now)
			return
		}
		c.queue(w)
	}
}

func (c *core) restedAt(w *wake, now time.Time) (time.Time, bool) {
	if c.Config.Merge.Interval <= 0 {
		return time.Time{}, false
	}
	return c.index.RestedAt(w.device, now)
}

// mergeInto merges an event into the wake that its device already has.
func (c *core) mergeInto(w *wake, newer *content, t taken, now time.Time) {
	w.since = now // what was asked for just now is not given up soon
	switch w.state {
	case queued:
		old := w.content
		merged := old.merged(newer)
		if merged.lane != old.lane {
			c.reroute(w, merged, newer, t)
			return
		}
		if !w.offer.CompareAndSwap(old, merged) {
			c.soil(w, newer, t) // begun: exactly one trailing wake follows
			return
		}
		w.content = merged
		c.hold(w, t)
		c.books.pending++
		if merged.priority < old.priority {
			// Its place in the lane is by priority: it is offered a second time, and whichever place
			// comes first finds the content. The other finds nothing.
			c.out.offers = append(c.out.offers, w)
		}
	case reporting:
		c.soil(w, newer, t)
	case owing:
		c.mergeOwing(w, newer, t, now)
	case suspect:
		c.mergeSuspect(w, newer, t, now)
	case waiting, resting, held:
		old := w.content
		w.content = old.merged(newer)
		if w.content.readdressed(old) {
			w.noDoubt()
		}
		c.hold(w, t)
		c.books.pending++
		if w.durable {
			c.park(w, now)
		}
	}
}

// reroute moves a queued wake to another lane: the device's newest event names another provider.
func (c *core) reroute(w *wake, merged, newer *content, t taken) {
	if !w.withdraw() {
		c.soil(w, newer, t)
		return
	}
	w.content = merged
	c.hold(w, t)
	c.queue(w)
}

// mergeOwing takes an event of a device that was woken and has not checked in: the stored push does for it too, unless
// it goes to another token or is less urgent than the event.
func (c *core) mergeOwing(w *wake, newer *content, t taken, now time.Time) {
	// The stored push must live until it is replaced by the rewake, or as long as the event itself would.
	lives := w.storedUntil.After(w.due) || !newer.expires.IsZero() && !w.storedUntil.Before(newer.expires)
	if !lives || !w.content.covers(newer) {
		// Merged, not replaced: the events that the stored push covers still depend on this wake.
		w.content, w.rewake, w.since = w.content.merged(newer), 0, now
		c.hold(w, t)
		c.begin(w, now)
		return
	}
	w.content = w.content.merged(newer)
	c.changed[w.device] = struct{}{} // stored must be the newest event that the check-in has to come after
	if c.replicated() {
		c.hold(w, t) // until it is (copied)
		return
	}
	c.settleOne(w.device, t, store.Covered, now)
}

// checkedIn takes the news that a device started a session at the given time: what was asked for before that is satisfied.
// At the same instant is not before: a command queued just after a session began would be lost.
func (c *core) checkedIn(d store.Device, at, now time.Time) {
	w := c.wakes[d]
	if w == nil {
		return
	}
	if w.dirty != nil && w.dirty.newest.Before(at) {
		c.settleDirty(w, store.CheckedIn, now)
	}
	if !w.content.newest.Before(at) {
		if w.state == owing {
			// The session did not begin after the newest event that the stored push was to cover, and used the push up.
			w.rewake = 0
			c.trail(w, now)
		}
		return
	}
	switch {
	case w.state == reporting || w.moot:
	case w.state == queued && !w.withdraw():
		c.settle(w, store.CheckedIn, now)
		w.moot = true
	default:
		c.settle(w, store.CheckedIn, now)
		c.next(w, now)
	}
}

// forget drops what waits for a device that was gone at the given time. One that has a newer event came back since: the
// news of its going is old, such as a dead letter that is replayed.
func (c *core) forget(d store.Device, at, now time.Time) {
	w := c.wakes[d]
	if w != nil && w.askedAfter(at) {
		return
	}
	c.index.Forget(d)
	if w == nil {
		return
	}
	c.settleDirty(w, store.Forgotten, now)
	switch {
	case w.state == reporting || w.moot:
	case w.state == queued && !w.withdraw():
		c.settle(w, store.Forgotten, now)
		w.moot = true
	default:
		c.settle(w, store.Forgotten, now)
		c.remove(w)
	}
}
