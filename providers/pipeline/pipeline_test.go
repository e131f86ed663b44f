package pipeline

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"pushd/loadtest/descriptors"
	"pushd/providers"
	"pushd/providers/connection"
	"pushd/providers/http2"
)

//lint:file-ignore SA1019 net/http serves HTTP/2 on listeners only, and these connections are pipes

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

// server is a Client's dial: each connection is a pipe to a server that answers 401 to the tokens it does not know, 410
// to a path of /dead, and 200 else.
type server struct {
	mu      sync.Mutex // guards all below
	token   string     // the only one that it knows; "" is any
	came    []string   // path and body of each request
	stopped bool       // connections cannot be made

	stalls chan any // where it is set, no request is answered before it is closed
}

func (s *server) dial(context.Context) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, io.ErrClosedPipe
	}
	ours, theirs := net.Pipe()
	h := xhttp2.Server{IdleTimeout: time.Hour}
	go h.ServeConn(theirs, &xhttp2.ServeConnOpts{Handler: s})
	return ours, nil
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if s.stalls != nil {
		<-s.stalls
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.came = append(s.came, r.URL.Path+" "+string(body))
	switch {
	case s.token != "" && r.Header.Get("authorization") != s.token:
		w.WriteHeader(http.StatusUnauthorized)
	case strings.HasPrefix(r.URL.Path, "/dead"):
		w.WriteHeader(http.StatusGone)
	}
}

func (s *server) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.came)
}

// protocol makes a request of each push: its topic is the path, its token the body; one without a topic makes none.
type protocol struct{ head *http2.Head }

func (p protocol) Request(push *providers.Push, text []byte) (http2.Request, []byte, string) {
	if push.Topic == "" {
		return http2.Request{}, text, "no topic"
	}
	begin := len(text)
	text = append(text, push.Topic...)
	path := len(text)
	text = append(text, push.Token...)
	return http2.Request{Head: p.head, Path: text[begin:path:path], Body: text[path:len(text):len(text)]}, text, ""
}

func (p protocol) Result(s *Sent, a *http2.Answer) (providers.Result, bool) {
	switch {
	case a.Failure != nil:
		return providers.Result{Outcome: providers.Again, Reason: a.Failure.Kind.String()}, false
	case a.Status == http.StatusUnauthorized:
		return providers.Result{Outcome: providers.Refused}, !s.Repeat
	case a.Status == http.StatusGone:
		return providers.Result{Outcome: providers.TokenDead, Reason: s.Topic}, false
	}
	return providers.Result{Outcome: providers.Accepted}, false
}

// gated is a protocol whose head has to be waited for until it is opened, or fails.
type gated struct {
	protocol
	head    atomic.Pointer[http2.Head]
	changed chan struct{} // closed when it is opened or fails
	fails   atomic.Bool
}

func newGated() *gated { return &gated{changed: make(chan struct{})} }

func (g *gated) Current() *http2.Head { return g.head.Load() }

func (g *gated) Await(ctx context.Context) (*http2.Head, providers.Result) {
	select {
	case <-ctx.Done():
		return nil, providers.Result{Outcome: providers.Again, Reason: "closed"}
	case <-g.changed:
	}
	if g.fails.Load() {
		return nil, providers.Result{Outcome: providers.Later, Scope: providers.Credential, Reason: "no token"}
	}
	return g.head.Load(), providers.Result{}
}

func (g *gated) open(token string) {
	g.head.Store(bearer(token))
	close(g.changed)
}

func bearer(token string) *http2.Head {
	return http2.NewHead("server.test", hpack.HeaderField{Name: "authorization", Value: token})
}

// inbox counts results by push.
type inbox struct {
	mu      sync.Mutex // guards results
	results map[any][]providers.Result
}

// done is for Sender.Send. It spoils the slice, which is the Sender's again.
func (in *inbox) done(results []providers.Result) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.results == nil {
		in.results = make(map[any][]providers.Result)
	}
	for i, r := range results {
		in.results[r.Ref] = append(in.results[r.Ref], r)
		results[i] = providers.Result{Ref: "spoiled"}
	}
}

// want demands one result of a push.
func (in *inbox) want(t *testing.T, ref any, outcome providers.Outcome, reason string) {
	t.Helper()
	synctest.Wait()
	in.mu.Lock()
	defer in.mu.Unlock()
	if r := in.results[ref]; len(r) != 1 || r[0].Outcome != outcome || r[0].Reason != reason {
		t.Errorf("push %v has the results %+v, want one of %v, %q", ref, r, outcome, reason)
	}
}

func (in *inbox) size() int {
	synctest.Wait()
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.results)
}

// play runs a test in a bubble of time, with a Sender that it closes.
func play(t *testing.T, p func() Protocol, script func(*Sender, *server)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(server)
		sender := New(p(), http2.New(s.dial, http2.Options{
			Provider: "test", Connections: 2, Streams: 50, RequestTimeout: 10 * time.Second, SettingsWithin: 10 * time.Second,
			PingInterval: time.Hour, PingTimeout: 15 * time.Second, Metrics: providers.NewMetrics(prometheus.NewRegistry()),
			GoAwayReason: func([]byte) string { return "" }, Refuses: func([]byte) bool { return false },
		}, slog.New(slog.DiscardHandler)))
		defer sender.Close()
		script(sender, s)
	})
}

