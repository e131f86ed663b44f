package http2

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"pushd/providers/connection"
)

func TestARequestThatIsNotAnsweredInTime(t *testing.T) {
	play(t, func(o *Options) { o.Connections, o.Streams = 1, 2 }, func(s *stage) {
		s.send(3)
		p := s.peer(0)
		p.greet()
		p.under(2)
		time.Sleep(s.options.RequestTimeout / 2)
		p.answer(1, 200)
		s.succeeds(0, 1)
		p.take()
		time.Sleep(s.options.RequestTimeout/2 - 1)
		s.pending(1, 2)
		s.within(0)
		s.fails(1, connection.Timeout, false)
		s.fails(2, connection.Timeout, false) // it was sent late, but handed in at the same time
		for _, f := range p.takeAll(http2.FrameRSTStream) {
			if http2.ErrCode(f.number(0)) != http2.ErrCodeCancel || f.StreamID != 3 && f.StreamID != 5 {
				t.Errorf("stream %d is reset with %v", f.StreamID, http2.ErrCode(f.number(0)))
			}
		}
		p.answer(3, 200) // too late
		if p.hungUp() {
			t.Error("the connection is closed")
		}
		p.mu.Lock()
		p.streams = nil
		p.mu.Unlock()
		s.send(2)
		p.under(2) // both places are free again
		s.works()
		s.succeeds(3, 2)
	})
}

// TestARequestThatIsSentAgainKeepsItsTime although it overtakes others that were handed in before it.
func TestARequestThatIsSentAgainKeepsItsTime(t *testing.T) {
	play(t, func(o *Options) { o.Connections = 1 }, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.greet()
		p.under(1)
		time.Sleep(s.options.RequestTimeout / 2)
		s.send(1)
		p.under(2)
		p.goAway(0, http2.ErrCodeNo, "") // the next connection never gets ready
		s.within(s.options.RequestTimeout / 2)
		s.fails(0, connection.Timeout, true)
		s.pending(1, 1)
		s.within(s.options.RequestTimeout / 2)
		s.fails(1, connection.Timeout, true)
		s.works()
	})
}

// TestASilentServer is asked for life while requests are under way, and loses its connection.
func TestASilentServer(t *testing.T) {
	play(t, func(o *Options) { o.RequestTimeout, o.PingTimeout = time.Minute, 5*time.Second }, func(s *stage) {
		s.send(2)
		p := s.peer(0)
		p.greet()
		p.answer(1, 200)
		p.hush(true)
		p.take()
		s.within(s.options.PingTimeout)
		p.expect(http2.FramePing)
		s.pending(1, 1)
		s.within(s.options.PingTimeout)
		s.fails(1, connection.Lost, false)
		s.broke(p, http2.ErrCodeNo)
		s.works()
	})
}

// TestAConnectionOverWhichNothingCame since a late request was sent takes no more of them: the next go over another one.
func TestAConnectionOverWhichNothingCame(t *testing.T) {
	play(t, func(o *Options) { o.RequestTimeout, o.PingTimeout = 5*time.Second, time.Minute }, func(s *stage) {
		s.succeeds(s.greeted(), 1)
		p := s.peer(0)
		p.mu.Lock()
		p.obliges, p.mute = false, true
		p.mu.Unlock()
		time.Sleep(time.Second)
		s.send(2)
		p.under(2)
		s.within(s.options.RequestTimeout)
		s.fails(1, connection.Timeout, false)
		s.fails(2, connection.Timeout, false)
		s.broke(p, http2.ErrCodeNo)
		s.works()
	})
}

// TestAServerThatIsAliveButSlow is asked again and again, and keeps its connection.
func TestAServerThatIsAliveButSlow(t *testing.T) {
	play(t, func(o *Options) { o.RequestTimeout, o.PingTimeout = 10*time.Minute, 5*time.Second }, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.greet()
		pings := 0
		for range 100 {
			time.Sleep(4 * time.Second)
			pings += len(p.takeAll(http2.FramePing))
		}
		s.pending(0, 1)
		if p.hungUp() || pings == 0 {
			t.Errorf("after %d PINGs, closed: %t", pings, p.hungUp())
		}
		p.answer(1, 200)
		s.succeeds(0, 1)
	})
}

// TestARestingConnection is asked for life now and then, and given up where there is no answer.
func TestARestingConnection(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.greet()
		p.answer(1, 200)
		p.take()
		for range 3 {
			s.within(s.options.PingInterval + restTick)
			if n := len(p.takeAll(http2.FramePing)); n != 1 {
				t.Fatalf("%d PINGs in an hour", n)
			}
		}
		p.hush(true)
		s.within(s.options.PingInterval + restTick + s.options.PingTimeout)
		s.broke(p, http2.ErrCodeNo)
		s.works()
	})
}

// TestAServerThatReadsNothing blocks the writer. Its requests fail in their time, and its connection ends.
func TestAServerThatReadsNothing(t *testing.T) {
	play(t, func(o *Options) { o.RequestTimeout = time.Minute }, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.greet()
		p.answer(1, 200)
		s.succeeds(0, 1)
		p.deafen()
		s.send(1)
		p.say(func(f *http2.Framer) { f.WritePing(false, [8]byte{}) }) // which it would have to be answered
		s.within(writeTimeout)
		s.fails(1, connection.Lost, false)
		p.close()
		s.works()
	})
}

