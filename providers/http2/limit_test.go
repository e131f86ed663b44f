package http2

import (
	"testing"
	"time"

	"golang.org/x/net/http2"

	"pushd/providers/connection"
)

func streamLimit(n uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: n}
}

// under demands how many requests are under way on a connection.
func (p *peer) under(want int) {
	p.t.Helper()
	if got := len(p.whole()); got != want {
		p.t.Fatalf("%d requests are under way, want %d", got, want)
	}
}

// finish answers the eldest request under way.
func (p *peer) finish() {
	p.t.Helper()
	all := p.whole()
	if len(all) == 0 {
		p.t.Fatal("no request is under way")
	}
	p.mu.Lock()
	p.streams = p.streams[1:]
	p.mu.Unlock()
	p.answer(all[0], 200)
}

func TestNothingIsSentBeforeSettings(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		kinds := []http2.FrameType{http2.FrameSettings, http2.FrameWindowUpdate, http2.FramePing}
		for i, f := range p.take() {
			if i >= len(kinds) || f.Type != kinds[i] {
				t.Errorf("frame %d is %v", i, f)
			}
		}
		p.greet()
		if f := p.take()[0]; f.Type != http2.FrameSettings || !f.Flags.Has(http2.FlagSettingsAck) {
			t.Errorf("SETTINGS are answered by %v", f)
		}
		p.under(1)
		s.works()
		s.succeeds(0, 1)
	})
}

func TestTheServersStreamLimitHolds(t *testing.T) {
	play(t, func(o *Options) { o.Connections = 1 }, func(s *stage) {
		s.send(8)
		p := s.peer(0)
		p.greet(streamLimit(1))
		p.under(1)
		p.finish()
		p.under(1)
		p.greet(streamLimit(3)) // raised while a stream is open
		p.under(3)
		p.greet(streamLimit(2)) // lowered while three are
		p.finish()
		p.under(2)
		p.finish()
		p.under(2)
		p.greet(streamLimit(0))
		p.finish()
		p.finish()
		p.under(0)
		p.greet(streamLimit(1 << 31)) // far beyond ours
		p.under(3)
		s.works()
		s.succeeds(0, 8)
	})
}

func TestOurStreamLimitHolds(t *testing.T) {
	play(t, func(o *Options) { o.Connections, o.Streams = 1, 3 }, func(s *stage) {
		s.send(5)
		p := s.peer(0)
		p.greet() // the server has none
		p.under(3)
		p.finish()
		p.under(3)
		s.works()
		s.succeeds(0, 5)
	})
}

// TestConnectionsAreOpenedForManyRequests and no more of them than are allowed.
func TestConnectionsAreOpenedForManyRequests(t *testing.T) {
	play(t, func(o *Options) { o.Connections, o.Streams = 3, 10 }, func(s *stage) {
		s.send(growAt)
		p := s.peer(0)
		p.greet()
		p.under(10)
		if n := len(s.all()); n != 1 {
			t.Fatalf("%d connections for few requests", n)
		}
		s.send(100)
		s.peer(1).greet()
		s.peer(2).greet()
		s.send(100)
		if n := len(s.all()); n != 3 {
			t.Errorf("%d connections", n)
		}
		for _, p := range s.all() {
			p.under(10)
		}
		s.works()
		s.succeeds(0, growAt+200)
	})
}

// TestALimitOfZeroSendsRequestsElsewhere: those that one connection may not take any more another takes at once, which has
// room and nothing to do.
func TestALimitOfZeroSendsRequestsElsewhere(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.twoConnections()
		s.peer(0).greet(streamLimit(0))
		n := s.send(3)
		s.peer(1).under(3)
		s.peer(1).greet(streamLimit(0))
		s.send(1)
		s.pending(n, 4)
		s.peer(0).greet(streamLimit(1)) // both are wanted, and the first may again
		s.peer(0).under(1)
		s.works()
		s.succeeds(n, 4)
	})
}

// twoConnections brings the client to two open connections with nothing to do.
func (s *stage) twoConnections() {
	s.t.Helper()
	n := s.send(s.options.Streams + growAt)
	s.peer(0).greet()
	s.peer(1).greet()
	for _, p := range s.all() {
		for len(p.whole()) > 0 {
			p.finish()
		}
	}
	s.succeeds(n, s.options.Streams+growAt)
}

// TestFewRequestsSpreadWhereOneConnectionCannotTakeThem, however few they are.
func TestFewRequestsSpreadWhereOneConnectionCannotTakeThem(t *testing.T) {
	play(t, func(o *Options) { o.Streams = 2 }, func(s *stage) {
		s.twoConnections()
		n := s.send(4)
		s.peer(0).under(2)
		s.peer(1).under(2)
		s.works()
		s.succeeds(n, 4)
	})
}

