package conformance

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"pushd/providers"
	"pushd/providers/simulator"
)

// shortTimeout is that of the cases in which nothing comes: the shortest that configurations allow.
const shortTimeout = time.Second

var acceptedResult = providers.Result{Outcome: providers.Accepted, Status: 200}

// eachAnswer gives each answer once, all to one Sender: an answer spoils nothing for the next push.
func (p Provider) eachAnswer(t *testing.T) {
	p.each(t, 0, p.Cases)
}

// eachFailure lets a push fail in each way that HTTP/2 knows.
func (p Provider) eachFailure(t *testing.T) {
	lost := func(reason string, wait time.Duration) providers.Result {
		return providers.Result{Outcome: providers.Again, Reason: "transport: " + reason, Wait: wait}
	}
	p.each(t, shortTimeout, []Case{
		{"a cut connection", simulator.Answer{Drop: true}, lost("connection lost", p.Transport)},
		{"a reset stream", simulator.Answer{Reset: http2.ErrCodeInternal}, lost("reset", p.Transport)},
		{"a refused stream", simulator.Answer{Reset: http2.ErrCodeRefusedStream}, lost("refused stream", 0)},
		{"a GOAWAY below the stream", simulator.Answer{GoAway: &simulator.GoAway{LastStream: simulator.BelowThis}}, lost("goaway", 0)},
		{"a GOAWAY with an error", simulator.Answer{GoAway: &simulator.GoAway{Code: http2.ErrCodeEnhanceYourCalm, Debug: "slow down"}}, lost("goaway", 0)},
		{"a GOAWAY that lets the stream end", simulator.Answer{GoAway: &simulator.GoAway{LastStream: simulator.ThisStream}}, acceptedResult},
		{"silence", simulator.Answer{Silent: true}, p.Timeout},
	})
}

// unprocessed says whether the server lets it be known that it did nothing with the push.
func (c *Case) unprocessed() bool {
	return c.Answer.Reset == http2.ErrCodeRefusedStream || c.Answer.GoAway != nil && c.Answer.GoAway.LastStream != simulator.ThisStream
}

// each gives each answer to all that is sent, and then a good one. Nothing is repeated behind the engine's back that the
// server may have processed: it saw each push once, or twice where the credential's token was renewed in between.
func (p Provider) each(t *testing.T, timeout time.Duration, cases []Case) {
	var now atomic.Pointer[simulator.Answer]
	var asked atomic.Int64
	server := p.Start(t, Behaviour{RequestTimeout: timeout, Answer: func(simulator.Request) simulator.Answer {
		asked.Add(1)
		return *now.Load()
	}})
	sender := server.Sender(t, "acme")
	for i, c := range cases {
		now.Store(&c.Answer)
		asked.Store(0)
		check(t, c.Name, p.one(t, sender, 2*i), c.Want)
		want := int64(1)
		if c.unprocessed() && c.Want.Outcome != providers.Refused {
			want = p.Tries
		}
		if n := asked.Load(); n != want && (n != 2 || c.Want.Outcome != providers.Refused) {
			t.Errorf("%s: the server saw the push %d times, not %d", c.Name, n, want)
		}
		now.Store(&simulator.Answer{})
		check(t, "after "+c.Name, p.one(t, sender, 2*i+1), acceptedResult)
	}
}

// eachConduct lets the first connection misbehave in each way the simulator knows, the later ones not: a push is
// answered, and those that are sent again come through.
func (p Provider) eachConduct(t *testing.T) {
	for name, conduct := range map[string]simulator.Conduct{
		"no handshake":    {NoHandshake: true},
		"no settings":     {NoSettings: true},
		"deaf":            {Deaf: true},
		"no streams":      {NoStreams: true},
		"huge headers":    {HeaderPadding: 64 << 10},
		"one stream":      {MaxStreams: 1},
		"a slow line":     {BytesPerSecond: 20_000},
		"a byte a second": {BytesPerSecond: 1},
		"a closed window": {NoWindowUpdates: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := p.Start(t, Behaviour{RequestTimeout: shortTimeout, Conduct: func(connection uint64) simulator.Conduct {
				if connection == 1 {
					return conduct
				}
				return simulator.Conduct{}
			}})
			sender := server.Sender(t, "acme")
			left := p.pushes(0, 20)
			for try := 0; len(left) > 0; try++ {
				if try == 5 {
					t.Fatalf("%d pushes are not accepted after %d tries", len(left), try)
				}
				left = p.unaccepted(t, server, sender, left)
			}
		})
	}
}

// unaccepted sends pushes and returns those that are to be sent again.
func (p Provider) unaccepted(t *testing.T, server Server, sender providers.Sender, pushes []providers.Push) []providers.Push {
	t.Helper()
	inbox := NewInbox()
	sender.Send(pushes, inbox.Done)
	results := inbox.Wait(t, len(pushes))
	var left []providers.Push
	for _, push := range pushes {
		switch result := results[push.Ref]; result.Outcome {
		case providers.Accepted:
			if server.Account().Accepted(push.Token) == 0 {
				t.Errorf("push %v is called accepted, which the server did not do", push.Ref)
			}
		case providers.Again, providers.Later:
			left = append(left, push)
		default:
			t.Errorf("push %v: %+v", push.Ref, result)
		}
	}
	return left
}
