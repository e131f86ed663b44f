package http2

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"pushd/providers/connection"
)

// TestAnswers has one request under way on stream 1. Where nothing is wanted of status, the answer is malformed: the
// stream is reset, the connection goes on.
func TestAnswers(t *testing.T) {
	t.Parallel()
	type wanted struct {
		status     int
		body       string
		retryAfter string
	}
	for _, c := range []struct {
		name string
		does func(*peer)
		want wanted
	}{
		{"200", func(p *peer) { p.header(1, true, ":status", "200") }, wanted{status: 200}},
		{"200 with a body, which is not kept", func(p *peer) {
			p.header(1, false, ":status", "200", "content-type", "application/json")
			p.data(1, true, "{}")
		}, wanted{status: 200}},
		{"400 with a body in parts", func(p *peer) {
			p.header(1, false, ":status", "400")
			p.data(1, false, `{"reason":`)
			p.data(1, false, "")
			p.data(1, true, `"BadDeviceToken"}`)
		}, wanted{status: 400, body: `{"reason":"BadDeviceToken"}`}},
		{"a padded header and a padded body", func(p *peer) {
			p.say(func(f *http2.Framer) {
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, PadLength: 7, BlockFragment: p.encode(":status", "410"),
					Priority: http2.PriorityParam{Weight: 3, StreamDep: 5}})
				f.WriteDataPadded(1, true, []byte("gone"), make([]byte, 255))
			})
		}, wanted{status: 410, body: "gone"}},
		{"Retry-After", func(p *peer) { p.header(1, true, ":status", "503", "retry-after", "120") }, wanted{status: 503, retryAfter: "120"}},
		{"a body of more than is kept", func(p *peer) {
			p.header(1, false, ":status", "500")
			p.data(1, false, strings.Repeat("a", maxBody-1))
			p.data(1, true, "bcd")
		}, wanted{status: 500, body: strings.Repeat("a", maxBody-1) + "b"}},
		{"a body without end", func(p *peer) {
			p.header(1, false, ":status", "500")
			for range maxAnswer/(8<<10) + 1 {
				p.data(1, false, strings.Repeat("a", 8<<10))
			}
		}, wanted{status: 500, body: strings.Repeat("a", maxBody)}},
		{"1xx first", func(p *peer) {
			p.header(1, false, ":status", "100")
			p.header(1, false, ":status", "103", "link", "</x>", "retry-after", "9")
			p.header(1, true, ":status", "200")
		}, wanted{status: 200}},
		{"a trailer", func(p *peer) {
			p.header(1, false, ":status", "429", "retry-after", "3")
			p.data(1, false, "slow")
			p.header(1, true, "grpc-status", "8", "retry-after", "99")
		}, wanted{status: 429, body: "slow", retryAfter: "3"}},
		{"a header block in three frames, the last of which is empty", func(p *peer) {
			p.say(func(f *http2.Framer) {
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, BlockFragment: p.encode(":status", "429", "x", "y")})
				f.WriteContinuation(1, false, p.encode("retry-after", "7"))
				f.WriteContinuation(1, true, nil)
			})
		}, wanted{status: 429, retryAfter: "7"}},
		{"a header list larger than we ask for", func(p *peer) {
			p.say(func(f *http2.Framer) {
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, BlockFragment: p.encode(":status", "400", "retry-after", "5")})
				for i := range 4 {
					f.WriteContinuation(1, i == 3, bytes.Repeat(AppendField(nil, "x", strings.Repeat("y", 90)), 100))
				}
			})
		}, wanted{status: 400, retryAfter: "5"}},
		{"many fields from the table", func(p *peer) {
			p.say(func(f *http2.Framer) {
				block := bytes.Clone(p.encode(":status", "400", "large", strings.Repeat("x", 4000)))
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: append(block, bytes.Repeat([]byte{0xbe}, 8<<10)...)})
			})
		}, wanted{status: 400}},
		{"a table size update first", func(p *peer) {
			p.say(func(*http2.Framer) {
				p.encoder.SetMaxDynamicTableSize(0)
				p.encoder.SetMaxDynamicTableSize(128)
				p.writeHeader(1, true, ":status", "418", "a", "b")
			})
		}, wanted{status: 418}},
		{"RST_STREAM after the header", func(p *peer) {
			p.header(1, false, ":status", "400")
			p.data(1, false, "ba")
			p.reset(1, http2.ErrCodeNo)
		}, wanted{status: 400, body: "ba"}},
		{"no status", func(p *peer) { p.header(1, true, "content-type", "text/plain") }, wanted{}},
		{"an empty status", func(p *peer) { p.header(1, true, ":status", "") }, wanted{}},
		{"a status of words", func(p *peer) { p.header(1, true, ":status", "2OO") }, wanted{}},
		{"a status of four digits", func(p *peer) { p.header(1, true, ":status", "2000") }, wanted{}},
		{"a status of 0", func(p *peer) { p.header(1, true, ":status", "000") }, wanted{}},
		{"a status below 100", func(p *peer) { p.header(1, true, ":status", "099") }, wanted{}},
		{"a negative status", func(p *peer) { p.header(1, true, ":status", "-20") }, wanted{}},
		{"a status with a sign", func(p *peer) { p.header(1, true, ":status", "+20") }, wanted{}},
		{"two statuses", func(p *peer) { p.header(1, true, ":status", "400", ":status", "200") }, wanted{}},
		{"a second header", func(p *peer) {
			p.header(1, false, ":status", "400")
			p.header(1, true, ":status", "200")
		}, wanted{}},
		{"a trailer that ends nothing", func(p *peer) {
			p.header(1, false, ":status", "400")
			p.header(1, false, "x", "y")
		}, wanted{}},
		{"1xx that ends the stream", func(p *peer) { p.header(1, true, ":status", "103") }, wanted{}},
		{"1xx after the header", func(p *peer) {
			p.header(1, false, ":status", "400")
			p.header(1, false, ":status", "103")
		}, wanted{}},
		{"101", func(p *peer) { p.header(1, false, ":status", "101") }, wanted{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, nil, func(s *stage) {
				s.send(2)
				p := s.peer(0)
				p.greet()
				p.take()
				c.does(p)
				if c.want.status == 0 {
					s.fails(0, connection.Reset, false)
					if f := p.expect(http2.FrameRSTStream); f.StreamID != 1 || http2.ErrCode(f.number(0)) != http2.ErrCodeProtocol {
						t.Errorf("stream %d is reset with %v", f.StreamID, http2.ErrCode(f.number(0)))
					}
				} else if a := s.answered(0); a.Failure != nil || a.Status != c.want.status || string(a.Body) != c.want.body || a.RetryAfter != c.want.retryAfter {
					t.Errorf("%d %q %q %v, want %+v", a.Status, a.Body, a.RetryAfter, a.Failure, c.want)
				}
				p.answer(3, 200) // the other stream, and the table that headers are decoded by, are as before
				s.succeeds(1, 1)
				s.works()
				if n := len(s.all()); n != 1 {
					t.Errorf("%d connections", n)
				}
			})
		})
	}
}

