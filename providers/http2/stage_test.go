package http2

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"pushd/providers"
	"pushd/providers/connection"
)

// stage is a Client whose servers a test plays, frame by frame. It is in a synctest bubble: time passes when all wait, and
// a goroutine that never ends fails the test.
type stage struct {
	*Client
	t       *testing.T
	inbox   inbox
	metrics *prometheus.Registry
	sent    int // requests; their numbers are below
	head    *Head

	mu      sync.Mutex        // guards all below
	peers   []*peer           // in the order in which they were dialed
	obliges bool              // servers dialed from now on do
	dial    error             // why there is no connection
	serves  func(*peer) error // what becomes of a new connection; may be nil

}

// play runs a script against a Client with short times; change may be nil.
func play(t *testing.T, change func(*Options), script func(*stage)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { perform(t, change, script) })
}

func perform(t *testing.T, change func(*Options), script func(*stage)) {
	s := &stage{t: t, metrics: prometheus.NewRegistry(), head: NewHead("server.test", hpack.HeaderField{Name: "x-topic", Value: "com.example"})}
	options := Options{
		Provider: "test", Connections: 2, Streams: 100,
		RequestTimeout: 10 * time.Second, SettingsWithin: 20 * time.Second,
		PingInterval: time.Hour, PingTimeout: 15 * time.Second,
		Metrics:      providers.NewMetrics(s.metrics),
		GoAwayReason: func([]byte) string { return "" },
		Refuses:      func(debug []byte) bool { return string(debug) == "refused" },
	}
	if change != nil {
		change(&options)
	}
	s.Client = New(s.connect, options, slog.New(slog.DiscardHandler))
	defer s.end()
	script(s)
}

// connect is the Client's Dial.
func (s *stage) connect(ctx context.Context) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dial != nil {
		return nil, s.dial
	}
	ours, theirs := net.Pipe()
	p := newPeer(s.t, theirs, s.obliges)
	s.peers = append(s.peers, p)
	if s.serves != nil {
		if err := s.serves(p); err != nil {
			ours.Close()
			return nil, err
		}
	}
	return ours, nil
}

// end closes the Client, and demands one answer for each request, and that the metrics count no connection.
func (s *stage) end() {
	begun := time.Now()
	s.Close()
	if took := time.Since(begun); took > time.Second {
		s.t.Errorf("Close took %v", took)
	}
	for _, p := range s.all() {
		p.close()
	}
	synctest.Wait()
	s.inbox.once(s.t, s.sent)
	for state, n := range s.connections() {
		if n != 0 {
			s.t.Errorf("the metrics count %g connections as %s after Close", n, state)
		}
	}
}

// connections are the metrics' numbers of connections, by their state.
func (s *stage) connections() map[string]float64 {
	families, err := s.metrics.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	states := make(map[string]float64)
	for _, family := range families {
		if family.GetName() == "pushd_provider_connections" {
			for _, m := range family.Metric {
				states[label(m, "state")] = m.GetGauge().GetValue()
			}
		}
	}
	return states
}

func label(m *dto.Metric, name string) string {
	i := slices.IndexFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == name })
	return m.Label[i].GetValue()
}

func (s *stage) all() []*peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.peers)
}

// peer is the server of a connection, which must have been dialed by now: the first is number 0.
func (s *stage) peer(i int) *peer {
	s.t.Helper()
	synctest.Wait()
	if all := s.all(); i < len(all) {
		return all[i]
	}
	s.t.Fatalf("there are %d connections, not %d", len(s.all()), i+1)
	return nil
}

// request makes the request with that number.
func (s *stage) request(n int, body string) Request {
	return Request{
		N: n, Head: s.head, Path: []byte("/device/" + strconv.Itoa(n)),
		Fields: AppendField(nil, "x-number", strconv.Itoa(n)), Body: []byte(body),
	}
}

// send sends n requests with a small body and says the number of the first.
func (s *stage) send(n int) int { return s.sendBody(n, "{}") }

