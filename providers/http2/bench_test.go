package http2

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// bare is a server that does as little as a server can: it answers 200 to each END_STREAM, all that came with one read by
// one write, and gives the window back.
func bare(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	if _, err := in.Discard(len(http2.ClientPreface)); err != nil {
		return
	}
	out := append(appendFrameHeader(nil, 0, http2.FrameSettings, 0, 0), appendWindowUpdate(nil, 0, 1<<30)...)
	window := 0
	for {
		if in.Buffered() < frameHeader && len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
		head, err := in.Peek(frameHeader)
		if err != nil {
			return
		}
		kind, flags, length, id := http2.FrameType(head[3]), http2.Flags(head[4]), frameLength(head), binary.BigEndian.Uint32(head[5:])
		if _, err := in.Discard(frameHeader + length); err != nil {
			return
		}
		if kind == http2.FrameSettings && !flags.Has(http2.FlagSettingsAck) {
			out = appendFrameHeader(out, 0, http2.FrameSettings, http2.FlagSettingsAck, 0)
		}
		if kind != http2.FrameData {
			continue
		}
		if window += length; window > 1<<20 {
			out = appendWindowUpdate(out, 0, window)
			window = 0
		}
		if flags.Has(http2.FlagDataEndStream) {
			out = append(appendFrameHeader(out, 1, http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id), indexedStatus200)
		}
	}
}

// room is a Caller that lets so many requests be under way.
type room struct {
	b     *testing.B
	free  chan struct{}
	under sync.WaitGroup
}

func (r *room) Answered(answers []Answer) {
	for i := range answers {
		if answers[i].Failure != nil {
			r.b.Error(answers[i].Failure)
		}
		<-r.free
	}
	r.under.Add(-len(answers))
}

// BenchmarkClient sends batches of 100 requests as a push has them, with up to 1000 under way, over TCP without TLS to a
// bare server in the same process.
func BenchmarkClient(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go bare(conn)
		}
	}()
	var dialer net.Dialer
	c := New(func(ctx context.Context) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", listener.Addr().String())
	}, Options{
		Provider: "test", Connections: 1, Streams: 1000, RequestTimeout: patience, SettingsWithin: patience, PingInterval: time.Hour,
		PingTimeout: patience, Metrics: newMetrics(),
	}, slog.New(slog.DiscardHandler))
	defer c.Close()

	const batch = 100
	r := &room{b: b, free: make(chan struct{}, 1000)}
	head := NewHead("api.push.apple.com", hpack.HeaderField{Name: "apns-topic", Value: "com.apple.mgmt.External.5a1f2c4e"}, hpack.HeaderField{Name: "apns-push-type", Value: "mdm"})
	path, body := append([]byte("/3/device/"), bytes.Repeat([]byte("0a"), 32)...), []byte(`{"mdm":"5a1f2c4e-7d0b-4b8e-9f53-1c2d3e4f5a6b"}`)
	fields := AppendField(nil, "apns-expiration", "1800000000")
	requests := make([][]Request, 2+cap(r.free)/batch) // a slice is the client's until all of it is answered
	for i := range requests {
		requests[i] = make([]Request, batch)
		for j := range requests[i] {
			requests[i][j] = Request{Head: head, Path: path, Fields: fields, Body: body}
		}
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(path) + len(fields) + len(body)))
	b.ResetTimer()
	for n, i := b.N, 0; n > 0; n, i = n-batch, i+1 {
		part := requests[i%len(requests)][:min(n, batch)]
		for range part {
			r.free <- struct{}{}
		}
		r.under.Add(len(part))
		c.Send(r, part)
	}
	r.under.Wait()
}

// BenchmarkReader handles answers without a socket: 256 of 200 with one read.
func BenchmarkReader(b *testing.B) {
	const answers = 256
	var answer []byte
	encoder := hpack.NewEncoder(writerFunc(func(p []byte) (int, error) { answer = append(answer, p...); return len(p), nil }))
	for _, f := range []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "apns-id", Value: "EC1BF194-B3B2-424A-89A9-5A918A6E6B5E", Sensitive: true}} {
		if err := encoder.WriteField(f); err != nil {
			b.Fatal(err)
		}
	}
	c := New(nil, Options{Provider: "test", Connections: 1, Streams: answers, Metrics: newMetrics()}, slog.New(slog.DiscardHandler))
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	k := newConn(&c.ordinary, ours)
	k.state = open
	r := &room{b: b, free: make(chan struct{}, answers)}
	request := Request{Head: NewHead("server.test")}
	input := new(bytes.Reader)
	var out outbox
	var frames []byte
	b.ReportAllocs()
	for n := 0; n < b.N; n += answers {
		frames = frames[:0]
		for range answers {
			st := k.table.open(job{Request: &request, by: r}, 0, defaultWindow)
			frames = append(appendFrameHeader(frames, len(answer), http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, st.id), answer...)
			r.free <- struct{}{}
		}
		r.under.Add(answers)
		input.Reset(frames)
		k.in.Reset(input)
		for {
			if _, err := k.in.Peek(frameHeader); err == io.EOF {
				break
			}
			if !k.frames(&out) {
				b.Fatal("the connection ended")
			}
			out.deliver(c)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
