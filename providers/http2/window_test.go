package http2

import (
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"pushd/providers/connection"
)

// bodies are how much of each stream's body came since it was last asked.
func (p *peer) bodies() map[uint32]int {
	n := make(map[uint32]int)
	for _, f := range p.takeAll(http2.FrameData) {
		n[f.StreamID] += len(f.payload)
	}
	return n
}

func initialWindow(n uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingInitialWindowSize, Val: n}
}

func (p *peer) came(id uint32, want int) {
	p.t.Helper()
	if got := p.bodies()[id]; got != want {
		p.t.Errorf("%d bytes of stream %d came, want %d", got, id, want)
	}
}

func TestABodyWaitsForItsWindow(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.sendBody(1, strings.Repeat("x", 100))
		p := s.peer(0)
		p.greet(initialWindow(0))
		p.came(1, 0)
		p.window(1, 30)
		p.came(1, 30)
		p.greet(initialWindow(20)) // 20 more for every stream
		p.came(1, 20)
		p.greet(initialWindow(5)) // 15 fewer: the window is -15
		p.window(1, 10)
		p.came(1, 0)
		p.window(1, 6) // now 1
		p.came(1, 1)
		p.window(1, 48)
		p.came(1, 48)
		if n := len(p.whole()); n != 0 {
			t.Error("the body ended early")
		}
		p.window(1, 1)
		p.came(1, 1)
		p.answer(p.whole()[0], 200)
		s.succeeds(0, 1)
	})
}

func TestAnEmptyBodyNeedsNoWindow(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.sendBody(1, "")
		p := s.peer(0)
		p.greet(initialWindow(0))
		p.answer(p.whole()[0], 200)
		s.succeeds(0, 1)
	})
}

// TestTheConnectionsWindow is used up by few bodies. No stream is opened beyond it, and none starves.
func TestTheConnectionsWindow(t *testing.T) {
	play(t, func(o *Options) { o.Connections = 1 }, func(s *stage) {
		const body = 40 << 10
		s.sendBody(4, strings.Repeat("x", body))
		p := s.peer(0)
		p.greet()
		n := p.bodies()
		if n[1] != body || n[3] != defaultWindow-body || len(n) != 2 {
			t.Errorf("%v came", n)
		}
		p.answer(1, 200) // a free stream is of no use
		if n := p.bodies(); len(n) != 0 {
			t.Errorf("%v came", n)
		}
		p.window(0, 1)
		if n := p.bodies(); n[3] != 1 || len(n) != 1 {
			t.Errorf("%v came", n)
		}
		p.window(0, 4*body)
		if n := p.bodies(); n[3] != 2*body-defaultWindow-1 || n[5] != body || n[7] != body {
			t.Errorf("%v came", n)
		}
		for id := uint32(3); id <= 7; id += 2 {
			p.answer(id, 200)
		}
		s.succeeds(0, 4)
	})
}

// TestAWindowThatStaysShut ends the requests under way by their time, and those that wait by theirs; the connection, which
// takes nothing, is given up.
func TestAWindowThatStaysShut(t *testing.T) {
	play(t, func(o *Options) { o.Connections = 1 }, func(s *stage) {
		s.sendBody(2, strings.Repeat("x", 40<<10))
		first := s.peer(0)
		first.greet()
		s.sendBody(2, "waits")
		s.within(s.options.RequestTimeout)
		s.fails(0, connection.Timeout, false)
		s.fails(1, connection.Timeout, false)
		s.fails(2, connection.Timeout, true)
		s.fails(3, connection.Timeout, true)
		s.broke(first, http2.ErrCodeNo)
		s.works()
	})
}

// TestAResetStreamGivesNoWindowBack but its body is not sent on, either.
func TestAResetStreamIsNotSentOn(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.sendBody(2, strings.Repeat("x", 100))
		p := s.peer(0)
		p.greet(initialWindow(10))
		p.bodies()
		p.reset(1, http2.ErrCodeCancel)
		s.fails(0, connection.Reset, false)
		p.greet(initialWindow(100))
		if n := p.bodies(); n[3] != 90 || len(n) != 1 {
			t.Errorf("%v came", n)
		}
		p.answer(3, 200)
		s.succeeds(1, 1)
		s.works()
	})
}

// TestALargeBodyIsCutIntoFrames although the server would take larger ones.
func TestALargeBodyIsCutIntoFrames(t *testing.T) {
	play(t, nil, func(s *stage) {
		const body = 100_000
		s.sendBody(1, strings.Repeat("x", body))
		p := s.peer(0)
		p.say(func(f *http2.Framer) {
			f.WriteSettings(initialWindow(1<<20), http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
			f.WriteWindowUpdate(0, 1<<20)
		})
		p.came(1, body) // note checks each frame's size
		p.oblige()
		s.succeeds(0, 1)
	})
}
