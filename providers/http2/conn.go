package http2

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"pushd/providers"
	"pushd/providers/connection"
)

type state uint8

const (
	making   state = iota // the server's SETTINGS are not there yet
	open                  // takes requests
	draining              // takes no more; ends with its last stream
	ended
)

const (
	frameHeader = 9
	// maxFrame is the largest frame in either direction: the least that RFC 9113 allows as a limit, which is not raised.
	maxFrame = 16 << 10
	// defaultWindow is every window before SETTINGS and WINDOW_UPDATE say otherwise.
	defaultWindow = 64<<10 - 1
	// ourWindow is how much of all answers together the server may send before it is told that they were read.
	ourWindow = 1 << 20
	// maxControl bounds what the server can make us say in frames that are not ours: acknowledgements and resets.
	maxControl = 64 << 10
	// maxHeaderList bounds the header of an answer, in bytes.
	maxHeaderList = 16 << 10
)

// conn is one connection. Client.mu guards what is not the reader's or the writer's.
type conn struct {
	client *Client       // set once
	group  *group        // set once
	socket net.Conn      // set once
	since  time.Duration // set once: when it was made
	age    time.Duration // set once: how old it gets
	wake   chan struct{} // set once: tells the writer that there is something to do

	state         state
	table         streams
	limit         int    // the server's, of streams
	window        int64  // what the server takes of all bodies
	initial       int64  // what it takes of a new stream's body
	stuck         int    // streams whose bodies are not all sent
	received      int    // bytes of answers that the server was not told of
	control       []byte // frames that go before all others
	heads         *heads
	writing       bool   // the writer is at it, and will look for more after; that takes long where the server does not read
	authorization string // of all its requests
	heard         time.Duration
	pinged        time.Duration // when the PING was sent that has no answer; 0 where there is none
	goAway        *connection.Failure

	// the writer's
	out      []byte // what is written, or was; while the writer waits a sweep may take it away
	bearer   []byte // the encoded authorization field
	bearerOf string

	// the reader's
	in         *bufio.Reader
	frame      bytes.Reader
	framer     *http2.Framer
	decoder    *hpack.Decoder
	block      []byte // a header block that is not whole yet
	continuing uint32 // the stream whose header block that is
	endsStream bool   // with that block
	header     header
}

func newConn(g *group, socket net.Conn) *conn {
	c := g.client
	k := &conn{
		client: c, group: g, socket: socket, since: c.now(), wake: make(chan struct{}, 1),
		limit: c.options.Streams, window: defaultWindow, initial: defaultWindow, heads: newHeads(),
		in: bufio.NewReaderSize(socket, frameHeader+maxFrame),
	}
	k.heard = k.since
	// Connections made together do not grow old together.
	k.age = c.options.MaxAge - time.Duration(rand.Int64N(int64(c.options.MaxAge/8)+1))
	k.table.next = 1
	k.framer = http2.NewFramer(nil, &k.frame)
	k.decoder = hpack.NewDecoder(4096, k.header.take)
	k.decoder.SetMaxStringLength(maxHeaderList)
	k.greet()
	return k
}

// greet begins the connection (RFC 9113, section 3.4). The PING's answer comes with the SETTINGS and measures the way.
func (k *conn) greet() {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&b, nil)
	err := errors.Join(
		framer.WriteSettings(
			http2.Setting{ID: http2.SettingEnablePush, Val: 0},
			http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderList}),
		framer.WriteWindowUpdate(0, ourWindow-defaultWindow))
	if err != nil {
		panic("http2: a buffer takes no frames: " + err.Error())
	}
	k.control = b.Bytes()
	k.ping(k.since)
}

func (k *conn) rouse() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// allowed is how many streams may be open.
func (k *conn) allowed() int { return min(k.limit, k.client.options.Streams) }

// free is how many streams may be opened now.
func (k *conn) free() int {
	if k.state != open || k.window <= 0 {
		return 0
	}
	return max(0, k.allowed()-k.table.n)
}

// drain lets the connection take no more requests: it ends with its last stream.
func (k *conn) drain(out *outbox) {
	k.close()
	k.group.rouse()
	k.endIfDrained(out)
}

