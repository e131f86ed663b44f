package simulator

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	defaultWindow = 65_535  // RFC 9113, section 6.9.2
	connWindow    = 1 << 20 // what the client may send on a connection before it has to wait for WINDOW_UPDATE
	maxFrame      = 16_384
	maxHeaderList = 8_000    // what APNs announces
	maxBody       = 64 << 10 // the rest of a longer body is read and dropped
	maxBlock      = 32 << 10 // encoded header block, over all its CONTINUATION frames
	flushAt       = 16_000   // about one TLS record
	writeTimeout  = 10 * time.Second
	linger        = 2 * time.Second // how long a closed connection is read, so that the client sees the GOAWAY and not a TCP reset
)

// conn is one HTTP/2 connection of a client.
//
//	handshake ──▶ open ──GOAWAY sent──▶ draining ──no stream left──▶ ended ──client closes, or linger over──▶ closed
//	                └─────────────── protocol error: GOAWAY ─────────────▲
type conn struct {
	srv     *server
	id      uint64
	raw     net.Conn // TCP
	secured net.Conn // TLS over raw; set by open, as is session
	conduct Conduct
	session session
	cutOnce sync.Once
	closed  chan struct{} // closed by cut

	// The reader's own: conn.serve and what it calls.
	in        *bufio.Reader
	decoder   *hpack.Decoder
	decoding  *stream // whose header block is being read; nil between blocks
	blockSize int
	arrived   time.Time // when what is buffered came
	trash     stream    // takes the header of a stream that is not wanted

	mu     sync.Mutex    // guards what follows; what is written is written under it, so frames keep their order
	framer *http2.Framer // reads for the reader, without mu; writes into out, under mu
	out    outBuffer
	block  []byte // reused for header blocks

	streams    map[uint32]*stream
	free       []*stream
	lastID     uint32 // highest stream seen; the reader alone changes it
	sendWindow int64
	peerWindow int64 // SETTINGS_INITIAL_WINDOW_SIZE of the client
	recvWindow int64
	unreturned int64 // received and not yet given back by WINDOW_UPDATE
	starved    int   // streams whose response body waits for window

	announced uint32   // stream limit last sent
	acked     uint32   // stream limit the client has acknowledged
	unacked   []uint32 // stream limits sent since

	draining bool // GOAWAY sent: no new streams
	ended    bool // sending side closed

	delayed delayedAnswers
	wake    chan struct{} // to deliver: an earlier answer than the one it waits for; nil until it runs
	deliver sync.WaitGroup
}

type outBuffer []byte

func (b *outBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func newConn(srv *server, id uint64, raw net.Conn) *conn {
	c := &conn{
		srv: srv, id: id, raw: raw,
		closed:     make(chan struct{}),
		streams:    make(map[uint32]*stream),
		sendWindow: defaultWindow,
		peerWindow: defaultWindow,
		recvWindow: connWindow,
	}
	if srv.conduct != nil {
		c.conduct = srv.conduct(id)
	}
	return c
}

// serve runs the connection to its end.
func (c *conn) serve() {
	if c.conduct.Refuse {
		c.srv.stats.turnedAway.Add(1)
		c.refuse()
		return
	}
	if !c.handshake() {
		c.srv.stats.turnedAway.Add(1)
		return
	}
	c.srv.stats.opened.Add(1)
	c.run()
}

// run serves an opened connection to its end.
func (c *conn) run() {
	c.greet()
	if c.conduct.Deaf {
		<-c.closed
		return
	}
	err := c.readPreface()
	for err == nil {
		err = c.readFrame()
	}
	c.end(err)
	c.cut()
	c.deliver.Wait()
}

// refuse has TCP reset the connection.
func (c *conn) refuse() {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails on a closed connection only
	}
	c.cut()
}

func (c *conn) handshake() bool {
	under := c.raw
	if c.conduct.BytesPerSecond > 0 {
		under = &slowWriter{Conn: c.raw, perSecond: c.conduct.BytesPerSecond, closed: c.closed}
	}
	config := c.srv.tls
	if c.conduct.NoHandshake {
		config = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return nil, errors.New("conduct: no handshake")
		}}
	}
	secured := tls.Server(under, config)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		return false
	}
	state := secured.ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		return false // a client that does not ask for HTTP/2 by ALPN
	}
	c.open(secured, state)
	return true
}

// open makes what a connection needs after its handshake.
func (c *conn) open(secured net.Conn, state tls.ConnectionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secured = secured
	c.session = c.srv.session(c.id, state)
	c.in = bufio.NewReaderSize(secured, maxFrame)
	c.framer = http2.NewFramer(&c.out, c.in)
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(maxFrame)
	c.decoder = hpack.NewDecoder(4096, c.field)
	c.decoder.SetMaxStringLength(maxBlock)
}

