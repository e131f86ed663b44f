package dispatcher

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

const (
	// maxBacklog is how many records may wait in front of a shard. Where it is full Take blocks: the partition pauses.
	maxBacklog = 4096
	// flushEarly is how many outcomes make the flusher come before its time.
	flushEarly = 8192
	// lastFlush is how long Release waits for the ledger after the time to drain is over.
	lastFlush = 2 * time.Second
)

// shard is the owner of one partition: a core, and the goroutine that does its I/O. It lives as long as the engine, for
// the wakes that the ledger holds are served whether the partition is assigned or not.
type shard struct {
	engine *Engine
	core   *core // the goroutine's

	unknown atomic.Bool // the ledger knew nothing of the partition at the start

	owner    *owner // the tenure, if any; the goroutine's
	flushing bool   // a flush is with the flusher; the goroutine's
	byGate   map[*gate][]*wake

	mu      sync.Mutex // guards the six below
	inbox   shardInbox
	shown   books // a copy of core.books, of the end of the last step
	used    float64
	head    time.Time
	due     time.Time
	stopped bool

	backlog atomic.Int64  // records in the inbox and in the core's backlog
	space   chan struct{} // capacity 1; rung when the backlog shrinks
	bell    bell          // rung when the inbox has something
}

// shardInbox is what the next step takes in.
type shardInbox struct {
	results []providers.Result
	acked   []*notice
	calls   []func(now time.Time) // rare inputs, each run by the goroutine
	records []queue.Record
}

func newShard(e *Engine, partition int32, restored *store.Restored) *shard {
	s := &shard{
		engine: e, core: newCore(e.env, partition, restored), byGate: make(map[*gate][]*wake),
		space: make(chan struct{}, 1), bell: newBell(),
	}
	s.core.shard = s
	return s
}

// restoreShard makes the shard of a partition from what the ledger kept of it.
func restoreShard(e *Engine, partition int32, restored *store.Restored, seed uint64, now time.Time) (*shard, error) {
	s := newShard(e, partition, restored)
	s.unknown.Store(restored.Watermark < 0)
	s.core.Rand = rand.New(rand.NewPCG(seed, uint64(partition)))
	if err := s.core.restore(restored.Waiting, e.orphan, now); err != nil {
		return nil, fmt.Errorf("restore partition %d: %w", partition, err)
	}
	return s, nil
}

// answered takes results of pushes, from a sender's goroutine or a gate's. They may wait a moment for the shard, which is no
// part of a push's latency.
func (s *shard) answered(results []providers.Result) {
	now := time.Now()
	s.mu.Lock()
	n := len(s.inbox.results)
	s.inbox.results = append(s.inbox.results, results...)
	for i := range s.inbox.results[n:] {
		s.inbox.results[n+i].At = now
	}
	s.mu.Unlock()
	s.bell.ringFor(n, n+len(results), gatherResults)
}

// call lets the goroutine run f between two steps.
func (s *shard) call(f func(now time.Time)) {
	s.mu.Lock()
	s.inbox.calls = append(s.inbox.calls, f)
	s.mu.Unlock()
	s.bell.ring()
}

// run is the shard's goroutine; it ends with ctx.
func (s *shard) run(ctx context.Context) {
	var spare shardInbox
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.bell.rung:
		case <-s.bell.soon.C:
		case <-timer.C:
		}
		s.mu.Lock()
		in := s.inbox
		s.inbox = shardInbox{results: spare.results[:0], acked: spare.acked[:0], calls: spare.calls[:0], records: spare.records[:0]}
		s.mu.Unlock()
		now := time.Now()
		s.step(&in, now)
		if due := s.core.nextDue(); !due.IsZero() {
			timer.Reset(max(dueGrain, due.Sub(now)))
		}
		clear(in.results)
		clear(in.acked)
		clear(in.calls)
		clear(in.records)
		spare = in
	}
}

func (s *shard) step(in *shardInbox, now time.Time) {
	c := s.core
	c.answered(in.results, now)
	c.acknowledged(in.acked, now)
	c.take(in.records, now)
	for _, f := range in.calls { // after the records: a release comes behind the last of its tenure
		f(now)
	}
	c.tick(now)
	if c.draining && c.drain() && !c.unflushed() && !s.flushing {
		s.endTenure()
	}
	s.act()
	s.show()
}

