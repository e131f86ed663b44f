package http2

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer is the server's end of a connection. It notes all frames of the client. It sends what a test makes it send, and the
// answers to PINGs unless it is mute; where it obliges, also its SETTINGS, and 200 to each request.
type peer struct {
	t    *testing.T
	conn net.Conn

	mu       sync.Mutex // guards all below
	more     *sync.Cond // there is something to send, or nothing will be any more
	sending  bytes.Buffer
	closing  bool
	framer   *http2.Framer // writes into sending
	encoder  *hpack.Encoder
	block    bytes.Buffer
	obliges  bool
	reacts   func(*peer, uint32) // to a request that came whole, with mu held
	greeted  bool
	mute     bool
	deaf     bool     // reads nothing
	hears    chan any // closed when it reads again
	frames   []frame  // that no test has looked at yet
	pings    []frame  // that have no answer
	streams  []uint32 // requests that came whole and have no answer
	ended    bool     // the client closed the connection
	decoder  *inspector
	referee  *referee // nil where the peer does not keep the rules itself
	undone   frame    // a header block that is not whole yet
	requests int      // that came, all in all
}

// frame is one of the client's. A header block is one with all its CONTINUATION frames.
type frame struct {
	http2.FrameHeader
	payload []byte
	fields  []hpack.HeaderField
	parts   int // frames of a header block
}

// number is the 32 bits at an offset of the payload.
func (f *frame) number(offset int) uint32 { return binary.BigEndian.Uint32(f.payload[offset:]) }

// field is the value of a header's field; "" where there is none.
func (f *frame) field(name string) string {
	i := slices.IndexFunc(f.fields, func(f hpack.HeaderField) bool { return f.Name == name })
	if i < 0 {
		return ""
	}
	return f.fields[i].Value
}

func newPeer(t *testing.T, conn net.Conn, obliges bool) *peer {
	p := &peer{t: t, conn: conn, decoder: newInspector(), hears: make(chan any)}
	p.referee = newReferee(p.decoder, t.Errorf)
	p.more = sync.NewCond(&p.mu)
	p.framer = http2.NewFramer(&p.sending, nil)
	p.framer.AllowIllegalWrites = true
	p.encoder = hpack.NewEncoder(&p.block)
	if obliges {
		p.oblige()
	}
	go p.read()
	go p.write()
	return p
}

// write sends what was put into p.sending.
func (p *peer) write() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for p.sending.Len() == 0 && !p.closing {
			p.more.Wait()
		}
		if p.closing && p.sending.Len() == 0 {
			p.conn.Close()
			return
		}
		b := bytes.Clone(p.sending.Bytes())
		p.sending.Reset()
		if p.referee != nil {
			p.referee.sends(b)
		}
		p.mu.Unlock()
		_, err := p.conn.Write(b)
		p.mu.Lock()
		if err != nil {
			p.closing = true
			p.conn.Close()
			return
		}
	}
}