// greet sends the server's SETTINGS, and widens the connection's window.
func (c *conn) greet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conduct.NoSettings {
		c.acked, c.announced = 1<<31, 1<<31
		return
	}
	limit := c.streamLimit(0)
	c.acked, c.announced = limit, limit
	c.unacked = append(c.unacked, limit)
	c.written(c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: limit},
		http2.Setting{ID: http2.SettingMaxFrameSize, Val: maxFrame},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderList},
	))
	if !c.conduct.NoWindowUpdates {
		c.written(c.framer.WriteWindowUpdate(0, connWindow-defaultWindow))
	} else {
		c.recvWindow = defaultWindow
	}
	c.flush()
}

func (c *conn) readPreface() error {
	_ = c.raw.SetReadDeadline(time.Now().Add(handshakeTimeout)) // fails on a closed connection only, as does the read
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.in, preface); err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	_ = c.raw.SetReadDeadline(time.Time{})
	first, err := c.framer.ReadFrame()
	if err != nil {
		return err
	}
	c.arrived = time.Now() // requests may have come with it
	settings, ok := first.(*http2.SettingsFrame)
	if !ok || settings.IsAck() {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return c.onSettings(settings)
}

// readFrame handles one frame. Before it waits for the client it writes what is to be written:
// that makes one TLS record of the answers to all requests of one.
func (c *conn) readFrame() error {
	waits := !c.frameBuffered()
	if waits {
		c.mu.Lock()
		c.flush()
		c.mu.Unlock()
	}
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return err
	}
	if waits {
		c.arrived = time.Now()
	}
	switch f := frame.(type) {
	case *http2.DataFrame:
		return c.onData(f)
	case *http2.HeadersFrame:
		return c.onHeaders(f)
	case *http2.ContinuationFrame:
		return c.onBlock(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.SettingsFrame:
		return c.onSettings(f)
	case *http2.PingFrame:
		return c.onPing(f)
	case *http2.WindowUpdateFrame:
		return c.onWindowUpdate(f)
	case *http2.RSTStreamFrame:
		return c.onReset(f)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol) // RFC 9113, section 8.4: a client cannot push
	}
	return nil // PRIORITY, GOAWAY and unknown frames ask for nothing
}

// frameBuffered reports whether the next frame can be read without waiting.
func (c *conn) frameBuffered() bool {
	if c.in.Buffered() < 9 {
		return false
	}
	h, _ := c.in.Peek(3) // within what is buffered: no error
	return c.in.Buffered() >= 9+(int(h[0])<<16|int(h[1])<<8|int(h[2]))
}

// end says goodbye as the error asks for, and reads on until the client has closed its side: closing with unread data would
// make TCP reset the connection, and the client lose the GOAWAY.
func (c *conn) end(err error) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return // the linger is over, or the client has closed
	}
	code := http2.ErrCodeNo
	var ce http2.ConnectionError
	var se http2.StreamError
	var tooMany *goAwayError
	switch {
	case errors.As(err, &tooMany):
		c.written(c.framer.WriteGoAway(c.lastID, tooMany.Code, []byte(tooMany.Debug)))
	case errors.As(err, &ce):
		code = http2.ErrCode(ce)
	case errors.As(err, &se):
		code = se.Code // the frame is lost, and with it perhaps HPACK's state: RFC 9113, section 5.4.2, allows to end the connection
	case errors.Is(err, http2.ErrFrameTooLarge):
		code = http2.ErrCodeFrameSize
	default: // the client left, or the network did
		c.mu.Unlock()
		return
	}
	if code != http2.ErrCodeNo {
		c.written(c.framer.WriteGoAway(c.lastID, code, nil))
	}
	c.finish()
	c.mu.Unlock()
	_, _ = io.Copy(io.Discard, c.in) // until the client closes, or the deadline that finish set
}

// goAwayError ends a connection with the GOAWAY.
type goAwayError struct{ GoAway }

func (e *goAwayError) Error() string { return "GOAWAY: " + e.Debug }

// finish writes what is left and closes the sending side; mu is held.
func (c *conn) finish() {
	if c.ended {
		return
	}
	c.flush()
	c.ended = true
	for _, side := range []net.Conn{c.secured, c.raw} { // TLS's close_notify first, then TCP's FIN
		if half, ok := side.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite() // fails where the connection is gone already
		}
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(linger))
}

// cut closes the TCP connection without a word. Safe from any goroutine, and more than once.
func (c *conn) cut() {
	c.cutOnce.Do(func() {
		close(c.closed)
		_ = c.raw.Close()
	})
}

// written takes the error of a Framer's write: out takes everything, so only a frame that must not be sent fails.
func (c *conn) written(err error) {
	if err != nil {
		panic("simulator: " + err.Error())
	}
}

// flush writes what is buffered; mu is held.
func (c *conn) flush() {
	if len(c.out) == 0 {
		return
	}
	if !c.ended {
		_ = c.raw.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := c.secured.Write(c.out); err != nil {
			c.cut() // the reader sees it
		}
	}
	c.out = c.out[:0]
}
