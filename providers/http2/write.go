package http2

import (
	"net"
	"runtime"
	"time"

	"golang.org/x/net/http2"

	"pushd/providers/connection"
)

const (
	// writeTimeout is how long the server may take nothing of what is written.
	writeTimeout = 10 * time.Second
	// farewell is how long the last frames of a connection that ends may take.
	farewell = 250 * time.Millisecond
	// mostAtOnce bounds the requests of one write, so that the server has something to do before all are encoded.
	mostAtOnce = 256
	// fewAtOnce: where there are fewer, others may be about to come.
	fewAtOnce = 16
)

// write sends what there is to send, all of it with one write, until the connection ends.
func (k *conn) write() {
	for {
		out, begun, more := k.gather(0)
		if 0 < begun && begun < fewAtOnce {
			// What others are about to hand in goes with the same write (as grpc-go's loopyWriter has it).
			runtime.Gosched()
			out, _, more = k.gather(begun)
		}
		if len(out) > 0 {
			if _, err := k.socket.Write(out); err != nil {
				k.broken(err)
				k.hangUp(false)
				return
			}
			continue
		}
		if !more {
			break
		}
		<-k.wake
	}
	k.hangUp(true)
}

// gather encodes what is to be sent: of new requests as many as are allowed at once, less those that were begun for this
// write before. It says what to write, for how many, and whether the connection goes on.
//
// It encodes with the lock held: a request is its caller's again as soon as it is answered, which can be any time.
func (k *conn) gather(before int) (out []byte, begun int, more bool) {
	c := k.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if before == 0 {
		k.out = k.out[:0] // it was written
	}
	k.out = append(k.out, k.control...)
	k.control = k.control[:0]
	if k.state == ended {
		return k.out, before, false
	}
	begun = k.encode(before)
	k.writing = len(k.out) > 0
	if k.writing && k.state != ended {
		// With the lock held: otherwise it could undo the deadline of a connection that ends.
		k.socket.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	return k.out, begun, true
}

// encode is gather for a connection that goes on.
func (k *conn) encode(before int) (begun int) {
	if k.stuck > 0 && k.window > 0 {
		k.unstick()
	}
	if k.state != open || k.group.waiting.n == 0 || k.client.options.Authorization != nil && !k.authorize() {
		return before
	}
	now := k.client.now()
	for begun = before; begun < mostAtOnce && k.free() > 0 && k.group.waiting.n > 0; begun++ {
		if k.table.next >= lastID {
			k.retire()
			break
		}
		k.begin(k.group.waiting.pop(), now)
	}
	if k.free() == 0 {
		k.group.rouse() // others, where something is left
	}
	return begun
}

// authorize sees to it that the connection's requests all have the authorization it began with, which is the current one.
func (k *conn) authorize() bool {
	current := k.client.options.Authorization()
	if k.authorization == "" {
		k.authorization = current
	}
	switch g := k.group; {
	case k.authorization == current:
		return true
	case len(g.open) == 1:
		// The old one is good for a while yet: nothing waits for the handshake of the connection that comes in its place.
		g.replace()
		return true
	}
	k.retire()
	return false
}

// retire is drain for the writer: where that ends the connection there is no stream, and so nothing to be told.
func (k *conn) retire() {
	var none outbox
	k.drain(&none)
}

// begin makes a stream of a job.
func (k *conn) begin(j job, now time.Duration) {
	st := k.table.open(j, now, k.initial)
	k.encodeHeader(st.id, j.Request)
	if !k.encodeBody(st) {
		k.stuck++
	}
}

// encodeBody makes DATA frames of as much of a stream's body as the windows allow, and says whether that is all.
func (k *conn) encodeBody(st *stream) (ends bool) {
	for {
		left := st.Body[st.sent:]
		n := int(max(0, min(int64(len(left)), st.window, k.window, maxFrame)))
		if ends = n == len(left); n == 0 && !ends {
			return false
		}
		var flags http2.Flags
		if ends {
			flags = http2.FlagDataEndStream
		}
		k.out = append(appendFrameHeader(k.out, n, http2.FrameData, flags, st.id), left[:n]...)
		st.sent += n
		st.window -= int64(n)
		k.window -= int64(n)
		if ends {
			return true
		}
	}
}

// unstick sends on with bodies that waited for a window.
func (k *conn) unstick() {
	for i := range k.table.places {
		st := &k.table.places[i]
		if st.id != 0 && st.sent < len(st.Body) && st.window > 0 && k.window > 0 && k.encodeBody(st) {
			k.stuck--
		}
	}
}

// encodeHeader makes a HEADERS frame, and CONTINUATION frames of what does not fit into it.
func (k *conn) encodeHeader(id uint32, r *Request) {
	start := len(k.out)
	k.out = appendFrameHeader(k.out, 0, http2.FrameHeaders, http2.FlagHeadersEndHeaders, id)
	pseudo, fields := k.heads.encode(r.Head)
	k.out = append(k.out, pseudo...)
	k.out = appendIndexed(k.out, indexPath, r.Path)
	k.out = append(k.out, fields...)
	if k.authorization != "" { // written by this goroutine only
		if k.bearerOf != k.authorization {
			k.bearer, k.bearerOf = appendIndexed(nil, indexAuthorization, k.authorization), k.authorization
		}
		k.out = append(k.out, k.bearer...)
	}
	k.out = append(k.out, r.Fields...)
	length := len(k.out) - start - frameHeader
	if length <= maxFrame {
		k.out[start], k.out[start+1], k.out[start+2] = byte(length>>16), byte(length>>8), byte(length)
		return
	}
	block := append([]byte(nil), k.out[start+frameHeader:]...)
	k.out = k.out[:start]
	for kind := http2.FrameHeaders; len(block) > 0; kind = http2.FrameContinuation {
		n := min(len(block), maxFrame)
		var flags http2.Flags
		if n == len(block) {
			flags = http2.FlagHeadersEndHeaders
		}
		k.out = append(appendFrameHeader(k.out, n, kind, flags, id), block[:n]...)
		block = block[n:]
	}
}

// broken ends the connection over an error of reading or writing.
func (k *conn) broken(err error) {
	var out outbox
	c := k.client
	c.mu.Lock()
	k.end(k.whyBroken(err), &out)
	c.mu.Unlock()
	out.deliver(c)
}

// whyBroken is what an error of the socket means for the streams: a GOAWAY before says it better.
func (k *conn) whyBroken(err error) *connection.Failure {
	if k.goAway != nil {
		return &connection.Failure{Kind: connection.GoAway, Debug: k.goAway.Debug, Err: err}
	}
	return connection.LostFailure(err)
}

// hangUp closes the socket. A TLS connection says goodbye, which could take long where the last write failed.
func (k *conn) hangUp(politely bool) {
	if raw, ok := k.socket.(interface{ NetConn() net.Conn }); ok && !politely {
		raw.NetConn().Close()
		return
	}
	k.socket.Close()
}
