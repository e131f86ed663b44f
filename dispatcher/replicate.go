package dispatcher

import (
	"maps"
	"slices"
	"time"

	"pushd/queue"
	"pushd/store"
)

// Where retry.durability is replicated, a parked wake is a record of the topic of parked wakes and nowhere else; so it
// outlives this machine, and whoever is given the partition finds it there. The ledger has no copy that could contradict it.
//
//	park ── flush ──▶ record published ── acknowledged ──▶ its events' offsets are done, older records are buried
//	settled ── flush ──▶ tombstones for all its records
//	assigned ── in the background ──▶ adopt: wakes come back, or join those that events have made meanwhile
//
// A record's key is the position of the newest event in it, and not its device. So what an owner who was replaced, and does
// not know it, still writes is true of the events up to there and of no later ones: its tombstone says that they are
// settled, and cannot touch the record that a new owner has written for a later event of the same device.
//
// Nothing is written before what the topic had is read: else the record of an event that is read again could take the place
// of one under the same key that stands for more. Until then what is parked keeps its offsets.
//
// All of a core's records go to the one partition of the topic that has the number of its own, in the order in which they
// were sent. There is no wake without a tenure: when one ends, all its wakes leave the memory, and no record is buried.

// copies is what the topic has of a wake.
type copies struct {
	at      []queue.Position // its records: more than one after a takeover, or until the newest is acknowledged
	newest  queue.Position   // of the newest event merged into the wake: the key of its next record
	storing bool             // the newest record is not acknowledged
	stale   bool             // and the wake has changed since
}

// found is what a takeover found of a device whose push was begun meanwhile.
type found struct {
	at       []queue.Position
	events   int
	heldBack bool // by a guard, for the same token
}

// Stored is a record of the topic of parked wakes.
type Stored struct {
	At   queue.Position // its key
	Data []byte
}

func (c *core) replicated() bool { return c.Config.Retry.Durability == Replicated }

// copying says whether a record of the wake is on its way, or is to be sent with the next flush.
func (c *core) copying(w *wake) bool {
	_, changed := c.changed[w.device]
	return c.replicated() && c.adopted && w.durable && (w.copy.storing || changed)
}

// reach notes that an event at a position is part of the wake, or a record. The newest one never goes back: what this owner
// writes must not be under a key that one before has buried.
func (k *copies) reach(p queue.Position) {
	if p.Topic != k.newest.Topic || p.Offset > k.newest.Offset {
		k.newest = p
	}
}

// replicate sends what has changed of parked wakes to the topic.
func (c *core) replicate() {
	if !c.adopted {
		return
	}
	for _, at := range c.settled {
		// A record that is sent again under the same key comes behind its tombstone.
		c.send(&notice{message: queue.Message{Topic: c.Topics.Parked, Partition: &c.partition, Key: []byte(at.String())}})
	}
	for _, d := range slices.Sorted(maps.Keys(c.changed)) { // sorted, so that a history replays to the byte
		if w := c.wakes[d]; w != nil && w.durable {
			c.copyOut(w)
		}
	}
	c.settled = nil
	clear(c.changed)
}

// copyOut sends a parked wake to the topic as it is now. Of each wake one record at a time is on its way: while the topic
// cannot be written, no more than that is waiting.
func (c *core) copyOut(w *wake) {
	if w.copy.storing {
		w.copy.stale = true
		return
	}
	at, last := w.copy.newest, int64(-1)
	older := slices.DeleteFunc(slices.Clone(w.copy.at), func(p queue.Position) bool { return p == at })
	if n := len(w.taken); n > 0 {
		last = w.taken[n-1].offset
	}
	w.copy.at = append(slices.Clone(older), at)
	w.copy.storing, w.copy.stale = true, false
	w.stored, w.storedState = w.content, w.state
	c.send(&notice{
		message: queue.Message{Topic: c.Topics.Parked, Partition: &c.partition, Key: []byte(at.String()), Value: w.record()},
		after:   func(now time.Time) { c.copied(w, at, older, last, now) },
	})
}

