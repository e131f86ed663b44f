package dispatcher

import (
	"time"

	"pushd/queue"
)

// A window is shared by all tenants of its partition. One that has more wakes than its limits let through, or whose
// provider is down, would fill the window, and the events of all others would not even be read. So the wakes of a lane that
// crowds a window are parked: they keep their places in the lane, but the ledger has them too, and the window goes on.
//
// Where nobody else is on the partition nothing is parked, but for the few that hold up a window of which all else is done
// (unblock): it pauses, and Kafka is the queue. The same where half of merge.max_waiting is used up: the other half is for
// those who wait for another reason.

const (
	// crowdAfter is how long the head of a full window may have stood there before somebody is found to crowd it.
	crowdAfter = 300 * time.Millisecond
	// crowdEvery is how often a window is looked at for that: it takes a walk over all who hold its offsets.
	crowdEvery = 200 * time.Millisecond
	// crowdParks is how many wakes of a shard are parked at once: they all go into one flush.
	crowdParks = queue.WindowSize / 2
	// crowded is how many offsets of a window, or wakes in a lane, are a crowd.
	crowded = queue.WindowSize / 16
	// fewWait is how many wakes of a window may wait for a time, so that they are parked for the others' sake.
	fewWait = queue.WindowSize / 4
	// nearlyFull is how many offsets a window has where it is about to pause, and nearlyDone is how much of it (in hundredths)
	// must be done for the others to be taken for what holds it up.
	nearlyFull = queue.WindowSize * 9 / 10
	nearlyDone = 98
)

// crowd finds out which lanes crowd the window, and parks the oldest of their wakes. full says that the next record finds
// no room.
func (c *core) crowd(full bool, now time.Time) {
	if now.Sub(c.looked) < crowdEvery {
		return
	}
	c.looked = now
	for l := range c.crowds {
		if !l.gate.down() && l.places.Load() < crowded {
			delete(c.crowds, l)
		}
	}
	c.unblock(now)
	if !full {
		return
	}
	c.clearHead(now)
	if now.Sub(c.head().read) >= crowdAfter && c.suspicious(now) {
		c.blame(now)
	}
	if len(c.crowds) > 0 {
		c.makeRoom(now)
	}
}

// suspicious says whether blame could find anybody, before all who hold offsets are looked at for it.
func (c *core) suspicious(now time.Time) bool {
	if len(c.due) >= crowded {
		return true
	}
	for _, l := range c.routes {
		if l.slows(now) {
			return true
		}
	}
	return false
}

// slows says whether the lane goes slower than this machine does.
func (l *lane) slows(now time.Time) bool {
	return l.gate.down() || l.gate.short.is(now) || l.slow.is(now)
}

// unblock parks what alone keeps a window from going on: it is nearly full, and nearly all of it is done. These are few, such
// as pushes that are not answered, and whoever they are, all others of the partition wait for them.
func (c *core) unblock(now time.Time) {
	used := c.window.Used()
	if used <= nearlyFull {
		return
	}
	if done := c.window.Progress(); done.Beyond()*100 < used*nearlyDone {
		return
	}
	for w := range c.holders.all {
		if w.stands() && !w.copy.storing {
			c.park(w, now)
		}
	}
}

// blame finds who fills the window: slow lanes that hold a good piece of it, or twice the part that would be fair; and all
// lanes of a provider that is down, or that together hold most of it, as when it comes back slowly. Somebody else must be on
// the partition to suffer from it.
func (c *core) blame(now time.Time) {
	total := 0 // offsets held
	lanes, gates := make(map[*lane]int), make(map[*gate]int)
	again := make(map[*lane]int) // by wakes that wait for another try
	for w := range c.holders.all {
		if w.stands() {
			n := len(w.taken)
			lanes[w.content.lane] += n
			if w.state == waiting {
				again[w.content.lane] += n
			}
			gates[w.content.lane.gate] += n
			total += n
		}
	}
	up, others := false, make(map[*gate]bool) // gates beside which lanes of another suffer
	for _, l := range c.routes {
		if l.gate.down() {
			continue
		}
		up = true
		for g := range gates {
			if g != l.gate {
				others[g] = true
			}
		}
	}
	if len(c.routes) < 2 || !up {
		return
	}
	for l, n := range lanes {
		all := others[l.gate] && (l.gate.down() || 2*gates[l.gate] > total)
		slow := l.slows(now) || again[l] >= crowded
		if slow && (all || n >= crowded || n*len(lanes) > 2*total) {
			c.crowds[l] = struct{}{}
		}
	}
}

// clearHead parks all that waits for a time, in a full window with such a wake at its head, where not too many do. Each of them
// alone holds up all that is behind it, for as long as parkAfter.
func (c *core) clearHead(now time.Time) {
	if !c.holders.oldest.waits() {
		return
	}
	soon := now.Add(parkAfter)
	for w := range c.holders.all { // a longer wait holds its offset only where nothing could be parked when it began
		if !w.waits() || !w.due.After(soon) {
			break
		}
		c.makeWay(w, now)
	}
	var few []*wake
	for w := range c.due.before(soon) {
		if w.waits() && c.holders.has(w) {
			few = append(few, w)
		}
		if len(few) > fewWait {
			return
		}
	}
	for _, w := range few {
		c.makeWay(w, now)
	}
}

// makeRoom parks wakes of the lanes that crowd, those first that hold the head of the window.
func (c *core) makeRoom(now time.Time) {
	parked := 0
	for w := range c.holders.all {
		if _, crowds := c.crowds[w.content.lane]; crowds && parked < crowdParks {
			c.makeWay(w, now)
			parked++
		}
	}
}

// makeWay parks a wake that holds an offset while it stands in a lane that crowds, or waits.
func (c *core) makeWay(w *wake, now time.Time) {
	if (w.stands() || w.waits()) && !w.copy.storing && (w.durable || c.Budget.Load() > int64(c.Config.Merge.MaxWaiting/2)) {
		c.park(w, now)
	}
}

// stands says whether the wake waits for its turn, or for a retry.
func (w *wake) stands() bool { return (w.state == queued || w.state == waiting) && !w.moot }

// waits says whether the wake is not to be sent before a time: it is tried again, rests, or is suspect.
func (w *wake) waits() bool {
	return w != nil && (w.state == waiting || w.state == resting || w.state == suspect) && !w.moot
}

// holders are the wakes that hold offsets, the oldest first: a list through the wakes themselves, as there can be as many as
// the window has offsets, and each comes and goes.
type holders struct{ oldest, newest *wake }

func (h *holders) has(w *wake) bool { return w.older != nil || h.oldest == w }

// add puts a wake at the end, before it takes its first offset.
func (h *holders) add(w *wake) {
	if h.has(w) {
		return
	}
	if w.older = h.newest; w.older != nil {
		w.older.newer = w
	} else {
		h.oldest = w
	}
	h.newest = w
}

// drop takes a wake out, if it is in.
func (h *holders) drop(w *wake) {
	if !h.has(w) {
		return
	}
	if w.older != nil {
		w.older.newer = w.newer
	} else {
		h.oldest = w.newer
	}
	if w.newer != nil {
		w.newer.older = w.older
	} else {
		h.newest = w.older
	}
	w.older, w.newer = nil, nil
}

// all are the holders; what yield is given may be dropped.
func (h *holders) all(yield func(*wake) bool) {
	for w := h.oldest; w != nil; {
		next := w.newer
		if !yield(w) {
			return
		}
		w = next
	}
}
