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
	// outKept is the memory for writing that an idle connection keeps, in bytes.
	outKept = 4 << 10
)

// sending is what the writer encodes of a stream in one round: its header, or some of its body, or both.
type sending struct {
	id     uint32
	head   *Head // nil where the header is sent
	path   []byte
	fields []byte
	body   []byte
	ends   bool // with this the body is sent
}

// write sends what there is to send, all of it with one write, until the connection ends.
func (k *conn) write() {
	for {
		more := k.gather()
		if more && len(k.batch) > 0 && len(k.batch) < fewAtOnce {
			// What others are about to hand in goes with the same write (as grpc-go's loopyWriter has it).
			runtime.Gosched()
			more = k.gather()
		}
		k.encode()
		if len(k.out) > 0 {
			k.socket.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := k.socket.Write(k.out); err != nil {
				k.broken(err)
				k.hangUp(false)
				return
			}
			k.out = k.out[:0]
		}
		if !more {
			break
		}
		if len(k.out) == 0 && !k.busy() {
			if cap(k.out) > outKept {
				k.out, k.batch = nil, nil
			}
			<-k.wake
		}
	}
	k.hangUp(true)
}

// gather takes what is to be sent into k.out and k.batch; false where it is the last of the connection.
func (k *conn) gather() bool {
	c := k.client
	c.mu.Lock()
	defer c.mu.Unlock()
	k.out = append(k.out, k.control...)
	k.control = k.control[:0]
	if k.state == ended {
		k.batch = k.batch[:0]
		return false
	}
	if k.tableSize != nil {
		k.heads.resize(*k.tableSize)
		k.tableSize = nil
	}
	if k.stuck > 0 && k.window > 0 {
		k.unstick()
	}
	if k.state == open && c.options.Authorization != nil && !k.authorize() {
		return true
	}
	now := c.now()
	for n := k.free(); n > 0 && len(k.batch) < mostAtOnce && k.group.waiting.n > 0; n-- {
		if k.table.next >= lastID {
			k.age = 0 // it is replaced as one that is too old
			var none outbox
			k.drain(&none) // it has streams, or it would have had ids
			break
		}
		k.begin(k.group.waiting.pop(), now)
		if k.window <= 0 {
			break
		}
	}
	return true
}

// authorize sees to it that the connection's requests all have the authorization it began with, which is the current one.
func (k *conn) authorize() bool {
	current := k.client.options.Authorization()
	if k.authorization == "" {
		k.authorization = current
	}
	if k.authorization == current {
		return true
	}
	var out outbox
	k.drain(&out) // it may end the connection, but has no stream then, and so no answer
	return false
}

// begin makes a stream of a job.
func (k *conn) begin(j job, now time.Duration) {
	st := k.table.open(j, now, k.initial)
	s := sending{id: st.id, head: j.Head, path: j.Path, fields: j.Fields}
	s.body, s.ends = k.some(st)
	if !s.ends {
		k.stuck++
	}
	k.batch = append(k.batch, s)
}

// some takes as much of a stream's body as the windows allow.
func (k *conn) some(st *stream) (body []byte, ends bool) {
	left := st.Body[st.sent:]
	n := max(0, min(int64(len(left)), st.window, k.window))
	st.sent += int(n)
	st.window -= n
	k.window -= n
	return left[:n], int(n) == len(left)
}

// unstick sends on with bodies that waited for a window.
func (k *conn) unstick() {
	for i := range k.table.places {
		st := &k.table.places[i]
		if st.id == 0 || st.sent == len(st.Body) || st.window <= 0 || k.window <= 0 {
			continue
		}
		s := sending{id: st.id}
		if s.body, s.ends = k.some(st); s.ends {
			k.stuck--
		}
		k.batch = append(k.batch, s)
	}
}

// busy says whether there is more to send at once.
func (k *conn) busy() bool {
	c := k.client
	c.mu.Lock()
	defer c.mu.Unlock()
	return k.state == ended || len(k.control) > 0 || k.free() > 0 && k.group.waiting.n > 0
}

// encode makes frames of the batch.
func (k *conn) encode() {
	for i := range k.batch {
		s := &k.batch[i]
		if s.head != nil {
			k.encodeHeader(s)
		}
		for body := s.body; len(body) > 0 || s.ends; {
			n := min(len(body), maxFrame)
			last := n == len(body)
			var flags http2.Flags
			if last && s.ends {
				flags = http2.FlagDataEndStream
			}
			k.out = append(appendFrameHeader(k.out, n, http2.FrameData, flags, s.id), body[:n]...)
			body = body[n:]
			if last {
				break
			}
		}
	}
	clear(k.batch)
	k.batch = k.batch[:0]
}

// encodeHeader makes a HEADERS frame, and CONTINUATION frames of what does not fit into it.
func (k *conn) encodeHeader(s *sending) {
	start := len(k.out)
	k.out = appendFrameHeader(k.out, 0, http2.FrameHeaders, http2.FlagHeadersEndHeaders, s.id)
	pseudo, fields := k.heads.encode(s.head)
	k.out = append(k.out, pseudo...)
	k.out = appendIndexed(k.out, indexPath, s.path)
	k.out = append(k.out, fields...)
	if k.authorization != "" { // written by this goroutine only
		if k.bearerOf != k.authorization {
			k.bearer, k.bearerOf = appendIndexed(nil, indexAuthorization, k.authorization), k.authorization
		}
		k.out = append(k.out, k.bearer...)
	}
	k.out = append(k.out, s.fields...)
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
		k.out = append(appendFrameHeader(k.out, n, kind, flags, s.id), block[:n]...)
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