// copied: all in-sync replicas have the record at a position. The events in it, up to the offset last, are done, and the
// older records worth nothing.
func (c *core) copied(w *wake, at queue.Position, older []queue.Position, last int64, now time.Time) {
	w.copy.storing = false
	if w.copy.stale && w.durable {
		c.changed[w.device] = struct{}{}
	}
	if !slices.Contains(w.copy.at, at) {
		return // settled meanwhile
	}
	w.copy.at = slices.DeleteFunc(w.copy.at, func(p queue.Position) bool { return slices.Contains(older, p) })
	c.settled = append(c.settled, older...)
	n := 0
	for n < len(w.taken) && w.taken[n].offset <= last {
		n++
	}
	if w.state == owing {
		c.cover(w, n, now)
		return
	}
	c.passOn(w, n, now)
}

// cover settles the first n events that hold offsets of a wake that owes a check-in: the stored push does for them, and the
// rewake that follows it is stored too.
func (c *core) cover(w *wake, n int, now time.Time) {
	for _, t := range w.taken[:n] {
		c.settleOne(w.device, t, store.Covered, now)
	}
	c.books.open[owing] -= int64(n)
	c.drop(w, n)
}

// adopt takes what the topic had of the partition when the tenure began; events may have been read since. It returns what
// is wrong with records that cannot be read, each beginning with its position; the others are taken all the same.
func (c *core) adopt(list []Stored, orphan func(tenant, provider string) *lane, now time.Time) (faults []error) {
	for _, s := range list {
		p, err := openRecord(s.Data)
		if err != nil {
			c.books.damaged++
			faults = append(faults, &damagedRecord{s.At, err})
			continue
		}
		d, w := c.device(p.Tenant, p.Device)
		revived := c.revive(d, &p, orphan, now)
		if w != nil {
			c.books.restored += int64(p.Events)
			c.join(w, revived, found{at: []queue.Position{s.At}, events: p.Events}, now)
			continue
		}
		revived.copy = copies{at: []queue.Position{s.At}, newest: s.At}
		revived.stored, revived.storedState = revived.content, revived.state
		c.admit(revived)
	}
	return faults
}

// adoptedAll: the topic has nothing of the partition that was not adopted.
func (c *core) adoptedAll() { c.adopted = true }

type damagedRecord struct {
	at  queue.Position
	err error
}

func (d *damagedRecord) Error() string { return d.at.String() + ": " + d.err.Error() }
func (d *damagedRecord) Unwrap() error { return d.err }

// join makes a wake that was found part of the wake that its device has, as an older event of it. Where the push was begun
// the older content may ask for more than the push did, so it makes the wake dirty like a newer one. An older wake that owes a
// check-in has no unsettled event, but what its push covered depends on it all the same.
func (c *core) join(w, older *wake, f found, now time.Time) {
	f.heldBack = older.kept.heldBack && !w.content.readdressed(older.content)
	if w.state == reporting || w.state == queued && !w.withdraw() {
		if w.dirty == nil {
			w.dirty = older.content
		} else {
			w.dirty = older.content.merged(w.dirty)
		}
		w.dirtyCopy.at = append(w.dirtyCopy.at, f.at...)
		w.dirtyCopy.events += f.events
		w.dirtyCopy.heldBack = w.dirtyCopy.heldBack || f.heldBack
		c.books.dirty += int64(f.events)
		return
	}
	was := w.content
	w.content = older.content.merged(was)
	c.annex(w, f)
	switch {
	case w.content.readdressed(was):
		w.noDoubt()
	case f.heldBack:
		w.holdAgain()
	}
	switch {
	case w.state == queued:
		c.queue(w)
	case w.state == suspect && w.content.readdressed(was):
		w.attempts = 0 // what the provider said was of another token
		c.begin(w, now)
	case w.state == owing && older.state != owing:
		w.rewake, w.since = 0, now
		c.begin(w, now)
	}
}

// annex counts what was found as part of the wake.
func (c *core) annex(w *wake, f found) {
	if len(f.at) == 0 {
		return
	}
	w.copy.at = append(w.copy.at, f.at...)
	for _, at := range f.at {
		if at.Topic == c.topic || w.copy.newest == (queue.Position{}) {
			w.copy.reach(at)
		}
	}
	w.parked += f.events
	c.books.open[w.state] += int64(f.events)
	c.endure(w, c.Budget)
}
