package providers

import (
	"context"
	"sync"
)

// ReasonClosed is the reason of pushes that a Sender's Close answers.
const ReasonClosed = "transport: closed"

// Blocking makes a Sender of a function that sends one push and waits for its answer. Its workers are as many as pushes
// are under way, up to a limit; a worker that finds nothing to do ends. What is beyond the limit waits in order: the
// caller bounds that.
//
//	goroutine   owns                              ends when                waited for by
//	work        one push at a time; the delivery  nothing waits            Close
//	            of results, where no other has it
type Blocking struct {
	send   func(context.Context, *Push) Result
	limit  int
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex // guards all below
	waiting []job
	workers int
	closed  bool
}

// job is one push of a batch.
type job struct {
	push  Push
	batch *batch
}

// batch gathers the results of one call of Send.
type batch struct {
	done func([]Result)

	mu         sync.Mutex // guards all below
	ready      []Result   // not yet delivered
	spare      []Result   // the slice that was delivered before, for use again
	delivering bool       // a worker is in done
}

// NewBlocking makes a Sender that has at most limit calls of send at a time. send must return soon after its context
// ends.
func NewBlocking(limit int, send func(context.Context, *Push) Result) *Blocking {
	ctx, cancel := context.WithCancel(context.Background())
	return &Blocking{send: send, limit: limit, ctx: ctx, cancel: cancel}
}

// Send is Sender.Send.
func (b *Blocking) Send(pushes []Push, done func([]Result)) {
	batch := &batch{done: done}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		for i := range pushes {
			batch.ready = append(batch.ready, unsent(&pushes[i]))
		}
		batch.deliver()
		return
	}
	for i := range pushes {
		b.waiting = append(b.waiting, job{pushes[i], batch})
	}
	begin := min(len(pushes), b.limit-b.workers)
	b.workers += begin
	b.ended.Add(begin)
	b.mu.Unlock()
	for range begin {
		go b.work()
	}
}

// Close is Sender.Close: it waits until every push is answered.
func (b *Blocking) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel()
	b.ended.Wait()
}

func unsent(p *Push) Result {
	return Result{Ref: p.Ref, Outcome: Again, Reason: ReasonClosed}
}

func (b *Blocking) work() {
	defer b.ended.Done()
	for {
		next, ok := b.next()
		if !ok {
			return
		}
		var result Result
		if b.ctx.Err() != nil {
			result = unsent(&next.push)
		} else {
			result = b.send(b.ctx, &next.push)
		}
		next.batch.add(result)
	}
}

// next takes the push that waited longest, or ends the worker: both under one lock, so that a push never waits with no
// worker left.
func (b *Blocking) next() (job, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.waiting = nil
		b.workers--
		return job{}, false
	}
	next := b.waiting[0]
	b.waiting[0] = job{}
	b.waiting = b.waiting[1:]
	return next, true
}

// add hands in a result. Where another worker is delivering, that one takes it along.
func (t *batch) add(r Result) {
	t.mu.Lock()
	t.ready = append(t.ready, r)
	if t.delivering {
		t.mu.Unlock()
		return
	}
	t.delivering = true
	t.mu.Unlock()
	t.deliver()
}

// deliver calls done until nothing is left. Only one worker at a time is in it.
func (t *batch) deliver() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.ready) > 0 {
		results := t.ready
		t.ready = t.spare[:0]
		t.mu.Unlock()
		t.done(results)
		t.mu.Lock()
		t.spare = results
	}
	t.delivering = false
}
