// Package pipeline makes a providers.Sender of an http2.Client: a batch of pushes becomes a batch of requests, and each
// answer a Result. It knows no provider; a Protocol says what requests and answers are.
//
// The promise is that of providers.Sender. For a push it makes no object: a batch's requests lie in memory that is used
// again when all of them are answered.
//
//	goroutine      owns                                       ends when                  waited for by
//	Sender.await   a batch whose Protocol is not ready yet    it is ready, or Close      Close
package pipeline

import (
	"context"
	"sync"
	"sync/atomic"

	"pushd/providers"
	"pushd/providers/http2"
)

// Protocol is how one provider is spoken to. Its methods are called from any goroutine.
type Protocol interface {
	// Request makes the request of a push. It appends what the request's slices hold to text, and says what it appended to;
	// N and Suspect are not its to set, nor is Head where the Protocol is also a Gate. Of a push that makes no request it says why.
	Request(p *providers.Push, text []byte) (r http2.Request, appended []byte, fault string)
	// Result is what an answer means, or that the request is to be sent again, at once. Ref is left to the caller.
	Result(s *Sent, a *http2.Answer) (result providers.Result, again bool)
}

// Gate is a Protocol whose requests all have one head, which is not always to be had, as an access token is not.
type Gate interface {
	// Current is the head, or nil where it has to be waited for.
	Current() *http2.Head
	// Await waits for it. Without one, every push has this Result.
	Await(context.Context) (*http2.Head, providers.Result)
}

// Sent is what is remembered of a push.
type Sent struct {
	Ref    any
	Topic  string // the push's own
	Repeat bool   // its request was sent again
}

// Sender sends the pushes of one credential.
type Sender struct {
	protocol Protocol
	gate     Gate // nil where the Protocol is none
	client   *http2.Client
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	waits    sync.WaitGroup

	batches sync.Pool // *batch
	results sync.Pool // *[]providers.Result

	mu     sync.Mutex // guards closed, and waits against it
	closed bool
}

// New makes a Sender. It closes the client.
func New(protocol Protocol, client *http2.Client) *Sender {
	s := &Sender{protocol: protocol, client: client}
	s.gate, _ = protocol.(Gate)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.batches.New = func() any { return &batch{sender: s} }
	s.results.New = func() any { return new([]providers.Result) }
	return s
}

// batch is one call of Send: the Caller of its requests.
type batch struct {
	sender   *Sender
	done     func([]providers.Result)
	left     atomic.Int64 // not answered yet
	sent     []Sent
	requests []http2.Request // of each push; some are not sent
	text     []byte          // what the requests' slices hold
}

// maxKept bounds what a batch keeps for the next one, in pushes.
const maxKept = 4096

// Send is providers.Sender.Send.
func (s *Sender) Send(pushes []providers.Push, done func([]providers.Result)) {
	if len(pushes) == 0 {
		return
	}
	b := s.batches.Get().(*batch)
	b.done = done
	b.left.Store(int64(len(pushes)))
	results := s.results.Get().(*[]providers.Result)
	for i := range pushes {
		p := &pushes[i]
		r, text, fault := s.protocol.Request(p, b.text)
		b.text = text
		if fault != "" {
			*results = append(*results, providers.Result{Ref: p.Ref, Outcome: providers.Rejected, Reason: fault})
			continue
		}
		r.N, r.Suspect = len(b.sent), p.Suspect
		b.requests = append(b.requests, r)
		b.sent = append(b.sent, Sent{Ref: p.Ref, Topic: p.Topic})
	}
	// With the last answer the batch is another call's: what is said here of none of its requests comes first.
	requests := b.requests
	if b.answered(results); len(requests) > 0 {
		s.submit(b, requests)
	}
}

// submit hands requests of a batch to the client, when the gate is open.
func (s *Sender) submit(b *batch, requests []http2.Request) {
	if s.gate == nil {
		s.client.Send(b, requests)
		return
	}
	if head := s.gate.Current(); head != nil {
		s.under(head, b, requests)
		return
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.waits.Go(func() { s.await(b, requests) })
	}
	s.mu.Unlock()
	if closed {
		s.client.Send(b, requests) // which was closed before, and says so: no request without a head gets further
	}
}

// under sends requests with that head.
func (s *Sender) under(head *http2.Head, b *batch, requests []http2.Request) {
	for i := range requests {
		requests[i].Head = head
	}
	s.client.Send(b, requests)
}

// await waits for the head of requests.
func (s *Sender) await(b *batch, requests []http2.Request) {
	head, none := s.gate.Await(s.ctx)
	if head != nil {
		s.under(head, b, requests)
		return
	}
	results := s.results.Get().(*[]providers.Result)
	for i := range requests {
		none.Ref = b.sent[requests[i].N].Ref
		*results = append(*results, none)
	}
	b.answered(results)
}

// Answered is http2.Caller.Answered.
func (b *batch) Answered(answers []http2.Answer) {
	s := b.sender
	results := s.results.Get().(*[]providers.Result)
	for i := range answers {
		a := &answers[i]
		sent := &b.sent[a.N]
		result, again := s.protocol.Result(sent, a)
		if again {
			sent.Repeat = true
			s.submit(b, b.requests[a.N:a.N+1])
			continue
		}
		result.Ref = sent.Ref
		*results = append(*results, result)
	}
	b.answered(results)
}

// answered tells the caller, and lets the batch be used again after its last answer.
func (b *batch) answered(results *[]providers.Result) {
	s, n := b.sender, int64(len(*results))
	if n > 0 {
		b.done(*results)
	}
	clear(*results)
	*results = (*results)[:0]
	s.results.Put(results)
	if n > 0 && b.left.Add(-n) == 0 {
		b.reset()
		s.batches.Put(b)
	}
}

func (b *batch) reset() {
	b.done = nil
	if cap(b.requests) > maxKept {
		b.sent, b.requests, b.text = nil, nil, nil
		return
	}
	clear(b.sent)
	clear(b.requests)
	b.sent, b.requests, b.text = b.sent[:0], b.requests[:0], b.text[:0]
}

// Close is providers.Sender.Close.
func (s *Sender) Close() {
	s.client.Close()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.waits.Wait()
}
