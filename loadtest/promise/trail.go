package promise

import (
	"sync"
	"time"
)

// readWithin is how soon pushd reads an event and begins a push that is due, at best. How much longer it may take in a run is
// seen by the latencies of the run.
const readWithin = time.Second

// credit is the pushes of a device that its events may still justify although a push came after each of them.
//
// Of events that a push followed, one is what the push was begun for. Any other may have been read only after it had begun:
// its wake is dirty then, and one push trails. From outside nobody sees when an event is read, so the credit has a price, its
// need: how slow pushd must have been for the push to be justified. It is high where the last push came long after the event,
// as it was begun after the event was read then and nothing trails it; and where the rest was over long ago, as whatever
// trailed would have come by then and the device is clean.
//
//	event  event   push                    rest over           push
//	  │      └─need─▶┤◀───── interval ──────▶├────── need ───────▶┤
type credit struct {
	fresh, older part          // fresh is spent first
	gap          time.Duration // from the newest event that the last push followed to that push
}

// part is the credit of the events that one push followed, or several.
type part struct {
	pushes uint32
	need   time.Duration // of what has happened since
}

// spend notes a push that came so long after the last one, and is the first one after the events that it closed, the newest
// of them so long before it. Where it closed none, the credit has to justify it, at a need.
func (c *credit) spend(closed int, gap, since, interval time.Duration) (need time.Duration, justified bool) {
	need = max(0, since-interval, c.gap)
	c.fresh.need, c.older.need = max(c.fresh.need, need), max(c.older.need, need)
	if closed > 0 {
		c.gap = gap
		if closed > 1 {
			if c.fresh.pushes > 0 {
				c.older = c.fresh
			}
			c.fresh = part{pushes: uint32(closed - 1)}
		}
		return 0, true
	}
	c.gap += since
	for _, p := range []*part{&c.fresh, &c.older} {
		if p.pushes > 0 {
			p.pushes--
			return p.need, true
		}
	}
	return 0, false
}

// doubt is a push that only a credit justifies, and only if pushd was slow.
type doubt struct {
	at    time.Duration // of the run
	need  time.Duration
	class int
}

// maxDoubts bounds the doubts that are remembered, of 24 bytes each.
const maxDoubts = 1_000_000

// doubts are judged in the end, as a wake that trails can be the first one after an outage: how slow the others are is not known
// then. Where there are too many of them, the last ones are judged by what is known when they come.
type doubts struct {
	mu    sync.Mutex // guards all
	all   []doubt
	extra int // judged already
}

func (d *doubts) add(n doubt, justified func(doubt) bool) {
	if n.need <= readWithin {
		return // whatever the others were
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case len(d.all) < maxDoubts:
		d.all = append(d.all, n)
	case !justified(n):
		d.extra++
	}
}

// unjustified is how many are no more than that.
func (d *doubts) unjustified(justified func(doubt) bool) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := d.extra
	for _, n := range d.all {
		if !justified(n) {
			sum++
		}
	}
	return sum
}

// justified says whether pushd was as slow as a push needs it to have been, then: by the events of its class that were due since
// the oldest one that it may be for. How slow it was in an outage an hour before excuses nothing.
func (b *Book) justified(n doubt) bool {
	return n.need <= readWithin+b.course.slowest(n.class, n.at-b.interval-2*n.need, n.at)
}
