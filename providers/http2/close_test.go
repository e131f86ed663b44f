package http2

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"

	"pushd/providers"
	"pushd/providers/connection"
)

// TestClose in each state of a connection; perform demands that it is quick, and leaves nothing.
func TestClose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		from func(*stage)
		ends func(*stage)
	}{
		{"before any request", func(*stage) {}, func(*stage) {}},
		{"before SETTINGS", func(s *stage) { s.send(2); s.peer(0) }, func(s *stage) {
			s.fails(0, connection.Closed, true)
			s.fails(1, connection.Closed, true)
		}},
		{"with requests under way and waiting", func(s *stage) {
			s.send(3)
			s.peer(0).greet(streamLimit(2))
		}, func(s *stage) {
			s.fails(0, connection.Closed, false)
			s.fails(1, connection.Closed, false)
			s.fails(2, connection.Closed, true)
			s.broke(s.peer(0), http2.ErrCodeNo)
		}},
		{"with a body that waits for its window", func(s *stage) {
			s.send(1)
			s.peer(0).greet(initialWindow(0))
		}, func(s *stage) { s.fails(0, connection.Closed, false) }},
		{"while a connection drains", func(s *stage) {
			s.send(2)
			s.peer(0).greet()
			s.peer(0).goAway(1, http2.ErrCodeNo, "")
			s.peer(1).greet()
		}, func(s *stage) {
			s.fails(0, connection.Closed, false)
			s.fails(1, connection.Closed, false)
		}},
		{"at rest", func(s *stage) { s.succeeds(s.greeted(), 1); s.within(time.Minute) }, func(*stage) {}},
		{"with a server that reads nothing", func(s *stage) { s.unread(1) }, func(*stage) {}},
		{"while the writer waits for a server that reads nothing", func(s *stage) { s.unread(2) }, func(*stage) {}},
		{"within a header block", func(s *stage) {
			s.send(1)
			s.peer(0).greet()
			s.peer(0).raw(http2.FrameHeaders, 0, 1, "\x88")
		}, func(s *stage) { s.fails(0, connection.Closed, false) }},
		{"twice", func(s *stage) {
			s.send(1)
			s.peer(0).greet()
			s.Close()
		}, func(s *stage) { s.fails(0, connection.Closed, false) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, nil, func(s *stage) {
				c.from(s)
				begun := time.Now()
				s.Close()
				if took := time.Since(begun); took > 2*farewell {
					t.Errorf("Close took %v", took)
				}
				c.ends(s)
				s.fails(s.send(1), connection.Closed, true) // and every request after
			})
		})
	}
}

// unread brings the client to a server that reads the answer to one PING more, of so many, and then nothing.
func (s *stage) unread(pings int) {
	s.succeeds(s.greeted(), 1)
	p := s.peer(0)
	p.deafen()
	for range pings {
		p.say(func(f *http2.Framer) { f.WritePing(false, [8]byte{}) })
	}
}

// TestCloseWhileRequestsAreHandedIn, from many goroutines: each has its answer.
func TestCloseWhileRequestsAreHandedIn(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.mu.Lock()
		s.obliges = true
		s.mu.Unlock()
		const senders, each = 8, 50
		var handing sync.WaitGroup
		for i := range senders {
			handing.Go(func() {
				for j := range each {
					s.Send(&s.inbox, []Request{s.request(i*each+j, "{}")})
				}
			})
		}
		handing.Go(s.Close)
		handing.Wait()
		s.sent = senders * each
	})
}

func TestDialErrors(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.dial = errDial
		s.send(2)
		for n := range 2 {
			if f := s.fails(n, connection.Dial, true); f.Err != errDial {
				t.Errorf("%v", f)
			}
		}
		s.works()
	})
}

// TestADialErrorBesideAnOpenConnection costs no request.
func TestADialErrorBesideAnOpenConnection(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		s.peer(0).greet(streamLimit(1))
		s.mu.Lock()
		s.dial = errDial
		s.mu.Unlock()
		s.send(2 * growAt)
		s.pending(0, 1+2*growAt)
		s.works()
		s.succeeds(0, 1+2*growAt)
	})
}

// TestCloseWhileDialing ends the dialing, and what waits for it.
func TestCloseWhileDialing(t *testing.T) {
	t.Parallel()
	for name, dial := range map[string]Dial{
		"that stops": func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"that succeeds all the same": func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			ours, theirs := net.Pipe()
			theirs.Close()
			return ours, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := New(dial, Options{
					Provider: "test", Connections: 1, Streams: 1, RequestTimeout: time.Hour, SettingsWithin: time.Hour, PingInterval: time.Hour,
					PingTimeout: time.Hour, Metrics: providers.NewMetrics(prometheus.NewRegistry()),
				}, slog.New(slog.DiscardHandler))
				var in inbox
				c.Send(&in, []Request{{Head: NewHead("server.test")}})
				synctest.Wait()
				c.Close()
				in.once(t, 1)
				if f := in.of(0)[0].Failure; f.Kind != connection.Closed || !f.Unprocessed {
					t.Errorf("%v, unprocessed %t", f, f.Unprocessed)
				}
			})
		})
	}
}

// again is a Caller that hands a failed request in once more, from within Answered.
type again struct {
	inbox
	client *Client
	first  sync.Once
}

func (a *again) Answered(answers []Answer) {
	a.inbox.Answered(answers)
	if answers[0].Failure == nil {
		return
	}
	a.first.Do(func() {
		a.client.Send(a, []Request{{N: 1, Head: NewHead("server.test"), Path: []byte("/")}})
	})
}

func TestACallerMaySendFromWithinAnswered(t *testing.T) {
	play(t, nil, func(s *stage) {
		a := &again{client: s.Client}
		s.Send(a, []Request{{Head: s.head, Path: []byte("/")}})
		p := s.peer(0)
		p.greet()
		p.reset(1, http2.ErrCodeInternal)
		p.answer(3, http.StatusOK)
		synctest.Wait()
		a.inbox.mu.Lock()
		n := len(a.inbox.answers)
		a.inbox.mu.Unlock()
		if n != 2 {
			t.Errorf("%d requests are answered", n)
		}
	})
}