func (s *stage) sendBody(n int, body string) int {
	first := s.sent
	requests := make([]Request, n)
	for i := range requests {
		requests[i] = s.request(first+i, body)
	}
	s.sent += n
	s.Send(&s.inbox, requests)
	return first
}

// answered is the answer to a request, which must be there by now.
func (s *stage) answered(n int) Answer {
	s.t.Helper()
	synctest.Wait()
	answers := s.inbox.of(n)
	if len(answers) != 1 {
		s.t.Fatalf("request %d has %d answers: %+v", n, len(answers), answers)
	}
	return answers[0]
}

// pending demands that requests are not answered yet.
func (s *stage) pending(from, n int) {
	s.t.Helper()
	synctest.Wait()
	for i := from; i < from+n; i++ {
		if answers := s.inbox.of(i); len(answers) != 0 {
			s.t.Fatalf("request %d is answered: %+v", i, answers)
		}
	}
}

// fails demands a request's failure.
func (s *stage) fails(n int, kind connection.Kind, unprocessed bool) *connection.Failure {
	s.t.Helper()
	a := s.answered(n)
	switch {
	case a.Failure == nil:
		s.t.Fatalf("request %d is answered with %d, want %v", n, a.Status, kind)
	case a.Failure.Kind != kind || a.Failure.Unprocessed != unprocessed:
		s.t.Errorf("request %d failed with %v, unprocessed %t; want %v, %t", n, a.Failure, a.Failure.Unprocessed, kind, unprocessed)
	}
	return a.Failure
}

// succeeds demands that requests are answered with 200.
func (s *stage) succeeds(from, n int) {
	s.t.Helper()
	for i := from; i < from+n; i++ {
		if a := s.answered(i); a.Failure != nil || a.Status != http.StatusOK {
			s.t.Errorf("request %d: %d, %v", i, a.Status, a.Failure)
		}
	}
}

// works demands that the client sends on, by a new connection where it has to: from here on every server obliges.
func (s *stage) works() {
	s.t.Helper()
	s.mu.Lock()
	s.obliges, s.dial = true, nil
	s.mu.Unlock()
	for _, p := range s.all() {
		p.oblige()
	}
	s.succeeds(s.send(3), 3)
}

// inbox is the Caller of a test's requests.
type inbox struct {
	mu      sync.Mutex // guards answers
	answers map[int][]Answer
}

func (in *inbox) Answered(answers []Answer) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.answers == nil {
		in.answers = make(map[int][]Answer)
	}
	for _, a := range answers {
		in.answers[a.N] = append(in.answers[a.N], a)
	}
}

func (in *inbox) of(n int) []Answer {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.answers[n])
}

// once demands one answer for each of n requests.
func (in *inbox) once(t *testing.T, n int) {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := range n {
		switch answers := in.answers[i]; {
		case len(answers) != 1:
			t.Errorf("request %d has %d answers: %+v", i, len(answers), answers)
		case (answers[0].Status == 0) == (answers[0].Failure == nil):
			t.Errorf("request %d has neither an answer nor a failure, or both: %+v", i, answers[0])
		}
	}
	if len(in.answers) > n {
		t.Errorf("answers to requests that were not sent: %v", slices.Sorted(maps.Keys(in.answers)))
	}
}

var errDial = errors.New("nobody there")

// broke demands that the client ended a connection with GOAWAY of that code.
func (s *stage) broke(p *peer, code http2.ErrCode) {
	s.t.Helper()
	f := p.expect(http2.FrameGoAway)
	if got := http2.ErrCode(f.number(4)); got != code {
		s.t.Errorf("the connection ends with %v, want %v", got, code)
	}
	if !p.hungUp() {
		s.t.Error("the connection is not closed")
	}
}

// within lets some time pass, and the sweep after it.
func (s *stage) within(d time.Duration) {
	time.Sleep(d + 2*longTick)
	synctest.Wait()
}
