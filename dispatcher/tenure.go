package dispatcher

import (
	"maps"
	"slices"
	"time"

	"pushd/queue"
	"pushd/store"
)

// flushed is what is done once a flush is durable.
type flushed struct {
	tenure   int64
	offsets  []int64
	outcomes []store.Outcome // only their memory
}

// spareOutcomes bounds the memory that a partition keeps for outcomes, in their number.
const spareOutcomes = 2 * flushEarly

// flush hands over what the ledger has to know, and which offsets are done with it. A wake that waits is written as it
// is now, so that the outcome lines and the wake itself never contradict each other.
func (c *core) flush() (store.Flush, flushed) {
	f := store.Flush{Partition: c.partition, Outcomes: c.outcomes, Tombstones: c.tombstones, Watermark: -1}
	if c.window != nil {
		f.Watermark = c.window.Watermark()
	}
	if c.replicated() {
		c.replicate()
	} else {
		c.writeDown(&f)
	}
	done := flushed{tenure: c.tenure, offsets: c.offsets, outcomes: c.outcomes}
	c.outcomes, c.offsets, c.tombstones = c.spare.outcomes[:0], c.spare.offsets[:0], nil
	c.spare = flushed{}
	return f, done
}

// writeDown puts what has changed of parked wakes into the flush.
func (c *core) writeDown(f *store.Flush) {
	for _, d := range slices.Sorted(maps.Keys(c.changed)) { // sorted, so that a history replays to the byte
		if w := c.wakes[d]; w != nil && w.durable {
			f.Put = append(f.Put, store.Waiting{Device: d, Data: w.encode(w.parked)})
			w.stored, w.storedState = w.content, w.state
		} else {
			f.Delete = append(f.Delete, d)
		}
	}
	clear(c.changed)
}

// unflushed says whether a flush has anything to write.
func (c *core) unflushed() bool {
	parked := len(c.changed) + len(c.settled)
	if c.replicated() && !c.adopted {
		parked = 0 // it can only wait
	}
	return len(c.outcomes)+len(c.offsets)+len(c.tombstones)+parked > 0
}

// durable: a flush is in the ledger; its offsets are done (I1, I2).
func (c *core) durable(f flushed, now time.Time) {
	if cap(f.outcomes) <= spareOutcomes {
		c.spare = f
	}
	if f.tenure != c.tenure || c.window == nil {
		return
	}
	for _, offset := range f.offsets {
		c.window.Done(offset)
	}
	c.moved = c.moved || len(f.offsets) > 0
	c.read(now)
}

// release begins the end of the tenure: no record is taken any more, and drain says when the rest is settled.
func (c *core) release() {
	c.draining = true
	c.backlog = fifo[queue.Record]{}
}

// drain hands over what the lane has not begun and what waits in memory only: its offsets stay undone, and the next
// owner reads the events again. It says whether everything of the tenure is settled or handed over; what is begun, or
// is being reported, is waited for.
func (c *core) drain() bool {
	left := len(c.notices)
	for _, w := range c.wakes {
		c.handOverDirty(w)
		if len(w.taken) == 0 && !c.replicated() {
			continue
		}
		underWay := w.state == reporting || w.begun() || c.copying(w)
		if w.state == queued && !underWay && (!w.durable || c.replicated()) {
			underWay = !w.withdraw() // the lane was quicker
		}
		if underWay {
			left++
			continue
		}
		c.handOver(w)
	}
	return left == 0
}

// abandon gives up what is still under way: the time to drain is over. Its answers will be strays (I4), and the next
// owner sends it again.
func (c *core) abandon() {
	for _, w := range c.wakes {
		c.handOverDirty(w)
		if len(w.taken) > 0 || c.replicated() {
			c.handOver(w)
		}
	}
	for n := range c.notices {
		switch {
		case n.dead != nil:
			c.index.Unsee(0, n.dead.id)
			c.books.open[reporting]--
			c.books.handedOver++
		case n.wake != nil && c.wakes[n.wake.device] == n.wake:
			continue // of a wake that the ledger has: it goes on without the tenure
		}
		delete(c.notices, n)
	}
}

// endTenure: nothing of the partition is under way any more, and the watermark stands still.
func (c *core) endTenure() {
	c.tenure++
	c.window, c.offsets, c.draining = nil, nil, false
	if c.replicated() {
		clear(c.changed)
		c.settled = nil
	}
	c.run = newBadRun(c.run.cfg) // the next owner reads the same records, and finds the same
}

// handOver gives a wake's unsettled events back. Their ids are unseen: read again, they must count.
func (c *core) handOver(w *wake) {
	for _, t := range w.taken {
		c.index.Unsee(w.device, t.id)
	}
	if c.replicated() { // the next owner finds it in the topic
		c.books.open[w.state] -= int64(w.parked)
		c.books.handedOver += int64(w.parked)
		w.parked, w.copy = 0, copies{}
	}
	n := int64(len(w.taken))
	c.books.open[w.state] -= n
	c.books.handedOver += n
	c.holders.drop(w)
	w.taken = nil
	if !w.durable || c.replicated() {
		c.remove(w)
	}
}

func (c *core) handOverDirty(w *wake) {
	for _, t := range w.dirtyTaken {
		c.index.Unsee(w.device, t.id)
	}
	n := int64(len(w.dirtyTaken) + w.dirtyCopy.events)
	c.books.dirty -= n
	c.books.handedOver += n
	w.dirty, w.dirtyTaken, w.dirtyCopy = nil, nil, found{}
}
