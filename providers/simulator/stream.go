package simulator

import (
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// stream is one request and its answer. The connection's reader fills it; once answered it is used again.
type stream struct {
	id         uint32
	header     header
	body       []byte // request
	tooLong    bool   // body was longer than maxBody
	bodyEnded  bool   // END_STREAM received
	recvWindow int64
	received   time.Time

	token, topic string // of a push that passed the checks: it is accepted when its answer is carried out

	answer     Answer
	apnsID     []byte // to be sent with the answer
	reply      []byte // body of the answer
	rest       []byte // of reply, not yet sent
	sendWindow int64
}

// field takes a decoded header field of the block being read.
func (c *conn) field(f hpack.HeaderField) { c.decoding.header.set(f) }

func (c *conn) onHeaders(f *http2.HeadersFrame) error {
	st, err := c.openStream(f)
	if err != nil {
		return err
	}
	st.bodyEnded = st.bodyEnded || f.StreamEnded()
	c.decoding = st
	c.blockSize = 0
	return c.onBlock(f.HeaderBlockFragment(), f.HeadersEnded())
}

// openStream returns the stream that takes a header block: a new one, an open one for its trailers, or c.trash for
// one that is refused, whose block has to be decoded all the same since HPACK has state.
func (c *conn) openStream(f *http2.HeadersFrame) (*stream, error) {
	id := f.StreamID
	c.mu.Lock()
	defer c.mu.Unlock()
	if st := c.streams[id]; st != nil {
		if st.bodyEnded || !f.StreamEnded() { // RFC 9113, section 8.1: trailers end the stream
			return nil, http2.ConnectionError(http2.ErrCodeStreamClosed)
		}
		st.header.regular = true // no pseudo-header in trailers
		return st, nil
	}
	if id%2 == 0 || id <= c.lastID {
		return nil, http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.lastID = id
	c.trash.id, c.trash.header = id, header{}
	switch {
	case c.draining || c.ended:
		return &c.trash, nil
	case len(c.streams) >= int(c.enforcedLimit()):
		c.srv.stats.refusedStreams.Add(1)
		if c.srv.overLimit != nil {
			c.lastID -= 2
			return nil, &goAwayError{*c.srv.overLimit}
		}
		c.written(c.framer.WriteRSTStream(id, http2.ErrCodeRefusedStream))
		return &c.trash, nil
	}
	st := c.newStream(id)
	c.streams[id] = st
	if n := int64(len(c.streams)); n > c.srv.stats.peakStreams.Load() {
		c.srv.stats.peakStreams.Store(n) // two connections may race; the peak is a hint
	}
	return st, nil
}

// onBlock decodes a piece of a header block and, at its end, serves the request if it is complete.
func (c *conn) onBlock(fragment []byte, ended bool) error {
	st := c.decoding
	// An empty CONTINUATION costs as much as one octet, so that endless empty ones do not pass.
	if c.blockSize += len(fragment) + 1; c.blockSize > maxBlock {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	if _, err := c.decoder.Write(fragment); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	if !ended {
		return nil
	}
	if err := c.decoder.Close(); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	c.decoding = nil
	if st == &c.trash {
		return nil
	}
	if st.header.size > 2*maxHeaderList {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.reset(st.id, http2.ErrCodeEnhanceYourCalm)
		return nil
	}
	if st.bodyEnded {
		c.serveRequest(st)
	}
	return nil
}

func (c *conn) onData(f *http2.DataFrame) error {
	st, err := c.receive(f)
	if err != nil || st == nil {
		return err
	}
	if f.StreamEnded() {
		st.bodyEnded = true
		c.serveRequest(st)
	}
	return nil
}

// receive accounts for a DATA frame and returns its stream, or nil where that is not wanted any more.
func (c *conn) receive(f *http2.DataFrame) (*stream, error) {
	n := int64(f.Length) // padding counts
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recvWindow -= n; c.recvWindow < 0 {
		return nil, http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	c.unreturned += n
	if c.unreturned >= connWindow/2 && !c.conduct.NoWindowUpdates {
		c.written(c.framer.WriteWindowUpdate(0, uint32(c.unreturned)))
		c.recvWindow += c.unreturned
		c.unreturned = 0
	}
	st := c.streams[f.StreamID]
	switch {
	case st == nil && f.StreamID > c.lastID:
		return nil, http2.ConnectionError(http2.ErrCodeProtocol)
	case st == nil:
		return nil, nil // answered, refused or reset meanwhile
	case st.bodyEnded:
		c.reset(st.id, http2.ErrCodeStreamClosed)
		return nil, nil
	}
	if st.recvWindow -= n; st.recvWindow < 0 {
		c.reset(st.id, http2.ErrCodeFlowControl)
		return nil, nil
	}
	if st.recvWindow < defaultWindow/2 && !f.StreamEnded() && !c.conduct.NoWindowUpdates {
		c.written(c.framer.WriteWindowUpdate(st.id, uint32(defaultWindow-st.recvWindow)))
		st.recvWindow = defaultWindow
	}
	data := f.Data()
	if len(st.body)+len(data) > maxBody {
		st.tooLong = true
		data = data[:maxBody-len(st.body)]
	}
	st.body = append(st.body, data...)
	return st, nil
}

// serveRequest has the service decide on a complete request, and answers it now or when its latency has passed.
func (c *conn) serveRequest(st *stream) {
	id := st.id
	if !st.tooLong && !st.header.complete(len(st.body)) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.reset(id, http2.ErrCodeProtocol)
		return
	}
	c.srv.stats.requests.Add(1)
	st.received = c.arrived
	st.reply = st.reply[:0]
	st.answer = c.session.answer(st) // not under mu: it may be a test's function
	latency := c.srv.latency + st.answer.Latency

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[id] != st {
		return // dropped meanwhile by a GOAWAY whose latency had passed
	}
	if latency > 0 {
		c.delay(st, st.received.Add(latency))
		return
	}
	c.carryOut(st)
	if len(c.out) > flushAt {
		c.flush()
	}
}

// carryOut does what the answer of a stream says; mu is held.
func (c *conn) carryOut(st *stream) {
	a := &st.answer
	if a.GoAway != nil {
		id := st.id
		c.srv.account.count("goaway " + a.GoAway.Code.String())
		c.goAway(a.GoAway.lastStream(id), a.GoAway.Code, a.GoAway.Debug)
		if c.streams[id] != st {
			return
		}
	}
	switch {
	case !a.accepts(st.id):
		c.srv.account.count(a.String())
	case st.token != "":
		n := c.srv.account.accept(st.token, st.topic, st.received)
		if c.srv.accepted != nil {
			c.srv.accepted(st.token, Receipt{st.received, st.topic}, n)
		}
	}
	switch {
	case a.Drop:
		c.cut()
	case a.Silent:
	case a.Reset != http2.ErrCodeNo:
		c.reset(st.id, a.Reset)
	default:
		c.respond(st)
	}
}

// respond writes the response of a stream, as far as the client's windows allow; mu is held.
func (c *conn) respond(st *stream) {
	a := &st.answer
	block := appendStatus(c.block[:0], a.Status)
	if len(st.apnsID) > 0 {
		block = appendField(block, "apns-id", st.apnsID)
	}
	switch {
	case a.Body != nil:
		st.reply = append(st.reply[:0], a.Body...)
		block = appendField(block, "content-type", http.DetectContentType(a.Body))
	case len(st.reply) > 0:
		block = appendField(block, "content-type", "application/json; charset=UTF-8")
	}
	if a.RetryAfter != "" {
		block = appendField(block, "retry-after", a.RetryAfter)
	}
	if n := c.conduct.HeaderPadding; n > 0 {
		block = appendField(block, "x-padding", strings.Repeat("x", n))
	}
	c.block = block
	c.writeHeaders(st.id, block, len(st.reply) == 0)
	c.announce(c.streamLimit(a.Status))
	if len(st.reply) == 0 {
		c.removeStream(st)
		return
	}
	st.rest = st.reply
	c.starved++
	c.sendRest(st)
}

func (c *conn) writeHeaders(id uint32, block []byte, end bool) {
	first := block[:min(len(block), maxFrame)]
	rest := block[len(first):]
	c.written(c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(rest) == 0,
	}))
	for len(rest) > 0 {
		next := rest[:min(len(rest), maxFrame)]
		rest = rest[len(next):]
		c.written(c.framer.WriteContinuation(id, len(rest) == 0, next))
	}
}

// sendRest writes as much of a response body as the windows allow; mu is held.
func (c *conn) sendRest(st *stream) {
	for {
		n := int(min(int64(len(st.rest)), c.sendWindow, st.sendWindow, maxFrame))
		if n <= 0 {
			return // onWindowUpdate or onSettings comes back to it
		}
		end := n == len(st.rest)
		c.written(c.framer.WriteData(st.id, end, st.rest[:n]))
		c.sendWindow -= int64(n)
		st.sendWindow -= int64(n)
		st.rest = st.rest[n:]
		if end {
			c.removeStream(st)
			return
		}
	}
}

func (c *conn) sendStarved() {
	if c.starved == 0 {
		return
	}
	for _, st := range c.streams {
		if len(st.rest) > 0 {
			c.sendRest(st)
		}
	}
}

// reset ends a stream by RST_STREAM; mu is held.
func (c *conn) reset(id uint32, code http2.ErrCode) {
	c.written(c.framer.WriteRSTStream(id, code))
	if st := c.streams[id]; st != nil {
		c.removeStream(st)
	}
}

// goAway sends GOAWAY and drops the streams above last; mu is held.
func (c *conn) goAway(last uint32, code http2.ErrCode, debug string) {
	c.written(c.framer.WriteGoAway(last, code, []byte(debug)))
	c.draining = true
	for id, st := range c.streams {
		if id > last {
			c.removeStream(st)
		}
	}
	if len(c.streams) == 0 {
		c.finish()
	}
}

// drain is the server's own GOAWAY, which covers all streams it has seen.
func (c *conn) drain(debug string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.framer == nil || c.draining || c.ended {
		return
	}
	c.goAway(c.lastID, http2.ErrCodeNo, debug)
	c.flush()
}

// streamLimit is the limit that holds after an answer; mu is held.
func (c *conn) streamLimit(status int) uint32 {
	switch {
	case c.conduct.NoStreams:
		return 0
	case c.conduct.MaxStreams > 0:
		return c.conduct.MaxStreams
	}
	return c.session.limit(status)
}

// announce sends a changed stream limit; mu is held.
func (c *conn) announce(limit uint32) {
	if limit == c.announced || c.conduct.NoSettings {
		return
	}
	c.announced = limit
	c.unacked = append(c.unacked, limit)
	c.written(c.framer.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: limit}))
}

// enforcedLimit is the highest limit that the client may still go by; mu is held.
func (c *conn) enforcedLimit() uint32 {
	limit := c.acked
	for _, l := range c.unacked {
		limit = max(limit, l)
	}
	return limit
}

func (c *conn) newStream(id uint32) *stream {
	var st *stream
	if n := len(c.free); n > 0 {
		st = c.free[n-1]
		c.free = c.free[:n-1]
	} else {
		st = &stream{}
	}
	*st = stream{
		id: id, body: st.body[:0], reply: st.reply[:0], apnsID: st.apnsID[:0],
		recvWindow: defaultWindow, sendWindow: c.peerWindow,
	}
	return st
}

// removeStream forgets a stream; the last one of a draining connection ends it. mu is held.
func (c *conn) removeStream(st *stream) {
	if st.rest != nil {
		c.starved--
	}
	delete(c.streams, st.id)
	const keep = 1024 // what a connection keeps for later: as many as it has at a time where answers take their time
	if len(c.free) < keep && cap(st.body) <= maxFrame && cap(st.reply) <= maxFrame {
		c.free = append(c.free, st)
	}
	if c.draining && len(c.streams) == 0 {
		c.finish()
	}
}