// close takes the connection off those that take requests.
func (k *conn) close() {
	if k.state != open {
		return
	}
	k.state = draining
	k.group.closing(k)
	k.group.drained = append(k.group.drained, k)
	k.client.count(providers.Draining, 1)
}

func (k *conn) endIfDrained(out *outbox) {
	if k.state == draining && k.table.n == 0 {
		k.end(&connection.Failure{Kind: connection.Closed, Err: errDrained}, out)
	}
}

var errDrained = errors.New("the connection has no more to do")

// end ends the connection: its streams fail, and the writer closes it. The server is told why where it broke the protocol.
func (k *conn) end(f *connection.Failure, out *outbox) {
	if k.state == ended {
		return
	}
	before := k.state
	k.state = ended
	g, now := k.group, k.client.now()
	for i := range k.table.places {
		if st := &k.table.places[i]; st.id != 0 {
			out.add(k, st, now, f)
			k.table.close(st)
		}
	}
	k.stuck = 0
	code := http2.ErrCodeNo
	var broken protocolError
	if errors.As(f.Err, &broken) {
		code = broken.code
	}
	k.control = appendGoAway(k.control, code)
	switch before {
	case making:
		unsent := *f
		unsent.Unprocessed = true
		g.notMade(&unsent, out)
	case open:
		k.client.options.Budget.give()
		g.closing(k)
		g.rouse()
	case draining:
		k.client.options.Budget.give()
		if i := slices.Index(g.drained, k); i >= 0 {
			g.drained = slices.Delete(g.drained, i, i+1)
		}
		k.client.count(providers.Draining, -1)
	}
	// The reader stops at once; the writer soon, even where the server takes nothing.
	k.socket.SetReadDeadline(time.Unix(1, 0))
	k.socket.SetWriteDeadline(time.Now().Add(farewell))
	k.rouse()
}

// finish answers a stream's request and closes the stream.
func (k *conn) finish(st *stream, f *connection.Failure, now time.Duration, out *outbox) {
	out.add(k, st, now, f)
	k.forget(st)
}

// forget closes a stream.
func (k *conn) forget(st *stream) {
	if st.sent < len(st.Body) {
		k.stuck--
	}
	k.table.close(st)
}

// maxTries is how often a request is handed to a connection that surely did not process it, before its caller decides.
const maxTries = 3

// unprocessed sends a stream's request again, which the server surely did not process, or fails it where that was often.
func (k *conn) unprocessed(st *stream, f *connection.Failure, now time.Duration, out *outbox) {
	j := st.job
	if j.tries++; j.tries >= maxTries || k.client.closed {
		k.finish(st, f, now, out)
		return
	}
	k.forget(st)
	k.group.waiting.pushFront(j)
}

// reset ends a stream without its answer, and tells the server so.
func (k *conn) reset(st *stream, code http2.ErrCode, f *connection.Failure, now time.Duration, out *outbox) {
	k.control = appendReset(k.control, st.id, code)
	k.finish(st, f, now, out)
	k.rouse()
}

// ping asks the server for life.
func (k *conn) ping(now time.Duration) {
	k.pinged = max(now, 1)
	k.control = appendFrameHeader(k.control, 8, http2.FramePing, 0, 0)
	k.control = binary.BigEndian.AppendUint64(k.control, uint64(k.pinged))
	k.rouse()
}

// protocolError is what a server did that RFC 9113 forbids: it costs the connection.
type protocolError struct {
	code http2.ErrCode
	what string
}

func (e protocolError) Error() string {
	return fmt.Sprintf("the server broke HTTP/2: %s (%v)", e.what, e.code)
}

func appendFrameHeader(b []byte, length int, kind http2.FrameType, flags http2.Flags, id uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags),
		byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

func appendReset(b []byte, id uint32, code http2.ErrCode) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHeader(b, 4, http2.FrameRSTStream, 0, id), uint32(code))
}

func appendWindowUpdate(b []byte, id uint32, n int) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHeader(b, 4, http2.FrameWindowUpdate, 0, id), uint32(n))
}

// appendGoAway says that none of the server's streams was processed: it may open none.
func appendGoAway(b []byte, code http2.ErrCode) []byte {
	b = appendFrameHeader(b, 8, http2.FrameGoAway, 0, 0)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 0), uint32(code))
}
