package connection

import (
	"crypto/tls"
	"encoding/binary"
	"sync/atomic"

	"golang.org/x/net/http2"
)

const (
	frameHeader = 9       // bytes (RFC 9113, section 4.1)
	maxDebug    = 4 << 10 // bytes kept of a GOAWAY's debug data
)

// goAwayFrame is what a GOAWAY said.
type goAwayFrame struct {
	code  http2.ErrCode
	debug []byte
}

// tap reads along with x/net's frame reader to see GOAWAY frames, whose debug data x/net gives to no request but those
// that the connection's end cuts off. It is told of each before x/net is.
//
// Read is called by one goroutine only; goAway may be called by any.
type tap struct {
	*tls.Conn
	onGoAway func(goAwayFrame) // called once, with the first GOAWAY
	onEnd    func()            // called when reading fails: the connection is over

	header  [frameHeader]byte
	have    int // bytes of header
	left    int // bytes of the payload still to come
	payload []byte
	seen    atomic.Pointer[goAwayFrame]
	end     atomic.Pointer[error]
}

func (t *tap) goAway() *goAwayFrame { return t.seen.Load() }

// ended is what reading ended with, or nil. It says more than what a write fails with afterwards.
func (t *tap) ended() error {
	if err := t.end.Load(); err != nil {
		return *err
	}
	return nil
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.follow(p[:n])
	if err != nil {
		t.end.Store(&err)
		t.onEnd()
	}
	return n, err
}

// follow keeps count of where frames begin and collects the payload of GOAWAY frames.
func (t *tap) follow(p []byte) {
	for len(p) > 0 {
		if t.have < frameHeader {
			n := copy(t.header[t.have:], p)
			t.have += n
			p = p[n:]
			if t.have < frameHeader {
				return
			}
			t.left = int(t.header[0])<<16 | int(t.header[1])<<8 | int(t.header[2])
			t.payload = nil
		}
		n := min(t.left, len(p))
		if t.isGoAway() {
			t.payload = append(t.payload, p[:min(n, 8+maxDebug-len(t.payload))]...)
		}
		t.left -= n
		p = p[n:]
		if t.left == 0 {
			t.have = 0
			t.frameEnd()
		}
	}
}

func (t *tap) isGoAway() bool { return http2.FrameType(t.header[3]) == http2.FrameGoAway }

func (t *tap) frameEnd() {
	if !t.isGoAway() || len(t.payload) < 8 || t.goAway() != nil {
		return
	}
	frame := goAwayFrame{code: http2.ErrCode(binary.BigEndian.Uint32(t.payload[4:8])), debug: t.payload[8:]}
	t.seen.Store(&frame)
	t.onGoAway(frame)
}
