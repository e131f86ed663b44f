package dispatcher

import (
	"container/heap"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

// parkAfter is the longest wait that stays in memory and holds its offsets. A longer one is parked.
const parkAfter = 3 * time.Second

// stampEvery is for how many offsets one timestamp is kept: enough to say how old the head of a window is.
const stampEvery = 64

// core is a shard's state machine: single-threaded, without I/O, without a clock. Inputs are records, results,
// acknowledgements and the time; outputs are collected in out and in the next flush. The goroutine around it is shard.
type core struct {
	Env
	shard     *shard // who is told the results; nil in tests of the core alone
	partition int32
	decoder   event.Decoder
	index     *store.Index
	routes    map[[2]string]*lane // what Route said: an event costs no lock
	wakes     map[store.Device]*wake
	due       dueHeap
	books     books

	// The tenure: one ownership of the partition, from its assignment to its release. window is nil in between; then
	// the core only serves the wakes that the ledger holds.
	tenure   int64
	topic    queue.TopicID // of the events
	adopted  bool          // what the topic of parked wakes had is read
	window   *queue.Window
	moved    bool               // the window's progress changed since the goroutine last looked
	backlog  fifo[queue.Record] // taken from the owner, waiting for room in the window
	draining bool
	// Of the window, by offset: one record in stampEvery. A window that begins within a block has a piece of one block more.
	stamps  [queue.WindowSize/stampEvery + 1]stamp
	stamped int64                // the last offset block that has one
	notices map[*notice]struct{} // of this tenure, not acknowledged yet

	run     badRun
	holders holders            // the wakes that hold offsets
	crowds  map[*lane]struct{} // lanes whose wakes are parked as soon as they are read
	looked  time.Time          // when crowd last looked

	// What the next flush writes.
	outcomes   []store.Outcome
	offsets    []int64 // done once the flush is durable
	spare      flushed // memory of the last flush, for the next
	changed    map[store.Device]struct{}
	tombstones []store.Tombstone
	settled    []queue.Position // replicated: records that are worth nothing any more

	out output
}

// stamp says how old a record of the window is.
type stamp struct {
	published time.Time // its Kafka timestamp
	read      time.Time
}

// Env is what all cores of an engine share. The functions neither block nor do I/O.
type Env struct {
	Config   Config
	Topic    string                              // of the events, for dead letters
	Topics   Topics                              // where feedback and dead letters go
	Identify Identify                            // the ledger's identities
	Route    func(tenant, provider string) *lane // nil where there is no such credential
	Rand     *rand.Rand                          // jitter
	Owing    *atomic.Int64                       // devices that may still owe a check-in, whole process
	Budget   *atomic.Int64                       // wakes that may still be parked, whole process
	Observe  func(w *wake, at time.Time)         // a wake was accepted: latency
	Accepted bool                                // publish feedback for accepted wakes too
}

// Topics names the topics that the engine publishes to.
type Topics struct {
	Feedback string
	Dead     string
	Parked   string // where retry.durability is replicated
}

// Identify makes the ledger's identities of names. They are pure functions of the ledger's seed, and TokenHash of another key
// of it.
type Identify struct {
	Device    func(tenant, device string) store.Device
	EventID   func(d store.Device, id string) store.EventID
	OffsetID  func(partition int32, offset int64, at time.Time) store.EventID
	Token     func(token string) store.Token
	TokenHash func(token string) string // what feedback calls a token
}

// output is what one step asks the goroutine to do.
type output struct {
	offers  []*wake   // to be given to the lane of their content
	notices []*notice // to be published
}

// notice is a message that must be acknowledged before what it is about goes on: feedback, then ledger, then offset.
type notice struct {
	message queue.Message
	after   func(now time.Time) // nil where nothing hangs on it
	wake    *wake               // in state reporting until then; nil for a dead letter
	dead    *taken              // of a dead letter
}

func newCore(env Env, partition int32, restored *store.Restored) *core {
	return &core{
		Env:       env,
		partition: partition,
		index:     restored.Index,
		routes:    make(map[[2]string]*lane),
		wakes:     make(map[store.Device]*wake),
		notices:   make(map[*notice]struct{}),
		changed:   make(map[store.Device]struct{}),
		crowds:    make(map[*lane]struct{}),
		run:       newBadRun(env.Config.DeadLetters),
	}
}

// assign begins a tenure that goes on where the progress of the one before ended, here or on another machine.
func (c *core) assign(a queue.Assignment) {
	c.tenure++
	c.topic, c.window, c.adopted = a.Topic, queue.NewWindow(a.From), false
	c.backlog, c.stamped = fifo[queue.Record]{}, -1
	c.draining, c.run = false, newBadRun(c.Config.DeadLetters)
}

// head is about the oldest record that is not done; zero where all are.
func (c *core) head() stamp {
	if c.window == nil || c.window.Used() == 0 {
		return stamp{}
	}
	return c.stamps[c.window.Watermark()/stampEvery%int64(len(c.stamps))]
}

// tick does what is due.
func (c *core) tick(now time.Time) {
	for len(c.due) > 0 && !c.due[0].due.After(now) {
		w := heap.Pop(&c.due).(*wake)
		switch w.state {
		case suspect:
			c.judge(w, now)
			continue
		case owing:
			if w.content.expired(now) {
				c.settle(w, store.Covered, now)
				c.remove(w)
				continue
			}
			w.rewake++
		}
		c.queue(w)
	}
}

// nextDue is when tick has something to do; zero means never.
func (c *core) nextDue() time.Time {
	if len(c.due) == 0 {
		return time.Time{}
	}
	return c.due[0].due
}

// queue offers the wake to its lane.
func (c *core) queue(w *wake) {
	c.unschedule(w)
	c.enter(w, queued)
	w.offer.Store(w.content)
	c.out.offers = append(c.out.offers, w)
}

// schedule lets the wake wait in state s until due. A long wait is parked, and a suspect at once; where the process may park no more, the wake
// keeps its offsets, the window fills and the partition pauses.
func (c *core) schedule(w *wake, s state, due, now time.Time) {
	c.unschedule(w)
	c.enter(w, s)
	w.due = due
	heap.Push(&c.due, w)
	if w.durable || s == held || s == owing || s == suspect || due.Sub(now) > parkAfter {
		c.park(w, now)
	}
}

func (c *core) unschedule(w *wake) {
	if w.heapAt >= 0 && len(c.due) > 0 {
		heap.Remove(&c.due, w.heapAt)
	}
}

// remove ends a wake that has nothing unsettled.
func (c *core) remove(w *wake) {
	c.unschedule(w)
	if w.offer.Load() != nil {
		w.offer.Store(nil)
	}
	c.unpark(w)
	w.removed = true
	delete(c.wakes, w.device)
}

// begun says whether the wake is with its lane or on its way, and can no longer be changed.
func (w *wake) begun() bool {
	return w.state == queued && w.offer.Load() == nil
}

// answered takes the results of pushes. A result of a wake that this core no longer has is of a tenure that ended, and
// changes nothing (I4).
func (c *core) answered(results []providers.Result, now time.Time) {
	for i := range results {
		if i%ahead == 0 {
			for j := range results[i:min(i+ahead, len(results))] {
				c.index.Warm(results[i+j].Ref.(*wake).device, 0)
			}
		}
		r := &results[i]
		w := r.Ref.(*wake)
		if w.removed || w.state != queued {
			c.books.strays++
			continue
		}
		c.answer(w, r, now)
	}
}
