package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sync/errgroup"
)

// The floor is the least that pushing over HTTP/2 costs in Go with x/net's own framer and header compression: on each
// connection a goroutine that writes requests and one that counts answers. It keeps nothing of a push, so it could not say
// which one was refused, and it survives no trouble: GOAWAY, a reset or an answer other than 200 ends it. What a sender
// costs beyond the floor is what it does beyond that.

// floorFlush is how much is gathered before it is written: about one TLS record.
const floorFlush = 16_000

// floorConn is one connection of the floor.
type floorConn struct {
	conn    *tls.Conn
	streams int64 // under way at most
	tally   *tally

	answered atomic.Int64
	progress bell // answers came

	// The writer's own.
	out     bytes.Buffer
	framer  *http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
}

// floor pushes until ctx ends.
func floor(ctx context.Context, j *job, t *tally) error {
	config, err := j.Ground.tls()
	if err != nil {
		return err
	}
	pair, err := j.Ground.pushCertificate()
	if err != nil {
		return err
	}
	config.Certificates, config.NextProtos, config.DynamicRecordSizingDisabled = []tls.Certificate{pair}, []string{"h2"}, true
	group, ctx := errgroup.WithContext(ctx)
	for i := range j.Connections {
		conn, err := tls.Dial("tcp", j.Ground.APNs, config)
		if err != nil {
			return err
		}
		c := &floorConn{conn: conn, streams: int64(j.Streams), tally: t, progress: newBell()}
		c.framer, c.encoder = http2.NewFramer(&c.out, nil), hpack.NewEncoder(&c.block)
		context.AfterFunc(ctx, func() { conn.Close() })
		group.Go(func() error { return unlessEnded(ctx, c.write(ctx, uint64(i)<<40)) })
		group.Go(func() error { return unlessEnded(ctx, c.read()) })
	}
	return group.Wait()
}

// unlessEnded is err, but for that of a connection that was closed because the time is over.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, net.ErrClosed) || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

// write writes requests, as many as may be under way; tokens are counted from first.
//
// It need not mind the server's windows: the simulator gives back half a megabyte at a time, and the bodies under way are less.
func (c *floorConn) write(ctx context.Context, first uint64) error {
	c.out.WriteString(http2.ClientPreface)
	if err := c.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}); err != nil {
		return err
	}
	body := []byte(`{"mdm":"` + magic + `"}`)
	expiration := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	path := append([]byte(devicePath), make([]byte, tokenLength)...)
	for sent := int64(0); ; {
		room := c.streams - (sent - c.answered.Load())
		if room == 0 {
			if err := c.flush(); err != nil {
				return err
			}
			select {
			case <-c.progress:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		for range room {
			putToken(path[len(devicePath):], first+uint64(sent))
			if err := c.request(uint32(2*sent+1), string(path), expiration, body); err != nil {
				return err
			}
			sent++
		}
	}
}

func (c *floorConn) request(id uint32, path, expiration string, body []byte) error {
	c.block.Reset()
	for _, f := range [...]hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "https"},
		{Name: ":path", Value: path, Sensitive: true}, // never in the table: it would only push out what is used again
		{Name: ":authority", Value: "localhost"},
		{Name: "apns-topic", Value: topic},
		{Name: "apns-push-type", Value: "mdm"},
		{Name: "apns-priority", Value: "10"},
		{Name: "apns-expiration", Value: expiration},
	} {
		if err := c.encoder.WriteField(f); err != nil {
			return err
		}
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndHeaders: true}); err != nil {
		return err
	}
	if err := c.framer.WriteData(id, true, body); err != nil {
		return err
	}
	if c.out.Len() >= floorFlush {
		return c.flush()
	}
	return nil
}

func (c *floorConn) flush() error {
	_, err := c.conn.Write(c.out.Bytes())
	c.out.Reset()
	return err
}

// indexed200 is ":status: 200" by HPACK's static table, with which an answer begins.
const indexed200 = 0x88

// read counts answers. The frames that keep a connection alive it leaves unanswered: the simulator does not insist.
func (c *floorConn) read() error {
	in := bufio.NewReaderSize(c.conn, floorFlush)
	framer := http2.NewFramer(nil, in)
	framer.SetReuseFrames()
	for n := int64(0); ; {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			if block := f.HeaderBlockFragment(); len(block) == 0 || block[0] != indexed200 || !f.StreamEnded() {
				return fmt.Errorf("stream %d was not accepted: %v", f.StreamID, f)
			}
			n++
		case *http2.GoAwayFrame, *http2.RSTStreamFrame:
			return fmt.Errorf("the server refuses: %v", f)
		}
		if in.Buffered() == 0 && n > 0 {
			c.tally.accept(n)
			c.answered.Add(n)
			n = 0
			c.progress.ring()
		}
	}
}