func TestTheRestOfAnEndlessBodyIsRefused(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		p.greet()
		p.header(1, false, ":status", "500")
		p.take()
		for range maxAnswer/(16<<10) + 1 {
			p.data(1, false, strings.Repeat("a", 16<<10))
		}
		if f := p.expect(http2.FrameRSTStream); http2.ErrCode(f.number(0)) != http2.ErrCodeCancel {
			t.Errorf("reset with %v", http2.ErrCode(f.number(0)))
		}
		if a := s.answered(0); a.Status != http.StatusInternalServerError {
			t.Errorf("%+v", a)
		}
	})
}

// TestTheWindowOfAnswersIsGivenBack has a server that counts what it may send: it may send bodies forever.
func TestTheWindowOfAnswersIsGivenBack(t *testing.T) {
	play(t, nil, func(s *stage) {
		const body, answers = 8 << 10, 1000
		s.sendBody(1, "")
		p := s.peer(0)
		p.greet()
		window := int64(defaultWindow)
		for i := range answers {
			id := uint32(2*i + 1)
			p.header(id, false, ":status", "200")
			if window -= body; window < 0 {
				t.Fatalf("after %d answers the window is used up", i)
			}
			p.data(id, true, strings.Repeat("a", body))
			s.succeeds(i, 1)
			s.sendBody(1, "")
			for _, f := range p.takeAll(http2.FrameWindowUpdate) {
				window += int64(f.number(0))
			}
		}
		if window > 1<<31-1 {
			t.Errorf("the window is %d", window)
		}
		p.answer(2*answers+1, 200)
	})
}

// TestAnAnswerBeforeTheBody is what APNs does with a push that it refuses for its header. The rest of the body is not sent.
func TestAnAnswerBeforeTheBody(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.sendBody(1, strings.Repeat("x", 100))
		p := s.peer(0)
		p.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		p.take()
		p.answer(1, 413)
		if a := s.answered(0); a.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("%+v", a)
		}
		if f := p.expect(http2.FrameRSTStream); f.StreamID != 1 || http2.ErrCode(f.number(0)) != http2.ErrCodeCancel {
			t.Errorf("stream %d is reset with %v", f.StreamID, http2.ErrCode(f.number(0)))
		}
		p.window(1, 1000)
		if frames := p.take(); len(frames) != 0 {
			t.Errorf("%v is sent after the answer", frames)
		}
	})
}

// TestAFloodOfAnswersIsTold has many answers with one read, and callers that take turns.
func TestAFloodOfAnswersIsToldToEachCaller(t *testing.T) {
	play(t, func(o *Options) { o.Streams = 1000 }, func(s *stage) {
		var other inbox
		for i := range 200 {
			s.send(1)
			s.Send(&other, []Request{s.request(i, "")})
		}
		p := s.peer(0)
		p.greet()
		p.say(func(*http2.Framer) {
			for i := range 400 {
				p.writeHeader(uint32(2*i+1), true, ":status", "200")
			}
		})
		synctest.Wait()
		s.succeeds(0, 200)
		other.once(t, 200)
	})
}
