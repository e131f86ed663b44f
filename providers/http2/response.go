package http2

import (
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"pushd/providers/connection"
)

const (
	// maxBody bounds what is kept of an answer that is not 200, in bytes: APNs and FCM answer in fewer than 2000.
	maxBody = 4 << 10
	// maxAnswer is where a body is not waited for any longer; it is below a stream's window, so none stands still.
	maxAnswer = 32 << 10
	// maxBlock bounds a header block, with all its CONTINUATION frames.
	maxBlock = 64 << 10
)

// header is what is looked at of an answer's header, or trailer.
type header struct {
	status     int
	retryAfter string
	malformed  bool
}

func (h *header) take(f hpack.HeaderField) {
	switch f.Name {
	case ":status":
		status, err := strconv.Atoi(f.Value)
		if h.malformed = h.malformed || h.status != 0 || err != nil || len(f.Value) != 3 || status < 100; !h.malformed {
			h.status = status
		}
	case "retry-after":
		h.retryAfter = f.Value
	}
}

// handleHeaders takes the first part of a header block, mostly all of it. False padding ends the connection, since without
// the block the dynamic table is not the server's any more.
func (k *conn) handleHeaders(payload []byte, flags http2.Flags, id uint32, now time.Duration, out *outbox) error {
	if err := k.idle(id, http2.FrameHeaders); err != nil {
		return err
	}
	block, ok := unpad(payload, flags.Has(http2.FlagHeadersPadded))
	if ok && flags.Has(http2.FlagHeadersPriority) {
		if ok = len(block) >= 5; ok {
			block = block[5:]
		}
	}
	if !ok {
		return protocolError{http2.ErrCodeProtocol, "HEADERS with false padding"}
	}
	ends := flags.Has(http2.FlagHeadersEndStream)
	if !flags.Has(http2.FlagHeadersEndHeaders) {
		k.continuing, k.endsStream, k.block = id, ends, append(k.block[:0], block...)
		return nil
	}
	return k.handleBlock(block, id, ends, now, out)
}

func (k *conn) handleContinuation(payload []byte, flags http2.Flags, id uint32, now time.Duration, out *outbox) error {
	if k.continuing == 0 {
		return protocolError{http2.ErrCodeProtocol, "CONTINUATION without HEADERS"}
	}
	last := flags.Has(http2.FlagContinuationEndHeaders)
	if k.block = append(k.block, payload...); len(k.block) > maxBlock || len(payload) == 0 && !last {
		return protocolError{http2.ErrCodeEnhanceYourCalm, "a header block without end"}
	}
	if !last {
		return nil
	}
	block := k.block
	k.continuing, k.block = 0, nil
	return k.handleBlock(block, id, k.endsStream, now, out)
}

// indexedStatus200 is how a header block begins whose status is 200 (RFC 7541, appendix A).
const indexedStatus200 = 0x88

// handleBlock handles a whole header block. Of one that begins with 200 nothing else is looked at: it is decoded for the
// sake of the dynamic table, without making strings.
func (k *conn) handleBlock(block []byte, id uint32, ends bool, now time.Duration, out *outbox) error {
	st := k.table.find(id)
	k.header = header{}
	fine := len(block) > 0 && block[0] == indexedStatus200
	k.decoder.SetEmitEnabled(!fine && st != nil)
	if _, err := k.decoder.Write(block); err != nil {
		return protocolError{http2.ErrCodeCompression, "a header that cannot be decoded"}
	}
	if err := k.decoder.Close(); err != nil {
		return protocolError{http2.ErrCodeCompression, "a header that cannot be decoded"}
	}
	if fine {
		k.header.status = http.StatusOK
	}
	if st == nil {
		return nil // of a stream that was given up
	}
	trailer := st.status != 0
	switch h := &k.header; {
	case h.malformed, trailer && (h.status != 0 || !ends), !trailer && h.status == 0, h.status == http.StatusSwitchingProtocols:
		k.reset(st, http2.ErrCodeProtocol, &connection.Failure{Kind: connection.Reset, Err: errMalformed}, now, out)
		return nil
	case h.status >= 100 && h.status < 200:
		if ends {
			k.reset(st, http2.ErrCodeProtocol, &connection.Failure{Kind: connection.Reset, Err: errMalformed}, now, out)
		}
		return nil // the answer is yet to come
	case !trailer:
		st.status, st.retryAfter = h.status, h.retryAfter
	}
	if ends {
		k.answered(st, now, out)
	}
	return nil
}

var errMalformed = protocolError{http2.ErrCodeProtocol, "a malformed answer"}

// answered finishes a stream whose answer is whole. A body that the server did not want any more is not sent on.
func (k *conn) answered(st *stream, now time.Duration, out *outbox) {
	if st.sent < len(st.Body) {
		k.control = appendReset(k.control, st.id, http2.ErrCodeCancel)
		k.rouse()
	}
	k.finish(st, nil, now, out)
}

func (k *conn) handleData(payload []byte, flags http2.Flags, id uint32, now time.Duration, out *outbox) error {
	if err := k.idle(id, http2.FrameData); err != nil {
		return err
	}
	body, ok := unpad(payload, flags.Has(http2.FlagDataPadded))
	if !ok {
		return protocolError{http2.ErrCodeProtocol, "DATA with false padding"}
	}
	k.account(len(payload))
	st := k.table.find(id)
	if st == nil {
		return nil
	}
	ends := flags.Has(http2.FlagDataEndStream)
	if st.status == 0 {
		k.reset(st, http2.ErrCodeProtocol, &connection.Failure{Kind: connection.Reset, Err: errMalformed}, now, out)
		return nil
	}
	if st.read += len(payload); st.status != http.StatusOK && len(st.body) < maxBody {
		st.body = append(st.body, body[:min(len(body), maxBody-len(st.body))]...)
	}
	switch {
	case ends:
		k.answered(st, now, out)
	case st.read > maxAnswer:
		k.reset(st, http2.ErrCodeCancel, nil, now, out)
	}
	return nil
}

// account gives the server back the window that an answer took.
func (k *conn) account(n int) {
	if k.received += n; k.received >= ourWindow/2 {
		k.control = appendWindowUpdate(k.control, 0, k.received)
		k.received = 0
		k.rouse()
	}
}

// unpad takes the padding off a payload (RFC 9113, section 6.1).
func unpad(payload []byte, padded bool) ([]byte, bool) {
	if !padded {
		return payload, true
	}
	if len(payload) == 0 || int(payload[0]) > len(payload)-1 {
		return nil, false
	}
	return payload[1 : len(payload)-int(payload[0])], true
}