// TestAServerThatNeverGreets loses its connection. Nothing was sent.
func TestAServerThatNeverGreets(t *testing.T) {
	play(t, func(o *Options) { o.SettingsWithin, o.RequestTimeout = 30*time.Second, time.Minute }, func(s *stage) {
		s.send(2)
		p := s.peer(0)
		time.Sleep(s.options.SettingsWithin - 1)
		s.pending(0, 2)
		s.within(0)
		if f := s.fails(0, connection.Lost, true); f.Err != errNoSettings {
			t.Error(f)
		}
		s.fails(1, connection.Lost, true)
		s.broke(p, http2.ErrCodeNo)
		s.works()
	})
}

func TestAServerThatHangsUpBeforeItGreets(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(2)
		s.peer(0).close()
		s.fails(0, connection.Lost, true)
		s.fails(1, connection.Lost, true)
		s.works()
	})
}

// TestAnOldConnectionIsReplaced before it is given up: there is always one that takes requests.
func TestAnOldConnectionIsReplaced(t *testing.T) {
	play(t, func(o *Options) {
		o.MaxAge, o.Connections, o.RequestTimeout, o.SettingsWithin = time.Hour, 1, 2*time.Hour, time.Hour
	}, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.greet()
		p.under(1)
		p.mu.Lock()
		p.obliges, p.streams = true, nil // it answers PINGs, and not this one
		p.mu.Unlock()
		time.Sleep(s.options.MaxAge - s.options.MaxAge/8 - longTick)
		if n := len(s.all()); n != 1 {
			t.Errorf("%d connections before their time", n)
		}
		s.within(s.options.MaxAge / 8)
		q := s.peer(1)
		s.succeeds(s.send(1), 1) // still over the old one
		q.oblige()
		s.pending(0, 1)
		s.succeeds(s.send(1), 1)
		if q.requests != 1 {
			t.Errorf("%d requests came over the new connection", q.requests)
		}
		p.answer(1, 200)
		s.succeeds(0, 1)
		s.broke(p, http2.ErrCodeNo)
		s.works()
	})
}

// TestAReplacementIsOneConnection although requests wait when the old one is given up for it.
func TestAReplacementIsOneConnection(t *testing.T) {
	play(t, func(o *Options) { o.MaxAge, o.Connections, o.RequestTimeout = time.Hour, 1, 2*time.Hour }, func(s *stage) {
		s.send(2)
		p := s.peer(0)
		p.greet(streamLimit(1))
		p.under(1)
		s.mu.Lock()
		s.obliges = true
		s.mu.Unlock()
		s.within(s.options.MaxAge)
		s.succeeds(1, 1) // which waited
		if n := len(s.all()); n != 2 {
			t.Errorf("%d connections were made", n)
		}
		p.finish()
		s.succeeds(0, 1)
	})
}

// TestAReplacementThatCannotBeMade leaves the old connection in its place.
func TestAReplacementThatCannotBeMade(t *testing.T) {
	play(t, func(o *Options) { o.MaxAge, o.Connections = time.Hour, 1 }, func(s *stage) {
		s.succeeds(s.greeted(), 1)
		s.mu.Lock()
		s.dial = errDial
		s.mu.Unlock()
		s.within(s.options.MaxAge + restTick)
		s.succeeds(s.send(1), 1)
		if n := len(s.all()); n != 1 {
			t.Errorf("%d connections", n)
		}
		s.works()
	})
}

// greeted sends a request over a connection that obliges.
func (s *stage) greeted() int {
	s.t.Helper()
	n := s.send(1)
	synctest.Wait()
	s.peer(len(s.all()) - 1).oblige()
	synctest.Wait()
	return n
}

// TestAConnectionThatRunsOutOfStreams takes no more; the next takes the rest.
func TestAConnectionThatRunsOutOfStreams(t *testing.T) {
	play(t, func(o *Options) { o.Connections = 1 }, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.greet()
		p.under(1)
		s.Client.mu.Lock()
		s.ordinary.open[0].table.next = lastID - 3
		s.Client.mu.Unlock()
		s.send(5)
		q := s.peer(1)
		q.greet()
		p.under(3)
		q.under(3)
		p.oblige()
		q.oblige()
		s.succeeds(0, 6)
		s.broke(p, http2.ErrCodeNo)
		s.works()
	})
}

// TestConnectionsThatAreNotNeededAreClosed, one in a while, down to one.
func TestConnectionsThatAreNotNeededAreClosed(t *testing.T) {
	play(t, func(o *Options) { o.Connections, o.Streams, o.PingInterval = 3, 50, 10*time.Minute }, func(s *stage) {
		s.mu.Lock()
		s.obliges = true
		s.mu.Unlock()
		s.Client.mu.Lock()
		s.ordinary.grow()
		s.Client.mu.Unlock()
		synctest.Wait()
		for range 2 {
			s.Client.mu.Lock()
			s.ordinary.grow()
			s.Client.mu.Unlock()
			synctest.Wait()
		}
		if n := s.connections()["open"]; n != 3 {
			t.Fatalf("%g connections are open", n)
		}
		for want := 2.0; want >= 1; want-- {
			s.within(settleEvery + restTick)
			if n := s.connections()["open"]; n != want {
				t.Errorf("%g connections are open, want %g", n, want)
			}
			s.works()
		}
		s.within(3 * settleEvery)
		s.works()
		if n := s.connections()["open"]; n != 1 {
			t.Errorf("%g connections are open", n)
		}
	})
}