func plain() Protocol { return protocol{bearer("x")} }

func push(ref int, topic string) providers.Push {
	return providers.Push{Ref: ref, Topic: topic, Token: fmt.Sprint(ref)}
}

func TestABatchOfAllKinds(t *testing.T) {
	play(t, plain, func(s *Sender, server *server) {
		var in inbox
		s.Send([]providers.Push{push(0, "/a"), push(1, ""), push(2, "/dead/b"), push(3, ""), push(4, "/c")}, in.done)
		in.want(t, 0, providers.Accepted, "")
		in.want(t, 1, providers.Rejected, "no topic")
		in.want(t, 2, providers.TokenDead, "/dead/b")
		in.want(t, 3, providers.Rejected, "no topic")
		in.want(t, 4, providers.Accepted, "")
		if n := server.requests(); n != 3 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

func TestABatchThatMakesNoRequest(t *testing.T) {
	play(t, plain, func(s *Sender, server *server) {
		var in inbox
		s.Send([]providers.Push{push(0, ""), push(1, "")}, in.done)
		in.want(t, 0, providers.Rejected, "no topic")
		in.want(t, 1, providers.Rejected, "no topic")
		s.Send(nil, func([]providers.Result) { t.Error("no push has a result") })
		if n := server.requests(); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

// TestBatchesAreUsedAgain, by many callers at once, while none of them sees another's pushes; and so is the caller's slice.
func TestBatchesAreUsedAgain(t *testing.T) {
	play(t, plain, func(s *Sender, server *server) {
		const callers, rounds, most = 8, 30, 40
		var calling sync.WaitGroup
		for c := range callers {
			calling.Go(func() {
				pushes := make([]providers.Push, 0, most)
				for round := range rounds {
					pushes = pushes[:0]
					for i := range 1 + (c*7+round)%most {
						topic := [...]string{"/a", "", "/dead/b"}[i%3]
						pushes = append(pushes, push(round*most+i, topic))
					}
					n := len(pushes)
					var in inbox
					answered := make(chan struct{}, n)
					s.Send(pushes, func(results []providers.Result) {
						in.done(results)
						for range results {
							answered <- struct{}{}
						}
					})
					clear(pushes[:n]) // it is ours again
					for range n {
						<-answered
					}
					in.whole(t, round*most, n)
				}
			})
		}
		calling.Wait()
		server.unmixed(t)
	})
}

// whole demands n results of the kinds that TestBatchesAreUsedAgain sends.
func (in *inbox) whole(t *testing.T, from, n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := range n {
		want := [...]providers.Outcome{providers.Accepted, providers.Rejected, providers.TokenDead}[i%3]
		if r := in.results[from+i]; len(r) != 1 || r[0].Outcome != want {
			t.Errorf("push %d has the results %+v", from+i, r)
		}
	}
}

// unmixed demands that each request has the body that belongs to its path.
func (s *server) unmixed(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.came {
		path, body, _ := strings.Cut(r, " ")
		var ref int
		if _, err := fmt.Sscan(body, &ref); err != nil || path != [...]string{"/a", "", "/dead/b"}[ref%40%3] {
			t.Errorf("request %q", r)
		}
	}
}

// TestARequestIsSentAgain with the head that is current by then, and once.
func TestARequestIsSentAgain(t *testing.T) {
	var g *gated
	play(t, func() Protocol { g = newGated(); return g }, func(s *Sender, server *server) {
		server.token = "new"
		g.open("old")
		var in inbox
		s.Send([]providers.Push{push(0, "/a"), push(1, "/b"), push(2, "")}, in.done)
		in.want(t, 0, providers.Refused, "")
		in.want(t, 1, providers.Refused, "")
		if n := server.requests(); n != 4 {
			t.Errorf("%d requests were sent", n)
		}
		g.head.Store(bearer("new"))
		s.Send([]providers.Push{push(3, "/a")}, in.done)
		in.want(t, 3, providers.Accepted, "")
	})
}

// TestARequestThatIsSentAgainWaitsForTheGate.
func TestARequestThatIsSentAgainWaitsForTheGate(t *testing.T) {
	var g *gated
	play(t, func() Protocol { g = newGated(); return &shutting{g} }, func(s *Sender, server *server) {
		g.head.Store(bearer("old"))
		server.token = "new"
		var in inbox
		s.Send([]providers.Push{push(0, "/a"), push(1, "/b")}, in.done)
		if n := in.size(); n != 0 {
			t.Errorf("%d pushes have results", n)
		}
		g.open("new")
		in.want(t, 0, providers.Accepted, "")
		in.want(t, 1, providers.Accepted, "")
	})
}

// shutting is a gate that is shut by a refusal, as an expired token is.
type shutting struct{ *gated }

func (g *shutting) Result(s *Sent, a *http2.Answer) (providers.Result, bool) {
	result, again := g.gated.Result(s, a)
	if again {
		g.head.Store(nil)
	}
	return result, again
}

func TestAGateThatOpens(t *testing.T) {
	var g *gated
	play(t, func() Protocol { g = newGated(); return g }, func(s *Sender, server *server) {
		server.token = "x"
		var in inbox
		s.Send([]providers.Push{push(0, "/a"), push(1, ""), push(2, "/dead/b")}, in.done)
		in.want(t, 1, providers.Rejected, "no topic") // which waits for nothing
		if n := in.size(); n != 1 || server.requests() != 0 {
			t.Errorf("%d results, %d requests", n, server.requests())
		}
		g.open("x")
		in.want(t, 0, providers.Accepted, "")
		in.want(t, 2, providers.TokenDead, "/dead/b")
	})
}

func TestAGateThatFails(t *testing.T) {
	var g *gated
	play(t, func() Protocol { g = newGated(); return g }, func(s *Sender, server *server) {
		var in inbox
		s.Send([]providers.Push{push(0, "/a"), push(1, ""), push(2, "/b")}, in.done)
		g.fails.Store(true)
		close(g.changed)
		in.want(t, 0, providers.Later, "no token")
		in.want(t, 1, providers.Rejected, "no topic")
		in.want(t, 2, providers.Later, "no token")
		if n := server.requests(); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

func TestCloseWhileAGateIsAwaited(t *testing.T) {
	var g *gated
	play(t, func() Protocol { g = newGated(); return g }, func(s *Sender, server *server) {
		var in inbox
		s.Send([]providers.Push{push(0, "/a"), push(1, "/b")}, in.done)
		s.Close()
		in.want(t, 0, providers.Again, "closed")
		in.want(t, 1, providers.Again, "closed")
		s.Send([]providers.Push{push(2, "/a"), push(3, "")}, in.done)
		in.want(t, 2, providers.Again, connection.Closed.String())
		in.want(t, 3, providers.Rejected, "no topic")
	})
}

// TestCloseWhileDoneSends: what is told of a failure may send again at once, also while the Sender closes and its gate is
// shut. No request without a head may reach a connection that is open.
func TestCloseWhileDoneSends(t *testing.T) {
	var g *gated
	play(t, func() Protocol { g = newGated(); return g }, func(s *Sender, server *server) {
		g.head.Store(bearer("x"))
		var in inbox
		s.Send([]providers.Push{push(0, "/a")}, in.done) // so that a connection is open
		in.want(t, 0, providers.Accepted, "")
		g.head.Store(nil)
		next := 1
		var done func([]providers.Result)
		send := func() { // one after the other
			next++
			s.Send([]providers.Push{push(next-1, "/b")}, done)
		}
		const pushes = 50
		done = func(results []providers.Result) {
			in.done(results)
			if next < pushes {
				send()
			}
		}
		send()
		synctest.Wait()
		s.Close()
		synctest.Wait()
		if n := in.size(); n != pushes {
			t.Errorf("%d pushes of %d have results", n, pushes)
		}
		if n := server.requests(); n != 1 {
			t.Errorf("%d requests came", n)
		}
	})
}

func TestCloseAnswersWhatIsUnderWay(t *testing.T) {
	play(t, plain, func(s *Sender, server *server) {
		server.stalls = make(chan any)
		defer close(server.stalls)
		var in inbox
		s.Send([]providers.Push{push(0, "/a"), push(1, "/b")}, in.done)
		synctest.Wait()
		s.Close()
		in.want(t, 0, providers.Again, connection.Closed.String())
		in.want(t, 1, providers.Again, connection.Closed.String())
	})
}

func TestNoServer(t *testing.T) {
	play(t, plain, func(s *Sender, server *server) {
		server.stopped = true
		var in inbox
		s.Send([]providers.Push{push(0, "/a"), push(1, ""), push(2, "/b")}, in.done)
		in.want(t, 0, providers.Again, connection.Dial.String())
		in.want(t, 1, providers.Rejected, "no topic")
		in.want(t, 2, providers.Again, connection.Dial.String())
	})
}

// TestALargeBatchIsNotKept for the next one.
func TestALargeBatchIsNotKept(t *testing.T) {
	t.Parallel()
	b := &batch{sent: make([]Sent, maxKept+1), requests: make([]http2.Request, maxKept+1), text: make([]byte, 1<<20)}
	b.reset()
	if b.sent != nil || b.requests != nil || b.text != nil {
		t.Error("it is kept")
	}
	b = &batch{sent: []Sent{{Ref: 1}}, requests: []http2.Request{{N: 1}}, text: []byte("abc")}
	b.reset()
	if len(b.sent)+len(b.requests)+len(b.text) != 0 || b.sent[:1][0].Ref != nil || cap(b.requests) == 0 {
		t.Errorf("%+v", b)
	}
}
