package http2

import (
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"pushd/providers/connection"
)

func TestStreamsAboveAGoAwayGoElsewhere(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(5) // streams 1 to 9
		p := s.peer(0)
		p.greet()
		p.goAway(5, http2.ErrCodeNo, "")
		q := s.peer(1)
		q.greet()
		if n := len(q.whole()); n != 2 {
			t.Errorf("%d requests are sent again, not 2", n)
		}
		q.oblige()
		s.succeeds(3, 2)
		s.pending(0, 3)
		s.succeeds(s.send(1), 1) // not over the old one
		for id := uint32(1); id <= 5; id += 2 {
			p.answer(id, 200)
		}
		s.succeeds(0, 3)
		s.broke(p, http2.ErrCodeNo) // with its last stream it ends
	})
}

func TestASecondGoAwayFallsLower(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(5)
		p := s.peer(0)
		p.greet()
		p.goAway(1<<31-1, http2.ErrCodeNo, "") // RFC 9113, section 6.8: the first of a graceful end
		s.pending(0, 5)
		p.goAway(5, http2.ErrCodeNo, "")
		p.goAway(1, http2.ErrCodeNo, "")
		p.goAway(3, http2.ErrCodeNo, "") // what was sent again is not taken back
		s.peer(1).oblige()
		s.succeeds(1, 4)
		s.pending(0, 1)
		p.answer(1, 200)
		s.succeeds(0, 1)
		if n := len(s.all()); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestAGoAwayWithNothingUnderWayEndsTheConnection(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.oblige()
		s.succeeds(0, 1)
		p.goAway(1, http2.ErrCodeNo, "")
		s.broke(p, http2.ErrCodeNo)
		s.works()
	})
}

func TestAConnectionThatBreaksAfterAGoAwaySaysSo(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.greet()
		p.goAway(1, http2.ErrCodeInternal, "trouble")
		p.close()
		if f := s.fails(0, connection.GoAway, false); string(f.Debug) != "trouble" {
			t.Errorf("%q", f.Debug)
		}
		s.works()
	})
}

func TestAGoAwayBeforeSettings(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(2)
		p := s.peer(0)
		p.goAway(0, http2.ErrCodeEnhanceYourCalm, "go away")
		for n := range 2 {
			if f := s.fails(n, connection.GoAway, true); string(f.Debug) != "go away" {
				t.Errorf("%q", f.Debug)
			}
		}
		s.broke(p, http2.ErrCodeNo)
		s.works()
	})
}

// TestAGoAwayAboutTheCredential is answered rather than tried again: the next connection would hear the same.
func TestAGoAwayAboutTheCredential(t *testing.T) {
	play(t, func(o *Options) { o.Streams = 2 }, func(s *stage) {
		s.send(5)
		p := s.peer(0)
		p.greet()
		p.goAway(1, http2.ErrCodeNo, "refused")
		for n := 1; n < 5; n++ {
			s.fails(n, connection.GoAway, true)
		}
		s.pending(0, 1)
		p.answer(1, 200)
		s.succeeds(0, 1)
		if n := len(s.all()); n != 1 {
			t.Errorf("%d connections", n)
		}
		s.works()
	})
}

// TestARequestIsNotSentAgainForEver has servers that process nothing: each connection ends with GOAWAY.
func TestARequestIsNotSentAgainForEver(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		for i := range maxTries {
			s.pending(0, 1)
			p := s.peer(i)
			p.greet()
			p.goAway(0, http2.ErrCodeNo, "")
		}
		s.fails(0, connection.GoAway, true)
		s.works()
	})
}

func TestRefusedStreamsAreSentAgainAFewTimes(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(2)
		p := s.peer(0)
		p.greet()
		p.answer(3, 200)
		for _, id := range []uint32{1, 5, 7} { // it is handed over as often as maxTries says
			s.pending(0, 1)
			p.reset(id, http2.ErrCodeRefusedStream)
		}
		s.fails(0, connection.RefusedStream, true)
		if p.requests != 1+maxTries {
			t.Errorf("the request was sent %d times, not %d", p.requests-1, maxTries)
		}
		s.works()
	})
}

func TestAStreamThatIsReset(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(2)
		p := s.peer(0)
		p.greet()
		p.reset(1, http2.ErrCodeInternal)
		s.fails(0, connection.Reset, false)
		p.reset(1, http2.ErrCodeRefusedStream) // it is closed: nothing is sent again
		p.header(3, false, ":status", "200")
		p.reset(3, http2.ErrCodeRefusedStream) // it was processed, as the status says
		s.succeeds(1, 1)
		if p.requests != 2 {
			t.Errorf("%d requests came", p.requests)
		}
		s.works()
	})
}

func TestAConnectionThatBreaks(t *testing.T) {
	play(t, func(o *Options) { o.Streams = 2 }, func(s *stage) {
		s.send(3)
		p := s.peer(0)
		p.greet()
		p.header(3, false, ":status", "200") // an answer without end is none
		p.close()
		s.fails(0, connection.Lost, false)
		s.fails(1, connection.Lost, false)
		s.pending(2, 1) // it was not sent, and goes over the next
		s.works()
		s.succeeds(2, 1)
	})
}

// TestRetire: the next requests go over another connection, those under way are answered.
func TestRetire(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(2)
		p := s.peer(0)
		p.greet()
		p.answer(1, 200)
		a := s.answered(0)
		a.Retire()
		s.send(1)
		s.peer(1).oblige()
		s.succeeds(2, 1)
		s.pending(1, 1)
		p.answer(3, 200)
		s.succeeds(1, 1)
		s.broke(p, http2.ErrCodeNo)
		a.Retire() // it has ended long since
		s.works()
	})
}

// TestAuthorization: a connection has one to its end; where another is current, it works on until the connection is there
// that begins with that.
func TestAuthorization(t *testing.T) {
	current := "bearer one"
	play(t, func(o *Options) { o.Authorization = func() string { return current } }, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.oblige()
		if a := s.answered(0); a.Authorization != "bearer one" {
			t.Errorf("sent with %q", a.Authorization)
		}
		f := p.expect(http2.FrameHeaders)
		if got := f.field("authorization"); got != "bearer one" {
			t.Errorf("came with %q", got)
		}
		s.mu.Lock()
		s.obliges = true
		s.mu.Unlock()
		s.Client.mu.Lock()
		current = "bearer two"
		s.Client.mu.Unlock()
		if a := s.answered(s.send(1)); a.Authorization != "bearer one" {
			t.Errorf("while the next connection is made: sent with %q", a.Authorization)
		}
		s.peer(1)
		synctest.Wait()
		if a := s.answered(s.send(1)); a.Authorization != "bearer two" {
			t.Errorf("sent with %q", a.Authorization)
		}
		f = s.peer(1).expect(http2.FrameHeaders)
		if got := f.field("authorization"); got != "bearer two" {
			t.Errorf("came with %q", got)
		}
		s.broke(p, http2.ErrCodeNo)
	})
}
