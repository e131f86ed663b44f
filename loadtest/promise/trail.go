package promise

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// readWithin is how soon pushd reads an event and begins a push that is due, at best. How much longer it may take in a run is
// seen by the latencies of the run.
const readWithin = time.Second

// roughly is the digits of a need: there are few, and no number of them is shown.
const roughly = 2

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

// trails are the needs of the pushes that only a credit justifies, by class. They are judged in the end, as a wake that trails
// can be the first one after an outage: how slow the others are is not known then.
type trails struct {
	mu    sync.Mutex // guards needs
	needs []*hdrhistogram.Histogram
}

func newTrails(classes int) *trails {
	t := &trails{}
	for range classes {
		t.needs = append(t.needs, hdrhistogram.New(1, longest.Microseconds(), roughly))
	}
	return t
}

func (t *trails) record(class int, need time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	Record(t.needs[class], need)
}

// beyond is how many pushes need more than the bound of their class.
func (t *trails) beyond(bound func(class int) time.Duration) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := 0
	for class, h := range t.needs {
		most := bound(class).Microseconds()
		for _, bar := range h.Distribution() {
			if bar.From > most {
				sum += int(bar.Count)
			}
		}
	}
	return sum
}
