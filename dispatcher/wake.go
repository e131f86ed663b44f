package dispatcher

import (
	"bytes"
	"iter"
	"sync/atomic"
	"time"

	"pushd/queue/event"
	"pushd/store"
)

// state is where a wake stands, as its shard knows it. The drawing is in doc.go.
type state uint8

const (
	queued    state = iota // offered to its lane; whether the lane has begun it, only the content's swap tells
	waiting                // a retry is due later
	resting                // the device was woken less than merge.interval ago and an event came since: one trailing wake is due
	held                   // its credential is refused
	suspect                // its token is said to be dead, which the lane's guard does not believe yet
	owing                  // merge.until=checkin: woken, has not checked in; a rewake is due later
	reporting              // its end is being published as feedback
	states                 // their number
)

var stateNames = [states]string{"queued", "waiting", "resting", "held", "suspect", "owing", "reporting"}

func (s state) String() string { return stateNames[s] }

// wake is one device that has to be woken. Everything but offer belongs to the goroutine of its shard.
type wake struct {
	shard   *shard // who is told the result; nil in tests of the core alone
	device  store.Device
	tenant  string
	name    string // the device's name
	state   state
	content *content // newest merged; what offer was last set to
	taken   []taken  // events merged into content whose offsets are not done
	one     [1]taken // where taken begins: mostly it is one
	first   content  // what content begins with
	parked  int      // events merged into content whose offsets are done: the wake is stored

	// offer is the hand-over to the lane and the only field that two goroutines touch. The shard sets it when the wake
	// is queued, and merges by compare-and-swap; the lane takes it by swapping nil in, and with that the wake is begun.
	// So an event either merges before the push is begun, or it finds the content gone and makes the wake dirty (W).
	offer atomic.Pointer[content]

	older, newer *wake // neighbours among the holders, while taken is not empty

	dirty      *content // merged from events that came after the push was begun
	dirtyTaken []taken
	dirtyCopy  found // of a stored wake that was found after the push was begun

	since    time.Time // when the first of its events was read: what merge.give_up counts from
	attempts int       // pushes answered since then
	due      time.Time // while waiting, resting, held, suspect or owing
	heapAt   int       // place in the heap of due wakes; -1 outside

	durable     bool          // it is stored, or will be with the next flush
	budget      *atomic.Int64 // while durable: where its place is given back to
	stored      *content      // as it is stored
	storedState state
	copy        copies // where retry.durability is replicated

	storedUntil time.Time // owing: until when the provider stores the accepted push

	removed   bool // its core does not have it any more
	moot      bool // begun, but its events are settled already (forgotten, checked in): only the answer is awaited
	staleSent bool // sent again once after a stale 410

	verdict verdict   // suspect: what the provider said
	doubted time.Time // suspect: since when
	doubt   doubt     // suspect: for the guard after a restart. The guard sets it at the answer, in the sender's goroutine
	kept    doubt     // the shard's copy, which is stored: while a push is under way doubt is the guard's
	resent  bool      // sent again once when its guard was calmed
	rewake  int       // owing: how many rewakes were made
}

// taken is an event that holds its offset until it is settled.
type taken struct {
	offset int64
	id     store.EventID
}

// content is what a push is made of. A lane may read it at any time, so it never changes: merging makes a new one.
type content struct {
	lane        *lane
	token       string
	pushMagic   string
	topic       string
	pushType    string
	payload     []byte
	priority    event.Priority
	expires     time.Time // zero: none of its events expires
	registered  time.Time // token_registered_at
	newest      time.Time // the event time of its newest event
	read        time.Time // the Kafka timestamp of its oldest event, for end-to-end latency
	id          string    // its newest event's id, for feedback
	traceparent string
	suspect     bool // the provider has called this token dead before
}

func contentOf(e *event.Event, to *lane, recordTime time.Time) content {
	return content{
		lane: to, token: e.Token, pushMagic: e.PushMagic, topic: e.Topic, pushType: e.PushType, payload: e.Payload,
		priority: e.Priority, expires: e.Expires, registered: e.TokenRegisteredAt,
		newest: e.Time, read: recordTime, id: e.ID, traceparent: e.Traceparent,
	}
}

// askedAfter says whether an event of the device is newer than that.
func (w *wake) askedAfter(at time.Time) bool {
	return w.content.newest.After(at) || w.dirty != nil && w.dirty.newest.After(at)
}

// merged is old with a content over it that was read later: the newest token, push magic and payload win, the highest
// priority, and the latest expiry, so that no event's push is given up earlier than the event alone would have allowed.
func (old *content) merged(newer *content) *content {
	if old == nil {
		return newer
	}
	c := *newer
	c.address(old)
	c.priority = min(old.priority, newer.priority)
	if old.expires.IsZero() || newer.expires.IsZero() {
		c.expires = time.Time{}
	} else if old.expires.After(newer.expires) {
		c.expires = old.expires
	}
	if old.newest.After(newer.newest) {
		c.newest = old.newest
	}
	c.read = old.read
	c.suspect = old.suspect && !c.readdressed(old)
	return &c
}

// address gives c the other's address where that is the newer one. What was read later is not always newer: dead letters
// are replayed, and a publisher repeats itself. The later registration of the token decides, then the later event.
func (c *content) address(other *content) {
	newer := other.newest.After(c.newest)
	if !c.registered.IsZero() && !other.registered.IsZero() && !c.registered.Equal(other.registered) {
		newer = other.registered.After(c.registered)
	}
	if newer {
		c.lane, c.token, c.pushMagic, c.topic, c.pushType = other.lane, other.token, other.pushMagic, other.topic, other.pushType
		c.payload, c.registered = other.payload, other.registered
	}
}

// covers says whether a push made of c does for newer too: the provider stores it for the same device and wakes it no
// less urgently.
func (c *content) covers(newer *content) bool {
	return c.lane == newer.lane && c.token == newer.token && c.pushMagic == newer.pushMagic && c.topic == newer.topic &&
		c.pushType == newer.pushType && bytes.Equal(c.payload, newer.payload) && c.priority <= newer.priority
}

func (c *content) expired(now time.Time) bool {
	return !c.expires.IsZero() && !c.expires.After(now)
}

// events is how many unsettled events stand behind the wake, dirty ones apart.
func (w *wake) events() int { return len(w.taken) + w.parked }

// withdraw takes the offer back. It says false where the lane has begun the wake.
func (w *wake) withdraw() bool { return w.offer.Swap(nil) != nil }

// dueHeap orders wakes by due time (container/heap; what is pushed and popped is a wake). The times stand in the heap itself:
// there are many wakes, and to compare them one would have to fetch them from all over the memory.
type dueHeap []dueWake

type dueWake struct {
	due time.Time // wake.due
	*wake
}

// before gives the wakes that are due before t, in no order. It looks at no others but those right behind them.
func (h dueHeap) before(t time.Time) iter.Seq[*wake] {
	return func(yield func(*wake) bool) { h.below(0, t, yield) }
}

// below does it for the place at and what is below it, which is not due earlier.
func (h dueHeap) below(at int, t time.Time, yield func(*wake) bool) bool {
	if at >= len(h) || !h[at].due.Before(t) {
		return true
	}
	return yield(h[at].wake) && h.below(2*at+1, t, yield) && h.below(2*at+2, t, yield)
}

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = i, j
}
func (h *dueHeap) Push(x any) {
	w := x.(*wake)
	w.heapAt = len(*h)
	*h = append(*h, dueWake{w.due, w})
}
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last].wake
	(*h)[last] = dueWake{}
	*h = (*h)[:last]
	w.heapAt = -1
	return w
}
