package conformance

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"pushd/providers"
	"pushd/providers/simulator"
)

// chaos answers each push by lot, and sends again what asks for it, until all are accepted.
func (p Provider) chaos(t *testing.T) {
	const amount, seed = 500, 7
	server := p.Start(t, Behaviour{RequestTimeout: shortTimeout, Answer: func(r simulator.Request) simulator.Answer {
		if r.Attempt >= 4 {
			return simulator.Answer{}
		}
		lot := rand.New(rand.NewPCG(seed, uint64(len(r.Token))+uint64(r.Attempt)<<32+uint64(r.Stream)<<40+r.Connection))
		return misfortune(lot.IntN(1000))
	}})
	sender := server.Sender(t, "acme")
	left := p.pushes(0, amount)
	for len(left) > 0 {
		left = p.unaccepted(t, server, sender, left)
	}
}

// misfortune is good luck in most cases.
func misfortune(lot int) simulator.Answer {
	switch {
	case lot < 700:
		return simulator.Answer{}
	case lot < 800:
		return simulator.Answer{Latency: 20 * time.Millisecond}
	case lot < 850:
		return simulator.Answer{Status: http.StatusServiceUnavailable, Body: []byte("<html>")}
	case lot < 900:
		return simulator.Answer{Reset: http2.ErrCodeRefusedStream}
	case lot < 950:
		return simulator.Answer{Reset: http2.ErrCodeInternal}
	case lot < 955:
		return simulator.Answer{GoAway: &simulator.GoAway{LastStream: simulator.ThisStream}}
	case lot < 960:
		return simulator.Answer{GoAway: &simulator.GoAway{LastStream: simulator.BelowThis, Debug: `{"reason":"Shutdown"}`}}
	case lot < 965:
		return simulator.Answer{Drop: true}
	case lot < 970:
		return simulator.Answer{Silent: true}
	}
	return simulator.Answer{Status: http.StatusInternalServerError}
}

// limits sends much more than the server lets be under way.
func (p Provider) limits(t *testing.T) {
	const amount, streams = 300, 5
	server := p.Start(t, Behaviour{Latency: time.Millisecond, MaxStreams: streams})
	sender := server.Sender(t, "acme")
	if left := p.unaccepted(t, server, sender, p.pushes(0, amount)); len(left) > 0 {
		t.Errorf("%d pushes are to be sent again", len(left))
	}
	stats := server.Stats()
	if stats.RefusedStreams > 0 || stats.PeakStreams > streams {
		t.Errorf("%d streams at a time, %d refused, though %d are allowed", stats.PeakStreams, stats.RefusedStreams, streams)
	}
	if stats.Opened > uint64(p.Connections) {
		t.Errorf("%d connections were opened, though %d are allowed", stats.Opened, p.Connections)
	}
	if stats.Requests != amount {
		t.Errorf("the server read %d requests for %d pushes", stats.Requests, amount)
	}
}

// noServer has nobody to connect to.
func (p Provider) noServer(t *testing.T) {
	server := p.Start(t, Behaviour{})
	sender := server.Sender(t, "acme")
	server.Stop()
	inbox := NewInbox()
	sender.Send(p.pushes(0, 50), inbox.Done)
	for ref, result := range inbox.Wait(t, 50) {
		check(t, fmt.Sprint("push ", ref), result, p.NoServer)
	}
}

// closes ends a Sender whose pushes are never answered.
func (p Provider) closes(t *testing.T) {
	begun := make(chan struct{})
	var first sync.Once
	server := p.Start(t, Behaviour{Answer: func(simulator.Request) simulator.Answer {
		first.Do(func() { close(begun) })
		return simulator.Answer{Silent: true}
	}})
	sender := server.Sender(t, "acme")
	inbox := NewInbox()
	sender.Send(p.pushes(0, 200), inbox.Done)
	<-begun
	sender.Close()
	for ref, result := range inbox.Wait(t, 200) {
		if result.Outcome != providers.Again {
			t.Errorf("push %v: %+v", ref, result)
		}
	}
	sender.Send(p.pushes(200, 10), inbox.Done)
	if result := inbox.Wait(t, 210)[200]; result.Outcome != providers.Again {
		t.Errorf("after Close: %+v", result)
	}
	sender.Close()
}

// tenants sends for several tenants at a time. Each connection serves one of them, and each push comes with the
// credential of its own.
func (p Provider) tenants(t *testing.T) {
	names := []string{"acme", "globex", "initech"}
	const amount = 200
	var mu sync.Mutex
	byConnection := make(map[uint64]string)
	byToken := make(map[string]string)
	server := p.Start(t, Behaviour{Answer: func(r simulator.Request) simulator.Answer {
		mu.Lock()
		defer mu.Unlock()
		if other, known := byConnection[r.Connection]; known && other != r.Tenant {
			t.Errorf("connection %d serves %s and %s", r.Connection, other, r.Tenant)
		}
		byConnection[r.Connection], byToken[r.Token] = r.Tenant, r.Tenant
		return simulator.Answer{}
	}})
	inbox := NewInbox()
	for i, name := range names {
		sender := server.Sender(t, name)
		sender.Send(p.pushes(i*amount, amount), inbox.Done)
	}
	inbox.Wait(t, len(names)*amount)
	mu.Lock()
	defer mu.Unlock()
	for i, name := range names {
		for _, push := range p.pushes(i*amount, amount) {
			if got := byToken[push.Token]; got != server.Tenant(name) {
				t.Errorf("push %v of %s came from %q", push.Ref, name, got)
			}
		}
	}
}

// reuse overwrites the slice as soon as Send has returned.
func (p Provider) reuse(t *testing.T) {
	server := p.Start(t, Behaviour{Latency: time.Millisecond})
	sender := server.Sender(t, "acme")
	inbox := NewInbox()
	batch := make([]providers.Push, 50)
	for from := 0; from < 500; from += len(batch) {
		copy(batch, p.pushes(from, len(batch)))
		sender.Send(batch, inbox.Done)
		clear(batch)
	}
	for ref, result := range inbox.Wait(t, 500) {
		if result.Outcome != providers.Accepted {
			t.Errorf("push %v: %+v", ref, result)
		}
	}
}