// act does what the step asks for.
func (s *shard) act() {
	out := &s.core.out
	urgent := false
	for _, w := range out.offers {
		g := w.content.lane.gate
		s.byGate[g] = append(s.byGate[g], w)
		urgent = urgent || w.content.priority == event.Urgent
	}
	for g, wakes := range s.byGate {
		if len(wakes) > 0 {
			g.offer(wakes, urgent)
			clear(wakes)
			s.byGate[g] = wakes[:0]
		}
	}
	if len(out.notices) > 0 {
		s.publish(out.notices)
	}
	clear(out.offers)
	out.offers, out.notices = out.offers[:0], nil
	if len(s.core.outcomes) > flushEarly || s.core.draining && s.core.unflushed() {
		ring(s.engine.flushBell)
	}
}

func (s *shard) publish(notices []*notice) {
	messages := make([]queue.Message, len(notices))
	for i, n := range notices {
		messages[i] = n.message
	}
	s.engine.publisher.Publish(messages, func() {
		s.mu.Lock()
		s.inbox.acked = append(s.inbox.acked, notices...)
		s.mu.Unlock()
		s.bell.ring()
	})
}

// show lets others see how the shard stands: the owner's progress, the metrics, the room for records.
func (s *shard) show() {
	c := s.core
	used := 0.0
	if c.window != nil {
		used = float64(c.window.Used()) / float64(queue.WindowSize)
		s.tell()
	}
	c.books.wakes = int64(len(c.wakes))
	s.mu.Lock()
	turned := c.run.stopped != s.stopped
	s.stopped = c.run.stopped
	s.shown, s.used, s.head, s.due = c.books, used, c.head().published, c.nextDue()
	waiting := int64(len(s.inbox.records) + c.backlog.len())
	s.backlog.Store(waiting)
	s.mu.Unlock()
	if turned {
		s.engine.told(c.partition, c.run.stopped)
	}
	if waiting < maxBacklog {
		ring(s.space)
	}
}

// tell shows the owner how far the partition is done.
func (s *shard) tell() {
	if s.core.moved {
		s.core.moved = false
		done := s.core.window.Progress()
		s.owner.progress.Store(&done)
	}
}

// assign begins the tenure of o.
func (s *shard) assign(o *owner, a queue.Assignment) {
	if s.owner != nil { // released, but the ledger could not write in time
		s.core.release()
		s.core.abandon()
		s.endTenure()
	}
	s.core.assign(a)
	s.owner = o
}

func (s *shard) endTenure() {
	s.tell()
	s.core.endTenure()
	close(s.owner.released)
	s.owner.end()
	s.owner = nil
}

// collect answers the flusher with what this shard has to write.
func (s *shard) collect(reply chan<- collected) {
	s.call(func(time.Time) {
		if !s.core.unflushed() {
			reply <- collected{}
			return
		}
		f, done := s.core.flush()
		s.flushing = true
		reply <- collected{shard: s, flush: f, done: done}
	})
}

// durable tells the shard that its part of a flush is in the ledger.
func (s *shard) durable(done flushed) {
	s.call(func(now time.Time) {
		s.flushing = false
		s.core.durable(done, now)
	})
}

// owner is the queue's side of a tenure. It implements queue.Owner.
type owner struct {
	shard    *shard
	progress atomic.Pointer[queue.Progress]
	released chan struct{} // closed by the shard when the tenure has ended
	tenure   context.Context
	end      context.CancelFunc // of the tenure
}

func (o *owner) Take(ctx context.Context, batch []queue.Record) error {
	s := o.shard
	for s.backlog.Load() >= maxBacklog {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.space:
		}
	}
	s.mu.Lock()
	s.inbox.records = append(s.inbox.records, batch...)
	s.backlog.Add(int64(len(batch)))
	s.mu.Unlock()
	s.bell.ring()
	return nil
}

func (o *owner) Release(ctx context.Context) {
	o.release()
	select {
	case <-o.released:
		return
	case <-ctx.Done():
	}
	o.abandon()
	select {
	case <-o.released:
	case <-time.After(lastFlush): // the ledger cannot write; what it has not written is read again
	}
}

// release lets the tenure take nothing more, and come to its end.
func (o *owner) release() {
	o.shard.call(func(time.Time) {
		if o.shard.owner == o {
			o.shard.core.release()
		}
	})
}

// abandon gives up what the tenure still has under way.
func (o *owner) abandon() {
	o.shard.call(func(time.Time) {
		if o.shard.owner == o {
			o.shard.core.abandon()
		}
	})
}

func (o *owner) Progress() *queue.Progress { return o.progress.Load() }