// TestAnExhaustedWindowSendsRequestsElsewhere: a connection whose window a body uses up leaves the rest to others.
func TestAnExhaustedWindowSendsRequestsElsewhere(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.twoConnections()
		for _, p := range s.all() {
			p.take()
		}
		large := string(make([]byte, defaultWindow))
		n := s.sendBody(3, large)
		for i, p := range s.all() {
			if requests := len(p.takeAll(http2.FrameHeaders)); requests != 1 {
				t.Errorf("%d requests came over connection %d", requests, i)
			}
			p.window(0, 3*defaultWindow)
		}
		s.works()
		s.succeeds(n, 3)
	})
}

// TestAServerThatReadsNothingIsPassedBy where another connection has room, although it has more.
func TestAServerThatReadsNothingIsPassedBy(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.twoConnections()
		busy := s.send(1) // over the first of two that are alike
		stalled, other := s.peer(1), s.peer(0)
		if len(stalled.whole()) > 0 {
			stalled, other = other, stalled
		}
		other.under(1)
		stalled.deafen()
		for range 2 { // the answer to the second is not read
			stalled.say(func(f *http2.Framer) { f.WritePing(false, [8]byte{}) })
		}
		n := s.send(1)
		other.under(2)
		other.finish()
		other.finish()
		s.succeeds(busy, 1)
		s.succeeds(n, 1)
		stalled.close()
		s.works()
	})
}

// TestALimitOfZeroForEver fails the requests in their time, and gives the connections up.
func TestALimitOfZeroForEver(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(2)
		s.peer(0).greet(streamLimit(0))
		s.peer(1).greet(streamLimit(0)) // another one may be better
		s.within(s.options.RequestTimeout)
		s.fails(0, connection.Timeout, true)
		s.fails(1, connection.Timeout, true)
		s.broke(s.peer(0), http2.ErrCodeNo)
		s.broke(s.peer(1), http2.ErrCodeNo)
		s.works()
	})
}

// TestAFloodOfFramesThatWantAnswers from a server that reads none of them costs the connection, and no memory.
func TestAFloodOfFramesThatWantAnswers(t *testing.T) {
	t.Parallel()
	for name, flood := range map[string]func(*http2.Framer){
		"SETTINGS": func(f *http2.Framer) { f.WriteSettings() },
		"PING":     func(f *http2.Framer) { f.WritePing(false, [8]byte{}) },
		"DATA": func(f *http2.Framer) { // each resets its stream, of which there are many
			f.WriteData(1, true, make([]byte, 1024))
			f.WritePing(false, [8]byte{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, nil, func(s *stage) {
				s.send(10)
				p := s.peer(0)
				p.greet()
				p.take()
				p.deafen()
				p.say(func(f *http2.Framer) {
					for range 2 * maxControl / frameHeader {
						flood(f)
					}
				})
				s.within(farewell)
				for n := range 10 {
					if name != "DATA" || n > 0 {
						s.fails(n, connection.Lost, false)
					}
				}
				p.close()
				s.works()
			})
		})
	}
}

// TestAFloodOfPingsIsAnswered where the server reads the answers.
func TestAFloodOfPingsIsAnswered(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.greet()
		p.take()
		for i := range byte(100) {
			p.say(func(f *http2.Framer) { f.WritePing(false, [8]byte{i}) })
		}
		for i, f := range p.takeAll(http2.FramePing) {
			if !f.Flags.Has(http2.FlagPingAck) || f.payload[0] != byte(i) {
				t.Errorf("PING %d is answered by %v %x", i, f, f.payload)
			}
		}
		s.works()
		s.succeeds(0, 1)
	})
}

// TestSuspectsGoApart: what their answers cost a connection is not the others'. Those beyond what may wait go with them.
func TestSuspectsGoApart(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		ordinary := s.peer(0)
		ordinary.greet()
		ordinary.under(1)
		requests := make([]Request, mostSuspects+3)
		for i := range requests {
			requests[i] = s.request(s.sent+i, "{}")
			requests[i].Suspect = true
		}
		s.sent += len(requests)
		s.Send(&s.inbox, requests)
		apart := s.peer(1)
		apart.greet(streamLimit(2))
		apart.under(2)
		ordinary.under(1 + 3)
		s.works()
		s.succeeds(0, s.sent)
		if n := len(s.all()); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestTheWayToTheServerIsMeasured by the answer to a PING.
func TestTheWayToTheServerIsMeasured(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		time.Sleep(70 * time.Millisecond)
		p.oblige()
		s.succeeds(0, 1)
		families, err := s.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "pushd_provider_round_trip_seconds" {
				if h := family.Metric[0].GetHistogram(); h.GetSampleCount() != 1 || h.GetSampleSum() < .069 || h.GetSampleSum() > .08 {
					t.Errorf("%d PINGs took %g s", h.GetSampleCount(), h.GetSampleSum())
				}
				return
			}
		}
		t.Error("nothing is measured")
	})
}
