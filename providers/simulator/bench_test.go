package simulator

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The client of these benchmarks is as cheap as can be: it sends batches of frames made beforehand, and counts responses
// by their frame headers. So the figures are the server's, but for TLS on both sides.

const (
	benchBatch    = 100
	benchUnderWay = 8 * benchBatch
)

// batch is the frames of benchBatch requests; number puts stream ids in.
type batch struct {
	frames []byte
	heads  []int // offsets of frame headers
}

func (b *batch) number(first uint32) {
	for i, at := range b.heads {
		binary.BigEndian.PutUint32(b.frames[at+5:], first+2*uint32(i/2))
	}
}

// newBatch encodes requests of the form that Apple advises: the path a literal, the rest from the dynamic table.
func newBatch(enc *hpack.Encoder, block *bytes.Buffer, body func(i int) string, path func(i int) string, fields ...string) *batch {
	var out bytes.Buffer
	framer := http2.NewFramer(&out, nil)
	b := &batch{}
	for i := range benchBatch {
		block.Reset()
		write := func(name, value string, sensitive bool) {
			if err := enc.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: sensitive}); err != nil {
				panic(err)
			}
		}
		write(":method", "POST", false)
		write(":scheme", "https", false)
		write(":path", path(i), true)
		write(":authority", "localhost", false)
		for j := 0; j < len(fields); j += 2 {
			write(fields[j], fields[j+1], false)
		}
		b.heads = append(b.heads, out.Len())
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
			panic(err)
		}
		b.heads = append(b.heads, out.Len())
		if err := framer.WriteData(1, true, []byte(body(i))); err != nil {
			panic(err)
		}
	}
	b.frames = out.Bytes()
	return b
}

// runRequests sends requests over a connection, with a few batches under way.
func runRequests(b *testing.B, conn *tls.Conn, body, path func(i int) string, fields ...string) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	first := newBatch(enc, &block, body, path, fields...)
	rest := newBatch(enc, &block, body, path, fields...)
	var hello bytes.Buffer
	hello.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&hello, nil)
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}); err != nil {
		b.Fatal(err)
	}
	if err := framer.WriteWindowUpdate(0, 1<<30); err != nil {
		b.Fatal(err)
	}
	in := bufio.NewReaderSize(conn, 64<<10)
	send := func(batch *batch, n int) {
		batch.number(uint32(n)*2 + 1)
		if _, err := conn.Write(batch.frames); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := conn.Write(hello.Bytes()); err != nil {
		b.Fatal(err)
	}
	send(first, 0)
	awaitResponses(b, in, benchBatch)
	sent, answered := benchBatch, benchBatch
	b.ReportAllocs()
	b.ResetTimer()
	for answered < b.N+benchBatch {
		for sent-answered < benchUnderWay {
			send(rest, sent)
			sent += benchBatch
		}
		answered += benchBatch
		awaitResponses(b, in, benchBatch)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// awaitResponses reads frames until n of them have ended a stream.
func awaitResponses(b *testing.B, in *bufio.Reader, n int) {
	var h [9]byte
	for n > 0 {
		if _, err := io.ReadFull(in, h[:]); err != nil {
			b.Fatal(err)
		}
		if _, err := in.Discard(int(h[0])<<16 | int(h[1])<<8 | int(h[2])); err != nil {
			b.Fatal(err)
		}
		switch kind := http2.FrameType(h[3]); {
		case kind == http2.FrameGoAway, kind == http2.FrameRSTStream:
			b.Fatalf("got %v", kind)
		case kind <= http2.FrameHeaders && h[4]&byte(http2.FlagDataEndStream) != 0: // of DATA or HEADERS
			n--
		}
	}
}

func benchTokens() func(i int) string {
	return func(i int) string { return fmt.Sprintf("%s%064x", devicePath, i) }
}

func dialBench(b *testing.B, addr string, certs ...tls.Certificate) *tls.Conn {
	conn, err := tls.Dial("tcp", addr, &tls.Config{
		RootCAs: authority().Pool(), Certificates: certs, NextProtos: []string{"h2"}, ServerName: "localhost",
		DynamicRecordSizingDisabled: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return conn
}

func BenchmarkAPNs(b *testing.B) {
	for _, row := range []struct {
		name   string
		config APNsConfig
	}{
		{"accept", APNsConfig{}},
		{"count", APNsConfig{Account: NewCounter()}},
		{"answer", APNsConfig{Answer: func(Request) Answer { return Answer{} }}},
		{"latency=1ms", APNsConfig{Latency: time.Millisecond}},
		{"unregistered", APNsConfig{Answer: func(Request) Answer { return Answer{Reason: "Unregistered", Timestamp: time.Now()} }}},
	} {
		b.Run(row.name, func(b *testing.B) {
			row.config.Authority = authority()
			srv, err := StartAPNs(row.config)
			if err != nil {
				b.Fatal(err)
			}
			defer srv.Close()
			cert, err := authority().PushCertificate(mdmTopic, PushOptions{})
			if err != nil {
				b.Fatal(err)
			}
			runRequests(b, dialBench(b, srv.Addr(), cert.TLS), func(int) string { return mdmBody }, benchTokens(),
				"apns-topic", mdmTopic, "apns-push-type", "mdm", "apns-priority", "10", "apns-expiration", "1893456000")
		})
	}
}

func BenchmarkFCM(b *testing.B) {
	srv, err := StartFCM(FCMConfig{Authority: authority(), MaxStreams: 1000, Account: NewCounter()})
	if err != nil {
		b.Fatal(err)
	}
	defer srv.Close()
	account, err := srv.NewAccount("p1", nil)
	if err != nil {
		b.Fatal(err)
	}
	token := srv.tokens.give(account)
	runRequests(b, dialBench(b, srv.Addr()),
		func(i int) string { return wakeMessage(fmt.Sprintf("c%0140d", i)) },
		func(int) string { return "/v1/projects/p1/messages:send" },
		"authorization", "Bearer "+token, "content-type", "application/json")
}

// BenchmarkBareServer is the least a Framer server can do: read frames, decode headers, answer 200.
func BenchmarkBareServer(b *testing.B) {
	cert, err := authority().Server("localhost")
	if err != nil {
		b.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}, DynamicRecordSizingDisabled: true})
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := l.Accept()
		if err == nil {
			serveBare(conn)
		}
	}()
	conn := dialBench(b, l.Addr().String())
	runRequests(b, conn, func(int) string { return mdmBody }, benchTokens(),
		"apns-topic", mdmTopic, "apns-push-type", "mdm", "apns-priority", "10", "apns-expiration", "1893456000")
	conn.Close()
	l.Close()
	<-served
}

func serveBare(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, maxFrame)
	if _, err := in.Discard(len(http2.ClientPreface)); err != nil {
		return
	}
	var out bytes.Buffer
	framer := http2.NewFramer(&out, in)
	framer.SetReuseFrames()
	decoder := hpack.NewDecoder(4096, func(hpack.HeaderField) {})
	_ = framer.WriteSettings()
	_ = framer.WriteWindowUpdate(0, 1<<30)
	for {
		if in.Buffered() == 0 {
			if _, err := conn.Write(out.Bytes()); err != nil {
				return
			}
			out.Reset()
		}
		f, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			if _, err := decoder.Write(f.HeaderBlockFragment()); err != nil {
				return
			}
			_ = decoder.Close()
		case *http2.DataFrame:
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: f.StreamID, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true})
		}
	}
}
