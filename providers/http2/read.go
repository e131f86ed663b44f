package http2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/net/http2"

	"pushd/providers/connection"
)

// read handles what the server sends, all that came with one read under one lock, until the connection ends.
func (k *conn) read() {
	c := k.client
	for {
		if err := k.await(); err != nil {
			var broken protocolError
			if errors.As(err, &broken) {
				k.fail(broken)
			} else {
				k.broken(err)
			}
			return
		}
		out := outboxes.Get().(*outbox)
		c.mu.Lock()
		more := k.frames(out)
		c.mu.Unlock()
		out.deliver(c)
		outboxes.Put(out)
		if !more {
			return
		}
	}
}

// await waits for a whole frame.
func (k *conn) await() error {
	head, err := k.in.Peek(frameHeader)
	if err != nil {
		return err
	}
	length := frameLength(head)
	if length > maxFrame {
		return protocolError{http2.ErrCodeFrameSize, fmt.Sprintf("a frame of %d bytes", length)}
	}
	_, err = k.in.Peek(frameHeader + length)
	return err
}

func frameLength(head []byte) int { return int(head[0])<<16 | int(head[1])<<8 | int(head[2]) }

// frames handles the whole frames that were read; Client.mu is held. It says whether to go on.
func (k *conn) frames(out *outbox) bool {
	now := k.client.now()
	for k.whole() {
		if k.state == ended {
			return false
		}
		k.heard = now
		head, _ := k.in.Peek(frameHeader)
		frame, _ := k.in.Peek(frameHeader + frameLength(head))
		err := k.handle(frame, now, out)
		k.in.Discard(len(frame))
		if err == nil && len(k.control) > maxControl {
			err = protocolError{http2.ErrCodeEnhanceYourCalm, "more frames to be answered than are read"}
		}
		if err != nil {
			k.end(&connection.Failure{Kind: connection.Lost, Err: err}, out)
			return false
		}
	}
	if k.group.waiting.n > 0 && k.free() > 0 {
		k.rouse()
	}
	k.endIfDrained(out)
	return k.state != ended
}

// whole says whether a whole frame is in the buffer, of a size that is allowed.
func (k *conn) whole() bool {
	n := k.in.Buffered()
	if n < frameHeader {
		return false
	}
	head, _ := k.in.Peek(frameHeader)
	length := frameLength(head)
	return length <= maxFrame && n >= frameHeader+length
}

// fail ends the connection over what the server did.
func (k *conn) fail(broken protocolError) {
	var out outbox
	k.client.mu.Lock()
	k.end(&connection.Failure{Kind: connection.Lost, Err: broken}, &out)
	k.client.mu.Unlock()
	out.deliver(k.client)
}

// handle handles one frame. HEADERS, CONTINUATION and DATA, of which there is one or two for each request, are read as they
// lie in the buffer; the others by x/net's Framer.
func (k *conn) handle(frame []byte, now time.Duration, out *outbox) error {
	kind, flags := http2.FrameType(frame[3]), http2.Flags(frame[4])
	id := binary.BigEndian.Uint32(frame[5:]) & (1<<31 - 1)
	payload := frame[frameHeader:]
	switch {
	case k.continuing != 0 && (kind != http2.FrameContinuation || id != k.continuing):
		return protocolError{http2.ErrCodeProtocol, fmt.Sprintf("%v within a header block", kind)}
	case k.state == making && (kind != http2.FrameSettings || flags.Has(http2.FlagSettingsAck)) && kind != http2.FrameGoAway:
		return protocolError{http2.ErrCodeProtocol, fmt.Sprintf("%v before its SETTINGS", kind)}
	}
	switch kind {
	case http2.FrameHeaders:
		return k.handleHeaders(payload, flags, id, now, out)
	case http2.FrameContinuation:
		return k.handleContinuation(payload, flags, id, now, out)
	case http2.FrameData:
		return k.handleData(payload, flags, id, now, out)
	}
	k.frame.Reset(frame)
	f, err := k.framer.ReadFrame()
	if err != nil {
		return k.framing(err, kind, id, now, out)
	}
	switch f := f.(type) {
	case *http2.SettingsFrame:
		return k.handleSettings(f, out)
	case *http2.PingFrame:
		k.handlePing(f, now)
	case *http2.GoAwayFrame:
		k.handleGoAway(f, now, out)
	case *http2.WindowUpdateFrame:
		return k.handleWindow(f, now, out)
	case *http2.RSTStreamFrame:
		return k.handleReset(f, now, out)
	case *http2.PushPromiseFrame:
		return protocolError{http2.ErrCodeProtocol, "PUSH_PROMISE, which is switched off"}
	}
	return nil // PRIORITY, and what later standards bring, is ignored
}

// framing turns an error of x/net's Framer into ours: it concerns the connection, or one stream.
func (k *conn) framing(err error, kind http2.FrameType, id uint32, now time.Duration, out *outbox) error {
	var connErr http2.ConnectionError
	var streamErr http2.StreamError
	switch {
	case errors.As(err, &streamErr):
		if st := k.table.find(id); st != nil {
			k.reset(st, streamErr.Code, resetFailure(streamErr.Code), now, out)
		}
		return nil
	case errors.As(err, &connErr):
		return protocolError{http2.ErrCode(connErr), fmt.Sprintf("a malformed %v", kind)}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, http2.ErrFrameTooLarge):
		return protocolError{http2.ErrCodeFrameSize, fmt.Sprintf("a malformed %v", kind)}
	}
	return protocolError{http2.ErrCodeProtocol, err.Error()}
}

