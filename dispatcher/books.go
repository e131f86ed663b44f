package dispatcher

import (
	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

// kindCount is one more than the largest store.Kind.
const kindCount = int(store.Noted) + 1

// reasons is one more than the largest event.Reason.
const reasons = int(event.UnknownTenant) + 1

// books is a shard's account of its events. Conservation (I7), always:
//
//	read + restored = recalled + duplicates + handedOver + settled, by kind + open, by state + dirty
//
// Parked wakes are open: they are counted in the state that they wait in.
type books struct {
	read       int64 // taken from the partition
	restored   int64 // unsettled, found in the ledger at the start
	recalled   int64 // read, and settled by the owner before: its commit says so
	duplicates int64 // dropped: the same id was seen before
	handedOver int64 // given back unsettled when a tenure ended
	settled    [kindCount]int64
	open       [states]int64  // events of wakes in each state
	dirty      int64          // events that made a begun or resting wake dirty
	damaged    int64          // records of parked wakes that cannot be read; not part of the sum
	pending    int64          // merged into a wake that was not begun; not part of the sum
	trailing   int64          // made a wake dirty; not part of the sum
	letters    [reasons]int64 // dead letters acknowledged, by reason; not part of the sum
	strays     int64          // results of wakes that were given up (I4); not part of the sum
	parked     int64          // wakes in the ledger; not part of the sum
	wakes      int64          // wakes in memory; not part of the sum
}

// imbalance is 0, or the engine has lost or doubled an event.
func (b *books) imbalance() int64 {
	sum := b.read + b.restored - b.recalled - b.duplicates - b.handedOver - b.dirty
	for _, n := range b.settled {
		sum -= n
	}
	for _, n := range b.open {
		sum -= n
	}
	return sum
}

func (b *books) add(o *books) {
	b.read += o.read
	b.restored += o.restored
	b.recalled += o.recalled
	b.duplicates += o.duplicates
	b.handedOver += o.handedOver
	b.dirty += o.dirty
	b.strays += o.strays
	b.damaged += o.damaged
	b.pending += o.pending
	b.trailing += o.trailing
	b.parked += o.parked
	b.wakes += o.wakes
	for i := range o.settled {
		b.settled[i] += o.settled[i]
	}
	for i := range o.letters {
		b.letters[i] += o.letters[i]
	}
	for i := range o.open {
		b.open[i] += o.open[i]
	}
}

// enter moves a wake and its events to state s.
func (c *core) enter(w *wake, s state) {
	n := int64(w.events())
	c.books.open[w.state] -= n
	c.books.open[s] += n
	w.state = s
}

// hold adds an event to a wake.
func (c *core) hold(w *wake, t taken) {
	c.holders.add(w)
	if w.taken == nil {
		w.taken = w.one[:0]
	}
	w.taken = append(w.taken, t)
	w.copy.reach(queue.Position{Topic: c.topic, Partition: c.partition, Offset: t.offset})
	c.books.open[w.state]++
}

// soil adds an event to a wake that is begun, or being reported: it becomes dirty.
func (c *core) soil(w *wake, newer *content, t taken) {
	w.dirty = w.dirty.merged(newer)
	w.dirtyTaken = append(w.dirtyTaken, t)
	c.books.dirty++
	c.books.trailing++
}

// clean makes the dirty part of a wake part of the wake again, where its push came to nothing. It is merged even where the
// wake holds no event: events that a stored push covered still depend on it.
func (c *core) clean(w *wake) {
	if w.dirty != nil {
		c.become(w, w.content.merged(w.dirty))
	}
}

// become makes the dirty part of a wake part of the wake again, and k its content.
func (c *core) become(w *wake, k *content) {
	if w.dirtyCopy.heldBack && !k.readdressed(w.content) {
		w.holdAgain()
	}
	w.content = k
	taken, copied := w.dirtyTaken, w.dirtyCopy
	w.dirty, w.dirtyTaken, w.dirtyCopy = nil, nil, found{}
	c.books.dirty -= int64(len(taken) + copied.events)
	for _, t := range taken {
		c.hold(w, t)
	}
	c.annex(w, copied)
}