// read notes the client's frames.
func (p *peer) read() {
	preface := make([]byte, len(http2.ClientPreface))
	p.listen()
	_, err := io.ReadFull(p.conn, preface)
	if err == nil && string(preface) != http2.ClientPreface {
		p.t.Errorf("the connection begins with %q", preface)
	}
	for err == nil {
		p.listen()
		var f frame
		if f.FrameHeader, err = http2.ReadFrameHeader(p.conn); err != nil {
			break
		}
		f.payload = make([]byte, f.Length)
		if _, err = io.ReadFull(p.conn, f.payload); err == nil {
			p.note(f)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.closing = true, true
	p.more.Signal()
}

// listen waits while the peer is deaf.
func (p *peer) listen() {
	p.mu.Lock()
	deaf := p.deaf
	p.mu.Unlock()
	if deaf {
		<-p.hears
	}
}

func (p *peer) note(f frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.Length > 16<<10 {
		p.t.Errorf("%v of %d bytes", f.Type, f.Length)
	}
	if p.referee != nil {
		p.referee.hears(&f)
	}
	switch f.Type {
	case http2.FrameHeaders, http2.FrameContinuation:
		if f.Type == http2.FrameHeaders {
			p.undone = frame{FrameHeader: f.FrameHeader}
		}
		p.undone.payload = append(p.undone.payload, f.payload...)
		if p.undone.parts++; !f.Flags.Has(http2.FlagHeadersEndHeaders) {
			return
		}
		fields, err := p.decoder.decode(p.undone.payload)
		if err != nil {
			p.t.Errorf("the header of stream %d: %v", f.StreamID, err)
		}
		f = p.undone
		f.fields = fields
		p.requests++
	case http2.FrameData:
		if f.Flags.Has(http2.FlagDataEndStream) {
			p.streams = append(p.streams, f.StreamID)
			if p.reacts != nil {
				p.reacts(p, f.StreamID)
			}
		}
	case http2.FramePing:
		if !f.Flags.Has(http2.FlagPingAck) {
			p.pings = append(p.pings, f)
			p.answerPings()
		}
	}
	p.frames = append(p.frames, f)
	if p.obliges {
		p.answerAll()
	}
	p.more.Signal()
}

// answerAll answers what came whole; mu is held.
func (p *peer) answerAll() {
	for _, id := range p.streams {
		p.writeHeader(id, true, ":status", "200")
	}
	p.streams = p.streams[:0]
}

// answerPings answers PINGs, after SETTINGS; mu is held.
func (p *peer) answerPings() {
	if !p.greeted || p.mute {
		return
	}
	for _, f := range p.pings {
		p.framer.WritePing(true, [8]byte(f.payload))
	}
	p.pings = nil
}

// hush makes the peer answer PINGs no more, or again.
func (p *peer) hush(mute bool) {
	p.say(func(*http2.Framer) { p.mute = mute; p.answerPings() })
}

// oblige makes the peer a server that does its work.
func (p *peer) oblige() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.obliges = true
	if !p.greeted {
		p.greeted = true
		p.framer.WriteSettings()
	}
	p.answerPings()
	p.answerAll()
	p.more.Signal()
}

// say sends what the framer is made to write, and waits until the client has done with it.
func (p *peer) say(frames func(*http2.Framer)) {
	p.mu.Lock()
	frames(p.framer)
	p.more.Signal()
	p.mu.Unlock()
	synctest.Wait()
}

// raw sends a frame whatever it is.
func (p *peer) raw(kind http2.FrameType, flags http2.Flags, id uint32, payload string) {
	p.say(func(f *http2.Framer) { f.WriteRawFrame(kind, flags, id, []byte(payload)) })
}

// greet sends SETTINGS: pairs of a setting and its value.
func (p *peer) greet(settings ...http2.Setting) {
	p.say(func(f *http2.Framer) {
		f.WriteSettings(settings...)
		p.greeted = true
		p.answerPings()
	})
}

// header sends HEADERS with these fields, names and values by turns.
func (p *peer) header(id uint32, ends bool, fields ...string) {
	p.say(func(*http2.Framer) { p.writeHeader(id, ends, fields...) })
}

func (p *peer) writeHeader(id uint32, ends bool, fields ...string) {
	p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: ends, EndHeaders: true, BlockFragment: p.encode(fields...)})
}

// encode makes a header block. It is good until the next call.
func (p *peer) encode(fields ...string) []byte {
	p.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := p.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			p.t.Fatal(err)
		}
	}
	return p.block.Bytes()
}

// answer answers a stream without a body.
func (p *peer) answer(id uint32, status int) {
	p.header(id, true, ":status", strconv.Itoa(status))
}

func (p *peer) data(id uint32, ends bool, body string) {
	p.say(func(f *http2.Framer) { f.WriteData(id, ends, []byte(body)) })
}

func (p *peer) reset(id uint32, code http2.ErrCode) {
	p.say(func(f *http2.Framer) { f.WriteRSTStream(id, code) })
}

func (p *peer) goAway(last uint32, code http2.ErrCode, debug string) {
	p.say(func(f *http2.Framer) { f.WriteGoAway(last, code, []byte(debug)) })
}

func (p *peer) window(id, n uint32) {
	p.say(func(f *http2.Framer) { f.WriteWindowUpdate(id, n) })
}

// take takes the frames that came since it was last asked.
func (p *peer) take() []frame {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	frames := p.frames
	p.frames = nil
	return frames
}

// takeAll is take of one kind of frame.
func (p *peer) takeAll(kind http2.FrameType) []frame {
	return slices.DeleteFunc(p.take(), func(f frame) bool { return f.Type != kind })
}

// expect demands one frame of a kind among those that came, and forgets the others.
func (p *peer) expect(kind http2.FrameType) frame {
	p.t.Helper()
	frames := p.take()
	i := slices.IndexFunc(frames, func(f frame) bool { return f.Type == kind })
	if i < 0 {
		p.t.Fatalf("no %v, but %v", kind, frames[max(0, len(frames)-10):])
	}
	return frames[i]
}

// whole are the streams whose requests came whole and have no answer.
func (p *peer) whole() []uint32 {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.streams)
}

// deafen makes the peer read nothing until it is closed.
func (p *peer) deafen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

// hungUp says whether the client closed the connection.
func (p *peer) hungUp() bool {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// close ends the connection from the server's side.
func (p *peer) close() {
	p.mu.Lock()
	p.closing = true
	if p.deaf {
		p.deaf = false
		close(p.hears)
	}
	p.more.Signal()
	p.mu.Unlock()
	synctest.Wait()
}