// idle refuses what a server may only send on a stream that was opened.
func (k *conn) idle(id uint32, kind http2.FrameType) error {
	if id == 0 || id%2 == 0 || id >= k.table.next {
		return protocolError{http2.ErrCodeProtocol, fmt.Sprintf("%v on stream %d, which was never opened", kind, id)}
	}
	return nil
}

func (k *conn) handleSettings(f *http2.SettingsFrame, out *outbox) error {
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			var code http2.ConnectionError
			errors.As(err, &code)
			return protocolError{http2.ErrCode(code), fmt.Sprintf("setting %v", s)}
		}
		switch s.ID {
		case http2.SettingMaxConcurrentStreams:
			k.limit = int(min(s.Val, 1<<30))
		case http2.SettingInitialWindowSize:
			return k.setInitialWindow(int64(s.Val))
		case http2.SettingHeaderTableSize:
			k.heads.resize(s.Val)
		case http2.SettingEnablePush:
			if s.Val != 0 {
				return protocolError{http2.ErrCodeProtocol, "a server that wants to be pushed to"}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.control = appendFrameHeader(k.control, 0, http2.FrameSettings, http2.FlagSettingsAck, 0)
	k.rouse()
	if k.state == making {
		k.state = open
		k.group.opened(k, out)
	}
	return nil
}

// setInitialWindow changes the windows of all streams with it (RFC 9113, section 6.9.2).
func (k *conn) setInitialWindow(n int64) error {
	change := n - k.initial
	k.initial = n
	for i := range k.table.places {
		if st := &k.table.places[i]; st.id != 0 {
			if st.window += change; st.window > maxWindow {
				return protocolError{http2.ErrCodeFlowControl, "a window beyond 2^31-1"}
			}
		}
	}
	return nil
}

const maxWindow = 1<<31 - 1

func (k *conn) handlePing(f *http2.PingFrame, now time.Duration) {
	if !f.IsAck() {
		k.control = append(appendFrameHeader(k.control, 8, http2.FramePing, http2.FlagPingAck, 0), f.Data[:]...)
		k.rouse()
		return
	}
	if k.pinged != 0 && binary.BigEndian.Uint64(f.Data[:]) == uint64(k.pinged) {
		k.client.options.Metrics.RoundTrip.WithLabelValues(k.client.options.Provider).Observe((now - k.pinged).Seconds())
		k.pinged = 0
	}
}

// handleGoAway lets the connection drain. Streams above the last one that the server means to answer go elsewhere.
func (k *conn) handleGoAway(f *http2.GoAwayFrame, now time.Duration, out *outbox) {
	c := k.client
	debug := append([]byte(nil), f.DebugData()...)
	c.options.Metrics.GoAways.WithLabelValues(c.options.Provider, connection.GoAwayLabel(c.options.GoAwayReason, f.ErrCode, debug)).Inc()
	k.goAway = &connection.Failure{Kind: connection.GoAway, Unprocessed: true, Debug: debug,
		Err: fmt.Errorf("the server ends the connection: %v %q", f.ErrCode, debug)}
	refuses := c.options.Refuses(debug)
	if k.state == making {
		k.end(k.goAway, out)
		return
	}
	k.close()
	for i := range k.table.places {
		st := &k.table.places[i]
		switch {
		case st.id <= f.LastStreamID: // free places have 0
		case refuses:
			k.finish(st, k.goAway, now, out)
		default:
			k.unprocessed(st, k.goAway, now, out)
		}
	}
	if refuses && len(k.group.open) == 0 {
		k.group.failWaiting(k.goAway, out)
	}
	k.group.rouse()
	k.endIfDrained(out)
}

func (k *conn) handleWindow(f *http2.WindowUpdateFrame, now time.Duration, out *outbox) error {
	k.rouse()
	if f.StreamID == 0 {
		if k.window += int64(f.Increment); k.window > maxWindow {
			return protocolError{http2.ErrCodeFlowControl, "a window beyond 2^31-1"}
		}
		return nil
	}
	if err := k.idle(f.StreamID, f.Type); err != nil {
		return err
	}
	if st := k.table.find(f.StreamID); st != nil {
		if st.window += int64(f.Increment); st.window > maxWindow {
			k.reset(st, http2.ErrCodeFlowControl, resetFailure(http2.ErrCodeFlowControl), now, out)
		}
	}
	return nil
}

func (k *conn) handleReset(f *http2.RSTStreamFrame, now time.Duration, out *outbox) error {
	if err := k.idle(f.StreamID, f.Type); err != nil {
		return err
	}
	st := k.table.find(f.StreamID)
	switch {
	case st == nil:
	case st.status != 0: // the rest of an answer whose status is known changes nothing
		k.finish(st, nil, now, out)
	case f.ErrCode == http2.ErrCodeRefusedStream:
		k.unprocessed(st, &connection.Failure{Kind: connection.RefusedStream, Unprocessed: true, Err: errRefused}, now, out)
		k.group.rouse()
	default:
		k.finish(st, resetFailure(f.ErrCode), now, out)
	}
	return nil
}

var errRefused = errors.New("the server refused the stream")

func resetFailure(code http2.ErrCode) *connection.Failure {
	return &connection.Failure{Kind: connection.Reset, Err: fmt.Errorf("the stream was reset: %v", code)}
}
