package http2

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// TestChaos has servers that do whatever comes to their minds, and many callers. Each request is answered once and in its
// time; streams, windows and connections add up; and when the servers have come to their senses, all is well.
func TestChaos(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			play(t, func(o *Options) {
				o.Connections, o.Streams, o.MaxAge, o.PingTimeout = 3, 20, time.Minute, 3*time.Second
			}, func(s *stage) { chaos(s, &mind{Rand: rand.New(rand.NewPCG(seed, 3))}) })
		})
	}
}

func chaos(s *stage, m *mind) {
	s.serves = func(p *peer) error {
		switch m.upTo(10) {
		case 0:
			return errDial
		case 1:
			return nil // it never greets
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reacts = m.react
		p.framer.WriteSettings(m.settings()...)
		p.greeted = true
		return nil
	}
	var calling sync.WaitGroup
	const callers, rounds, batch = 4, 25, 12
	for c := range callers {
		calling.Go(func() {
			for i := range rounds {
				time.Sleep(time.Duration(m.upTo(2000)) * time.Millisecond)
				requests := make([]Request, batch)
				for j := range requests {
					n := (c*rounds+i)*batch + j
					requests[j] = s.request(n, strings.Repeat("b", m.upTo(2000)))
					requests[j].Suspect = n%10 == 0
				}
				s.Send(&s.inbox, requests)
			}
		})
	}
	calling.Wait()
	s.sent = callers * rounds * batch
	// The most that a request can wait is its time, and a tick of the sweep.
	s.within(s.options.RequestTimeout)
	s.inbox.once(s.t, s.sent)
	s.bounded()
	s.mu.Lock()
	s.serves = nil
	s.mu.Unlock()
	for _, p := range s.all() {
		p.close()
	}
	synctest.Wait()
	s.works()
}

// mind decides what servers do.
type mind struct {
	mu sync.Mutex
	*rand.Rand
}

// upTo is any number below n.
func (m *mind) upTo(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.IntN(n)
}

// settings leave some streams and some window, mostly.
func (m *mind) settings() []http2.Setting {
	all := []http2.Setting{
		streamLimit(uint32(m.upTo(30))), initialWindow(uint32(m.upTo(4000))), {ID: http2.SettingHeaderTableSize, Val: uint32(m.upTo(5000))},
	}
	return all[m.upTo(len(all)+1):]
}

// react is what a server does when a request came whole.
func (m *mind) react(p *peer, id uint32) {
	switch m.upTo(200) {
	case 0:
		p.framer.WriteGoAway(uint32(m.upTo(int(id)+4)), http2.ErrCodeNo, nil)
	case 1:
		p.framer.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
	case 2:
		p.framer.WriteSettings(m.settings()...)
	case 3:
		p.closing = true
	case 4:
		p.mute = true
	case 5:
		p.framer.WriteWindowUpdate(0, uint32(1+m.upTo(1<<20)))
	case 6:
		p.framer.WriteRawFrame(http2.FrameType(m.upTo(12)), 0, id, []byte("garbage?"))
	case 7:
		p.deaf = true
	case 8:
		p.framer.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte("refused"))
	}
	p.framer.WriteWindowUpdate(0, 1000) // the mean of what came
	switch m.upTo(12) {
	case 0: // it is not answered
	case 1:
		p.framer.WriteRSTStream(id, http2.ErrCodeRefusedStream)
	case 2:
		p.framer.WriteRSTStream(id, http2.ErrCodeInternal)
	case 3:
		p.writeHeader(id, false, ":status", "200")
	case 4:
		p.writeHeader(id, false, ":status", "400", "retry-after", "1")
		p.framer.WriteData(id, true, []byte("why"))
	default:
		p.writeHeader(id, true, ":status", "200")
	}
}
