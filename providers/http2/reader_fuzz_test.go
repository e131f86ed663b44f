package http2

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// FuzzReader has a server that sends any bytes, after its SETTINGS or in their place, in pieces of any size, and then falls
// silent or hangs up. Whatever that is, each request is answered once, in its time, nothing is left of the connection, and
// the next one works.
func FuzzReader(f *testing.F) {
	for _, frames := range hostile() {
		f.Add(frames, true, uint16(0), false)
		f.Add(frames, false, uint16(3), true)
	}
	f.Fuzz(func(t *testing.T, sent []byte, greets bool, pieces uint16, hangsUp bool) {
		synctest.Test(t, func(t *testing.T) {
			perform(t, func(o *Options) { o.Streams = 8 }, func(s *stage) {
				s.send(12)
				p := s.peer(0)
				p.decoder.careless, p.referee = true, nil
				if greets {
					p.greet()
				}
				for piece := range slices.Chunk(sent, 1+len(sent)/(1+int(pieces%64))) {
					p.say(func(*http2.Framer) { p.sending.Write(piece) })
				}
				if hangsUp {
					p.close()
				}
				s.within(max(s.options.RequestTimeout, s.options.SettingsWithin))
				s.inbox.once(t, s.sent)
				s.bounded()
				for _, p := range s.all() {
					p.close()
				}
				s.works()
			})
		})
	})
}

// bounded demands that a server cannot make its connections keep much.
func (s *stage) bounded() {
	s.t.Helper()
	s.Client.mu.Lock()
	defer s.Client.mu.Unlock()
	for _, k := range s.ordinary.all() {
		if k.table.n != 0 || k.stuck != 0 {
			s.t.Errorf("%d streams are under way, %d of them wait for a window", k.table.n, k.stuck)
		}
		if len(k.control) > maxControl+maxFrame || len(k.block) > maxBlock {
			s.t.Errorf("%d bytes wait to be sent, and %d of a header block", len(k.control), len(k.block))
		}
	}
}

// hostile are frames to begin with: the requests are streams 1 to 15.
func hostile() [][]byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	header := func(fields ...string) []byte {
		block.Reset()
		for i := 0; i < len(fields); i += 2 {
			encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		return bytes.Clone(block.Bytes())
	}
	var all [][]byte
	say := func(frames ...func(*http2.Framer)) {
		var b bytes.Buffer
		w := http2.NewFramer(&b, nil)
		w.AllowIllegalWrites = true
		for _, frame := range frames {
			frame(w)
		}
		all = append(all, b.Bytes())
	}
	headers := func(id uint32, ends, whole bool, block []byte) func(*http2.Framer) {
		return func(w *http2.Framer) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: ends, EndHeaders: whole, BlockFragment: block})
		}
	}
	settings := func(s ...http2.Setting) func(*http2.Framer) { return func(w *http2.Framer) { w.WriteSettings(s...) } }
	goAway := func(last uint32) func(*http2.Framer) {
		return func(w *http2.Framer) { w.WriteGoAway(last, http2.ErrCodeNo, []byte("debug")) }
	}
	reset := func(id uint32, code http2.ErrCode) func(*http2.Framer) {
		return func(w *http2.Framer) { w.WriteRSTStream(id, code) }
	}
	window := func(id, n uint32) func(*http2.Framer) { return func(w *http2.Framer) { w.WriteWindowUpdate(id, n) } }
	data := func(id uint32, ends bool, body string) func(*http2.Framer) {
		return func(w *http2.Framer) { w.WriteData(id, ends, []byte(body)) }
	}

	say()
	say(headers(1, true, true, header(":status", "200", "apns-id", "x")), headers(3, false, true, header(":status", "410")), data(3, true, "{}"))
	say(headers(1, false, false, header(":status", "429", "retry-after", "9")), func(w *http2.Framer) { w.WriteContinuation(1, true, header("a", "b")) },
		data(1, false, "x"), headers(1, true, true, header("trailer", "y")))
	say(headers(1, false, true, header(":status", "103")), headers(1, true, true, header(":status", "200")), reset(5, http2.ErrCodeRefusedStream), reset(7, http2.ErrCodeCancel))
	say(goAway(1<<31-1), goAway(5), headers(5, true, true, header(":status", "200")), goAway(1))
	say(settings(streamLimit(0)), settings(streamLimit(3), initialWindow(0)), window(9, 1), settings(initialWindow(1<<31-1)))
	say(settings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}), settings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096}), reset(1, http2.ErrCodeRefusedStream))
	say(window(0, 1<<31-1), window(1, 0))
	say(func(w *http2.Framer) { w.WritePing(false, [8]byte{1}) }, func(w *http2.Framer) { w.WritePing(true, [8]byte{}) })
	say(func(w *http2.Framer) { w.WriteDataPadded(1, true, nil, make([]byte, 9)) }, func(w *http2.Framer) { w.WriteRawFrame(0xbe, 1, 1, []byte("?")) })
	say(func(w *http2.Framer) { w.WritePriority(1, http2.PriorityParam{Weight: 1}) }, func(w *http2.Framer) {
		w.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: []byte{0x82}, EndHeaders: true})
	})
	return append(all, []byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
}

// TestHalfAFrame is all that comes; the request fails in its time.
func TestHalfAFrame(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.greet()
		p.say(func(*http2.Framer) { p.sending.WriteString("\x00\x00\x05\x01") })
		s.pending(0, 1)
		time.Sleep(s.options.RequestTimeout - 1)
		s.pending(0, 1)
		s.within(0)
		s.answered(0)
		p.close()
		s.works()
	})
}
