package http2

import (
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"pushd/providers/connection"
)

// What a server's frame costs.
type cost int

const (
	nothing       cost = iota // it is ignored
	theStream                 // the request under way, and no other
	theConnection             // with its requests
)

// TestFramesOutOfPlace has a request under way on stream 1 and one that was answered on stream 3, and a server that sends
// what RFC 9113 forbids, or lets be ignored.
func TestFramesOutOfPlace(t *testing.T) {
	t.Parallel()
	const (
		protocol = http2.ErrCodeProtocol
		size     = http2.ErrCodeFrameSize
		flow     = http2.ErrCodeFlowControl
		hpackErr = http2.ErrCodeCompression
		calm     = http2.ErrCodeEnhanceYourCalm
	)
	raw := func(kind http2.FrameType, flags http2.Flags, id uint32, payload string) func(*peer) {
		return func(p *peer) { p.raw(kind, flags, id, payload) }
	}
	for _, c := range []struct {
		name string
		does func(*peer)
		cost cost
		code http2.ErrCode
	}{
		{"DATA on stream 0", raw(http2.FrameData, 0, 0, "x"), theConnection, protocol},
		{"DATA on a stream that was never opened", raw(http2.FrameData, 0, 9, "x"), theConnection, protocol},
		{"DATA on a stream of the server", raw(http2.FrameData, 0, 2, "x"), theConnection, protocol},
		{"DATA on a closed stream", raw(http2.FrameData, 0, 3, "x"), nothing, 0},
		{"DATA before HEADERS", raw(http2.FrameData, 0, 1, "x"), theStream, protocol},
		{"DATA with padding longer than it", raw(http2.FrameData, http2.FlagDataPadded, 1, "\x02x"), theConnection, protocol},
		{"DATA with a padding flag and nothing", raw(http2.FrameData, http2.FlagDataPadded, 1, ""), theConnection, protocol},
		{"HEADERS on stream 0", raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 0, "\x88"), theConnection, protocol},
		{"HEADERS on a stream that was never opened", raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 9, "\x88"), theConnection, protocol},
		{"HEADERS on a stream of the server", raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 2, "\x88"), theConnection, protocol},
		{"HEADERS on a closed stream", raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 3, "\x88"), nothing, 0},
		{"HEADERS with padding longer than it", raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersPadded, 1, "\x02\x88"), theConnection, protocol},
		{"HEADERS with a padding flag and nothing", raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersPadded, 1, ""), theConnection, protocol},
		{"HEADERS too short for its priority", raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersPriority, 1, "\x88"), theConnection, protocol},
		{"HEADERS with an index that is none", raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, "\xff\x7f"), theConnection, hpackErr},
		{"HEADERS that end within a field", raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, "\x88\x40\x05ab"), theConnection, hpackErr},
		{"HEADERS with a table larger than ours", raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, "\x3f\xe2\x1f\x88"), theConnection, hpackErr},
		{"HEADERS with a string that is too long", func(p *peer) {
			p.raw(http2.FrameHeaders, 0, 1, "\x88\x00\x01a\x7f\xff\xff\x02"+strings.Repeat("x", 16<<10-8))
			p.raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, 1, strings.Repeat("x", 1<<10))
		}, theConnection, hpackErr},
		{"HEADERS of nothing", raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, ""), theStream, protocol},
		{"CONTINUATION without HEADERS", raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, 1, "\x88"), theConnection, protocol},
		{"CONTINUATION of another stream", func(p *peer) {
			p.raw(http2.FrameHeaders, 0, 1, "\x88")
			p.raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, 3, "")
		}, theConnection, protocol},
		{"HEADERS within a header block", func(p *peer) {
			p.raw(http2.FrameHeaders, 0, 1, "\x88")
			p.raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, "\x88")
		}, theConnection, protocol},
		{"DATA within a header block", func(p *peer) {
			p.raw(http2.FrameHeaders, 0, 1, "\x88")
			p.raw(http2.FrameData, 0, 1, "x")
		}, theConnection, protocol},
		{"PING within a header block", func(p *peer) {
			p.raw(http2.FrameHeaders, 0, 1, "\x88")
			p.raw(http2.FramePing, 0, 0, "12345678")
		}, theConnection, protocol},
		{"an unknown frame within a header block", func(p *peer) {
			p.raw(http2.FrameHeaders, 0, 1, "\x88")
			p.raw(0xbe, 0, 0, "")
		}, theConnection, protocol},
		{"a header block of 64 KiB in CONTINUATION frames", func(p *peer) {
			p.raw(http2.FrameHeaders, 0, 1, "\x88")
			for range 5 {
				p.raw(http2.FrameContinuation, 0, 1, strings.Repeat("\x00\x01a\x01b", 3<<10))
			}
		}, theConnection, calm},
		{"CONTINUATION frames of nothing", func(p *peer) {
			p.raw(http2.FrameHeaders, 0, 1, "\x88")
			p.raw(http2.FrameContinuation, 0, 1, "")
		}, theConnection, calm},
		{"PRIORITY", raw(http2.FramePriority, 0, 1, "\x00\x00\x00\x00\x10"), nothing, 0},
		{"PRIORITY of a stream that was never opened", raw(http2.FramePriority, 0, 9, "\x00\x00\x00\x00\x10"), nothing, 0},
		{"PRIORITY on stream 0", raw(http2.FramePriority, 0, 0, "\x00\x00\x00\x00\x10"), theConnection, protocol},
		{"PRIORITY of 4 bytes", raw(http2.FramePriority, 0, 1, "\x00\x00\x00\x00"), theConnection, size},
		{"RST_STREAM on stream 0", raw(http2.FrameRSTStream, 0, 0, "\x00\x00\x00\x08"), theConnection, protocol},
		{"RST_STREAM on a stream that was never opened", raw(http2.FrameRSTStream, 0, 9, "\x00\x00\x00\x08"), theConnection, protocol},
		{"RST_STREAM on a stream of the server", raw(http2.FrameRSTStream, 0, 2, "\x00\x00\x00\x08"), theConnection, protocol},
		{"RST_STREAM on a closed stream", raw(http2.FrameRSTStream, 0, 3, "\x00\x00\x00\x08"), nothing, 0},
		{"RST_STREAM of 3 bytes", raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00"), theConnection, size},
		{"SETTINGS on a stream", raw(http2.FrameSettings, 0, 1, ""), theConnection, protocol},
		{"SETTINGS of 5 bytes", raw(http2.FrameSettings, 0, 0, "\x00\x03\x00\x00\x00"), theConnection, size},
		{"an acknowledgement with settings", raw(http2.FrameSettings, http2.FlagSettingsAck, 0, "\x00\x03\x00\x00\x00\x01"), theConnection, size},
		{"an acknowledgement of nothing", raw(http2.FrameSettings, http2.FlagSettingsAck, 0, ""), nothing, 0},
		{"a setting that nobody knows", raw(http2.FrameSettings, 0, 0, "\xbe\xef\x00\x00\x00\x01"), nothing, 0},
		{"ENABLE_PUSH of 2", raw(http2.FrameSettings, 0, 0, "\x00\x02\x00\x00\x00\x02"), theConnection, protocol},
		{"ENABLE_PUSH of 1, by a server", raw(http2.FrameSettings, 0, 0, "\x00\x02\x00\x00\x00\x01"), theConnection, protocol},
		{"ENABLE_PUSH of 0", raw(http2.FrameSettings, 0, 0, "\x00\x02\x00\x00\x00\x00"), nothing, 0},
		{"INITIAL_WINDOW_SIZE of 2^31", raw(http2.FrameSettings, 0, 0, "\x00\x04\x80\x00\x00\x00"), theConnection, flow},
		{"a second INITIAL_WINDOW_SIZE of 2^31", raw(http2.FrameSettings, 0, 0, "\x00\x04\x00\x00\x00\x00\x00\x04\x80\x00\x00\x00"), theConnection, flow},
		{"MAX_FRAME_SIZE of 16383", raw(http2.FrameSettings, 0, 0, "\x00\x05\x00\x00\x3f\xff"), theConnection, protocol},
		{"MAX_FRAME_SIZE of 2^24", raw(http2.FrameSettings, 0, 0, "\x00\x05\x01\x00\x00\x00"), theConnection, protocol},
		{"PUSH_PROMISE", raw(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 1, "\x00\x00\x00\x02\x82"), theConnection, protocol},
		{"PUSH_PROMISE on stream 0", raw(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 0, "\x00\x00\x00\x02\x82"), theConnection, protocol},
		{"PUSH_PROMISE of 2 bytes", raw(http2.FramePushPromise, 0, 1, "\x00\x00"), theConnection, size},
		{"PING on a stream", raw(http2.FramePing, 0, 1, "12345678"), theConnection, protocol},
		{"PING of 7 bytes", raw(http2.FramePing, 0, 0, "1234567"), theConnection, size},
		{"the answer to a PING that was not sent", raw(http2.FramePing, http2.FlagPingAck, 0, "12345678"), nothing, 0},
		{"GOAWAY on a stream", raw(http2.FrameGoAway, 0, 1, "\x00\x00\x00\x00\x00\x00\x00\x00"), theConnection, protocol},
		{"GOAWAY of 7 bytes", raw(http2.FrameGoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00"), theConnection, size},
		{"WINDOW_UPDATE of 3 bytes", raw(http2.FrameWindowUpdate, 0, 0, "\x00\x00\x01"), theConnection, size},
		{"WINDOW_UPDATE by 0", raw(http2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x00"), theConnection, protocol},
		{"WINDOW_UPDATE of a stream by 0", raw(http2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x00"), theStream, protocol},
		{"WINDOW_UPDATE of a closed stream by 0", raw(http2.FrameWindowUpdate, 0, 3, "\x00\x00\x00\x00"), nothing, 0},
		{"WINDOW_UPDATE of a closed stream", raw(http2.FrameWindowUpdate, 0, 3, "\x00\x00\x00\x01"), nothing, 0},
		{"WINDOW_UPDATE on a stream that was never opened", raw(http2.FrameWindowUpdate, 0, 9, "\x00\x00\x00\x01"), theConnection, protocol},
		{"a window beyond 2^31-1", raw(http2.FrameWindowUpdate, 0, 0, "\x7f\xff\xff\xff"), theConnection, flow},
		{"a stream's window beyond 2^31-1", raw(http2.FrameWindowUpdate, 0, 1, "\x7f\xff\xff\xff"), theStream, flow},
		{"a stream's window beyond 2^31-1 by SETTINGS", func(p *peer) {
			p.window(1, 1<<30)
			p.raw(http2.FrameSettings, 0, 0, "\x00\x04\x7f\xff\xff\xff")
		}, theConnection, flow},
		{"a frame of 16385 bytes", raw(http2.FrameData, 0, 1, strings.Repeat("x", 16<<10+1)), theConnection, size},
		{"an unknown frame", raw(0xbe, 0xff, 0, "what later standards bring"), nothing, 0},
		{"an unknown frame on a stream that was never opened", raw(0xbe, 0, 9, ""), nothing, 0},
		{"HTTP/1.1", func(p *peer) {
			p.say(func(*http2.Framer) { p.sending.WriteString("HTTP/1.1 400 Bad Request\r\n\r\n") })
		}, theConnection, size},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, nil, func(s *stage) {
				s.send(2)
				p := s.peer(0)
				p.greet()
				p.answer(3, 200)
				s.succeeds(1, 1)
				p.take()
				c.does(p)
				s.suffers(p, c.cost, c.code)
				s.works()
			})
		})
	}
}

// suffers demands what a frame costs: request 0 is under way on stream 1.
func (s *stage) suffers(p *peer, cost cost, code http2.ErrCode) {
	s.t.Helper()
	switch cost {
	case nothing:
		if p.hungUp() {
			s.t.Fatal("the connection is closed")
		}
		p.answer(1, 200)
		s.succeeds(0, 1)
	case theStream:
		s.fails(0, connection.Reset, false)
		if f := p.expect(http2.FrameRSTStream); f.StreamID != 1 || http2.ErrCode(f.number(0)) != code {
			s.t.Errorf("stream %d is reset with %v, want %v", f.StreamID, http2.ErrCode(f.number(0)), code)
		}
		if p.hungUp() {
			s.t.Error("the connection is closed")
		}
	case theConnection:
		if f := s.fails(0, connection.Lost, false); !strings.Contains(f.Error(), code.String()) {
			s.t.Errorf("the failure %q does not say %v", f, code)
		}
		s.broke(p, code)
	}
}

// TestFramesBeforeSettings sends what may not come first. The request was not sent, and its failure says so.
func TestFramesBeforeSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		kind    http2.FrameType
		flags   http2.Flags
		id      uint32
		payload string
	}{
		{"DATA", http2.FrameData, 0, 1, "x"},
		{"HEADERS", http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, "\x88"},
		{"PRIORITY", http2.FramePriority, 0, 1, "\x00\x00\x00\x00\x10"},
		{"RST_STREAM", http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08"},
		{"PUSH_PROMISE", http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 1, "\x00\x00\x00\x02\x82"},
		{"PING", http2.FramePing, 0, 0, "12345678"},
		{"the answer to our PING", http2.FramePing, http2.FlagPingAck, 0, "\x00\x00\x00\x00\x00\x00\x00\x01"},
		{"WINDOW_UPDATE", http2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x01"},
		{"CONTINUATION", http2.FrameContinuation, http2.FlagContinuationEndHeaders, 1, "\x88"},
		{"the acknowledgement of our SETTINGS", http2.FrameSettings, http2.FlagSettingsAck, 0, ""},
		{"an unknown frame", 0xbe, 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, nil, func(s *stage) {
				s.send(1)
				p := s.peer(0)
				p.raw(c.kind, c.flags, c.id, c.payload)
				if f := s.fails(0, connection.Lost, true); !strings.Contains(f.Error(), "SETTINGS") {
					t.Errorf("the failure %q does not speak of SETTINGS", f)
				}
				s.broke(p, http2.ErrCodeProtocol)
				if p.requests != 0 {
					t.Errorf("%d requests were sent", p.requests)
				}
				s.works()
			})
		})
	}
}
