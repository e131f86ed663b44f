package simulator

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// answering starts an APNs server that gives the answers by token, and a connection to it.
func answering(t *testing.T, answers map[string]Answer) (*APNs, *rawClient) {
	t.Helper()
	srv := startAPNs(t, APNsConfig{Answer: func(r Request) Answer { return answers[r.Token] }})
	return srv, dialMDM(t, srv).greet()
}

func dialMDM(t *testing.T, srv *APNs) *rawClient {
	t.Helper()
	return dialRaw(t, srv.Addr(), pushCertificate(t, mdmTopic, PushOptions{}))
}

func TestAnswersOfTheTransport(t *testing.T) {
	t.Parallel()
	srv, c := answering(t, map[string]Answer{
		"aa": {Reset: http2.ErrCodeRefusedStream},
		"bb": {Reset: http2.ErrCodeInternal},
		"cc": {Silent: true},
	})
	if code := c.awaitReset(c.push(mdmBody, mdmFields("aa")...)); code != http2.ErrCodeRefusedStream {
		t.Errorf("reset with %v", code)
	}
	if code := c.awaitReset(c.push(mdmBody, mdmFields("bb")...)); code != http2.ErrCodeInternal {
		t.Errorf("reset with %v", code)
	}
	silent := c.push(mdmBody, mdmFields("cc")...)
	last := c.push(mdmBody, mdmFields("dd")...)
	c.await(func(f http2.Frame) bool {
		if f.Header().StreamID == silent {
			t.Error("the silent stream was answered")
		}
		return f.Header().StreamID == last
	})
	answers := srv.Account().Answers()
	if answers["reset REFUSED_STREAM"] != 1 || answers["reset INTERNAL_ERROR"] != 1 || answers["silent"] != 1 || answers["200"] != 1 {
		t.Errorf("answers %v", answers)
	}
	if srv.Account().Count() != 1 {
		t.Errorf("%d accepted", srv.Account().Count())
	}
}

func TestDropCutsTheConnectionWithoutAWord(t *testing.T) {
	t.Parallel()
	_, c := answering(t, map[string]Answer{"aa": {Drop: true}})
	c.push(mdmBody, mdmFields("aa")...)
	c.awaitEnd()
}

func TestGoAwaySaysWhichStreamsItCovers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		last     uint32
		want     uint32
		answered bool
	}{
		{"none", 0, 0, false},
		{"this one", ThisStream, 3, true},
		{"those below", BelowThis, 1, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv, c := answering(t, map[string]Answer{
				"aa": {Latency: 20 * time.Millisecond},
				"bb": {GoAway: &GoAway{LastStream: row.last, Code: http2.ErrCodeNo, Debug: `{"reason":"Shutdown"}`}},
			})
			c.push(mdmBody, mdmFields("aa")...)
			c.push(mdmBody, mdmFields("bb")...)
			last, code, debug := c.awaitGoAway()
			if last != row.want || code != http2.ErrCodeNo || debug != `{"reason":"Shutdown"}` {
				t.Errorf("GOAWAY %d %v %s", last, code, debug)
			}
			answered := map[uint32]bool{}
			for {
				f, err := c.ReadFrame()
				if err != nil {
					break
				}
				if h, ok := f.(*http2.MetaHeadersFrame); ok {
					answered[h.StreamID] = true
				}
			}
			if answered[1] != (row.want >= 1) || answered[3] != row.answered {
				t.Errorf("answered %v", answered)
			}
			if got := srv.Account().Accepted("bb") == 1; got != row.answered {
				t.Errorf("in the account: %v", got)
			}
		})
	}
}

func TestDrainAnswersOpenStreamsAndTakesNoMore(t *testing.T) {
	t.Parallel()
	srv, c := answering(t, map[string]Answer{"aa": {Latency: 50 * time.Millisecond}})
	c.awaitStatus(c.push(mdmBody, mdmFields("bb")...))
	slow := c.push(mdmBody, mdmFields("aa")...)
	c.ok(c.WritePing(false, [8]byte{1}))
	c.await(func(f http2.Frame) bool { _, ok := f.(*http2.PingFrame); return ok })
	srv.Drain(`{"reason":"Shutdown"}`)
	if last, _, debug := c.awaitGoAway(); last != slow || debug != `{"reason":"Shutdown"}` {
		t.Errorf("GOAWAY %d %s", last, debug)
	}
	c.push(mdmBody, mdmFields("cc")...)
	if status := c.awaitStatus(slow); status != "200" {
		t.Errorf("status %s", status)
	}
	c.awaitEnd()
	if srv.Account().Accepted("cc") != 0 {
		t.Error("a stream after GOAWAY was served")
	}
}

func TestResponsesWaitForFlowControl(t *testing.T) {
	t.Parallel()
	srv := startAPNs(t, APNsConfig{Answer: func(Request) Answer { return Answer{Reason: "Unregistered"} }})
	c := dialMDM(t, srv).greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
	id := c.push(mdmBody, mdmFields("aa")...)
	c.awaitStatus(id)
	var body []byte
	next := func() (n int, end bool) {
		f := c.await(func(f http2.Frame) bool { _, ok := f.(*http2.DataFrame); return ok }).(*http2.DataFrame)
		body = append(body, f.Data()...)
		return len(f.Data()), f.StreamEnded()
	}
	if n, end := next(); n != 3 || end {
		t.Errorf("first DATA of %d octets, end %v", n, end)
	}
	c.ok(c.WriteWindowUpdate(id, 5))
	if n, end := next(); n != 5 || end {
		t.Errorf("second DATA of %d octets, end %v", n, end)
	}
	c.ok(c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000}))
	if _, end := next(); !end || string(body) != `{"reason":"Unregistered"}` {
		t.Errorf("body %s, end %v", body, end)
	}
	c.ok(c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
	held := c.push(mdmBody, mdmFields("bb")...)
	c.awaitStatus(held)
	c.ok(c.WriteRSTStream(held, http2.ErrCodeCancel))
	c.ok(c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100}))
	if status := c.awaitStatus(c.push(mdmBody, mdmFields("cc")...)); status != "410" {
		t.Errorf("status %s after a stream was given up while its body waited", status)
	}
}

func TestWindowIsGivenBackForBodies(t *testing.T) {
	t.Parallel()
	srv, c := answering(t, nil)
	window := defaultWindow
	body := `{"mdm":"` + strings.Repeat("x", 4000) + `"}`
	for range 600 { // 2.4 MB, more than the window there is at first
		for window < len(body) {
			c.await(func(f http2.Frame) bool {
				u, ok := f.(*http2.WindowUpdateFrame)
				if ok && u.StreamID == 0 {
					window += int(u.Increment)
				}
				return ok
			})
		}
		window -= len(body)
		c.push(body, mdmFields("aa")...)
	}
	last := c.push(mdmBody, mdmFields("bb")...)
	c.awaitStatus(last)
	if got := srv.Account().Accepted("aa"); got != 600 {
		t.Errorf("%d accepted", got)
	}
}

func TestHeaderBlocksMayBeSplitAndPadded(t *testing.T) {
	t.Parallel()
	_, c := answering(t, nil)
	block := c.encode(mdmFields(mdmToken)...)
	c.ok(c.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: block[:7], PadLength: 9,
		Priority: http2.PriorityParam{StreamDep: 0, Weight: 15},
	}))
	c.ok(c.WriteContinuation(1, false, nil))
	c.ok(c.WriteContinuation(1, false, block[7:20]))
	c.ok(c.WriteContinuation(1, true, block[20:]))
	c.ok(c.WriteDataPadded(1, false, []byte(mdmBody[:5]), make([]byte, 11)))
	c.ok(c.WriteData(1, false, []byte(mdmBody[5:])))
	c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode("x-trailer", "1"), EndHeaders: true, EndStream: true}))
	if status := c.awaitStatus(1); status != "200" {
		t.Errorf("status %s", status)
	}
}

func TestPingAndUnknownFramesAreAnsweredAsRFC9113Says(t *testing.T) {
	t.Parallel()
	_, c := answering(t, nil)
	c.ok(c.WriteRawFrame(0xbe, 0xff, 0, []byte("whatever")))
	c.ok(c.WritePriority(1, http2.PriorityParam{StreamDep: 3, Weight: 1}))
	c.ok(c.WritePing(true, [8]byte{9}))
	c.ok(c.WritePing(false, [8]byte{1, 2, 3}))
	ping := c.await(func(f http2.Frame) bool { _, ok := f.(*http2.PingFrame); return ok }).(*http2.PingFrame)
	if !ping.IsAck() || ping.Data != [8]byte{1, 2, 3} {
		t.Errorf("got %v", ping)
	}
}

func TestProtocolErrorsEndTheConnection(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		do   func(*rawClient)
		code http2.ErrCode
	}{
		{"even stream", func(c *rawClient) { c.next = 2; c.push(mdmBody, mdmFields("aa")...) }, http2.ErrCodeProtocol},
		{"stream id going down", func(c *rawClient) {
			c.next = 5
			c.awaitStatus(c.push(mdmBody, mdmFields("aa")...))
			c.next = 3
			c.push(mdmBody, mdmFields("aa")...)
		}, http2.ErrCodeProtocol},
		{"DATA on an idle stream", func(c *rawClient) { c.ok(c.WriteData(1, true, nil)) }, http2.ErrCodeProtocol},
		{"RST_STREAM on an idle stream", func(c *rawClient) { c.ok(c.WriteRSTStream(1, 0)) }, http2.ErrCodeProtocol},
		{"WINDOW_UPDATE on an idle stream", func(c *rawClient) { c.ok(c.WriteWindowUpdate(1, 1)) }, http2.ErrCodeProtocol},
		{"WINDOW_UPDATE of 0 on a stream", func(c *rawClient) {
			c.ok(c.WriteWindowUpdate(c.push(mdmBody, mdmFields("aa")...), 0))
		}, http2.ErrCodeProtocol},
		{"padding longer than the frame", func(c *rawClient) {
			c.ok(c.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersPadded|http2.FlagHeadersEndHeaders, 1, []byte{200, 0x82}))
		}, http2.ErrCodeProtocol},
		{"window above 2^31-1", func(c *rawClient) { c.ok(c.WriteWindowUpdate(0, 1<<31-1)) }, http2.ErrCodeFlowControl},
		{"initial window above 2^31-1", func(c *rawClient) {
			c.ok(c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}))
		}, http2.ErrCodeFlowControl},
		{"PUSH_PROMISE", func(c *rawClient) {
			c.ok(c.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true}))
		}, http2.ErrCodeProtocol},
		{"frame too large", func(c *rawClient) { c.ok(c.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, maxFrame+1))) }, http2.ErrCodeFrameSize},
		{"PING of 7 octets", func(c *rawClient) { c.ok(c.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 7))) }, http2.ErrCodeFrameSize},
		{"CONTINUATION without HEADERS", func(c *rawClient) { c.ok(c.WriteContinuation(1, true, nil)) }, http2.ErrCodeProtocol},
		{"header block that is no HPACK", func(c *rawClient) {
			c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true}))
		}, http2.ErrCodeCompression},
		{"header block cut off", func(c *rawClient) {
			c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0, 9, 'x'}, EndHeaders: true}))
		}, http2.ErrCodeCompression},
		{"endless CONTINUATION", func(c *rawClient) {
			c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode(":method", "POST")}))
			for range maxBlock + 1 {
				if c.WriteContinuation(1, false, nil) != nil {
					break // the server has closed already
				}
			}
		}, http2.ErrCodeEnhanceYourCalm},
		{"HEADERS twice", func(c *rawClient) {
			for range 2 {
				c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode(mdmFields("aa")...), EndHeaders: true}))
			}
		}, http2.ErrCodeStreamClosed},
		{"more DATA than the window", func(c *rawClient) {
			for range 17 { // each on its own stream, within the stream's window
				id := c.next
				c.next += 2
				c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(mdmFields("aa")...), EndHeaders: true}))
				for range 4 {
					c.ok(c.WriteData(id, false, make([]byte, 16_000)))
				}
			}
		}, http2.ErrCodeFlowControl},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv := startAPNs(t, APNsConfig{Conduct: func(uint64) Conduct {
				return Conduct{NoWindowUpdates: row.name == "more DATA than the window"}
			}})
			c := dialMDM(t, srv).greet()
			c.AllowIllegalWrites = true
			row.do(c)
			if _, code, _ := c.awaitGoAway(); code != row.code {
				t.Errorf("GOAWAY with %v, want %v", code, row.code)
			}
			c.awaitEnd()
		})
	}
}

func TestMalformedRequestsAreReset(t *testing.T) {
	t.Parallel()
	_, c := answering(t, nil)
	with := func(fields ...string) []string { return append(mdmFields("aa"), fields...) }
	for _, row := range []struct {
		name   string
		fields []string
	}{
		{"upper case", with("Apns-Id", "x")},
		{"connection", with("connection", "close")},
		{"te", with("te", "gzip")},
		{"pseudo-header after others", with(":path", "/")},
		{"pseudo-header unknown", append([]string{":status", "200"}, mdmFields("aa")...)},
		{"pseudo-header twice", append([]string{":method", "POST"}, mdmFields("aa")...)},
		{"no path", []string{":method", "POST", ":scheme", "https"}},
		{"content-length", with("content-length", "9")},
		{"content-length that is none", with("content-length", "many")},
	} {
		if code := c.awaitReset(c.push(mdmBody, row.fields...)); code != http2.ErrCodeProtocol {
			t.Errorf("%s: reset with %v", row.name, code)
		}
	}
	id := c.push(mdmBody, with("x-long", strings.Repeat("x", 2*maxHeaderList))...)
	if code := c.awaitReset(id); code != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("a long header was reset with %v", code)
	}
	if status := c.awaitStatus(c.push(mdmBody, with("te", "trailers")...)); status != "200" {
		t.Errorf("the connection did not survive: %s", status)
	}
}

func TestDataAfterTheEndResetsTheStream(t *testing.T) {
	t.Parallel()
	_, c := answering(t, map[string]Answer{"aa": {Silent: true}})
	id := c.push(mdmBody, mdmFields("aa")...)
	c.ok(c.WriteData(id, true, []byte("more")))
	if code := c.awaitReset(id); code != http2.ErrCodeStreamClosed {
		t.Errorf("reset with %v", code)
	}
}

func TestAClientThatIsNoHTTP2IsTurnedAway(t *testing.T) {
	t.Parallel()
	srv := startAPNs(t, APNsConfig{})
	config := &tls.Config{RootCAs: authority().Pool(), ServerName: "localhost"}
	plain, err := tls.Dial("tcp", srv.Addr(), config) // no ALPN
	if err == nil {
		defer plain.Close()
		if _, err = plain.Read(make([]byte, 1)); err == nil {
			t.Error("a client without ALPN was served")
		}
	}
	config.NextProtos = []string{"h2"}
	wrong, err := tls.Dial("tcp", srv.Addr(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	if _, err := wrong.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	c := &rawClient{tb: t, conn: wrong, Framer: http2.NewFramer(wrong, wrong)}
	if _, code, _ := c.awaitGoAway(); code != http2.ErrCodeProtocol {
		t.Errorf("GOAWAY with %v", code)
	}
}

func TestCutConnectionsLeavesTheServerListening(t *testing.T) {
	t.Parallel()
	srv, c := answering(t, nil)
	c.awaitStatus(c.push(mdmBody, mdmFields("aa")...))
	srv.CutConnections()
	c.awaitEnd()
	again := dialMDM(t, srv).greet()
	if status := again.awaitStatus(again.push(mdmBody, mdmFields("aa")...)); status != "200" {
		t.Errorf("status %s", status)
	}
}

func TestConduct(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, conduct Conduct) (*APNs, *rawClient) {
		srv := startAPNs(t, APNsConfig{
			Conduct: func(uint64) Conduct { return conduct },
			Answer:  func(Request) Answer { return Answer{Reason: "Unregistered"} },
		})
		return srv, dialMDM(t, srv).greet()
	}
	t.Run("a limit of streams", func(t *testing.T) {
		t.Parallel()
		_, c := start(t, Conduct{MaxStreams: 7})
		if got := c.awaitSetting(http2.SettingMaxConcurrentStreams); got != 7 {
			t.Errorf("announced %d", got)
		}
	})
	t.Run("no streams", func(t *testing.T) {
		t.Parallel()
		_, c := start(t, Conduct{NoStreams: true})
		if got := c.awaitSetting(http2.SettingMaxConcurrentStreams); got != 0 {
			t.Errorf("announced %d", got)
		}
		if code := c.awaitReset(c.push(mdmBody, mdmFields("aa")...)); code != http2.ErrCodeRefusedStream {
			t.Errorf("reset with %v", code)
		}
	})
	t.Run("no SETTINGS", func(t *testing.T) {
		t.Parallel()
		_, c := start(t, Conduct{NoSettings: true})
		id := c.push(mdmBody, mdmFields("aa")...)
		c.await(func(f http2.Frame) bool {
			if _, ok := f.(*http2.SettingsFrame); ok {
				t.Error("SETTINGS came")
			}
			return f.Header().StreamID == id
		})
	})
	t.Run("long headers", func(t *testing.T) {
		t.Parallel()
		_, c := start(t, Conduct{HeaderPadding: 3 * maxFrame})
		c.MaxHeaderListSize = 1 << 20
		if status := c.awaitStatus(c.push(mdmBody, mdmFields("aa")...)); status != "410" {
			t.Errorf("status %s", status)
		}
	})
	t.Run("no window", func(t *testing.T) {
		t.Parallel()
		_, c := start(t, Conduct{NoWindowUpdates: true})
		body := `{"mdm":"` + strings.Repeat("x", 4000) + `"}`
		var last uint32
		for range 16 {
			last = c.push(body, mdmFields("aa")...)
		}
		c.await(func(f http2.Frame) bool {
			if _, ok := f.(*http2.WindowUpdateFrame); ok {
				t.Error("window was given back")
			}
			return f.Header().StreamID == last
		})
	})
	t.Run("slow writes", func(t *testing.T) {
		t.Parallel()
		// A handshake is about 1,200 octets.
		begin := time.Now()
		_, c := start(t, Conduct{BytesPerSecond: 4000})
		c.awaitStatus(c.push(mdmBody, mdmFields("aa")...))
		if took := time.Since(begin); took < 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		srv := startAPNs(t, APNsConfig{Conduct: func(uint64) Conduct { return Conduct{Refuse: true} }})
		conn, err := net.Dial("tcp", srv.Addr())
		if err == nil { // the reset may come as early as that
			defer conn.Close()
			_, err = conn.Read(make([]byte, 1))
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no handshake", func(t *testing.T) {
		t.Parallel()
		srv := startAPNs(t, APNsConfig{Conduct: func(uint64) Conduct { return Conduct{NoHandshake: true} }})
		_, err := tls.Dial("tcp", srv.Addr(), &tls.Config{RootCAs: authority().Pool(), ServerName: "localhost"})
		var alert *net.OpError
		if !errors.As(err, &alert) || !strings.Contains(err.Error(), "tls: ") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("deaf", func(t *testing.T) {
		t.Parallel()
		srv, c := start(t, Conduct{Deaf: true})
		c.push(mdmBody, mdmFields("aa")...)
		c.awaitSetting(http2.SettingMaxConcurrentStreams)
		if got := srv.Stats().Requests; got != 0 {
			t.Errorf("%d requests read", got)
		}
	})
}

func TestResponseHeadersDecode(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 400, 403, 404, 410, 413, 429, 500, 503} {
		for _, n := range []int{0, 1, 126, 127, 128, 254, 255, 300, 20_000} {
			value := strings.Repeat("v", n)
			block := appendField(appendStatus(nil, status), "name", value)
			got, err := hpack.NewDecoder(4096, nil).DecodeFull(block)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 2 || got[0].Value != strconv.Itoa(status) || got[1].Name != "name" || got[1].Value != value {
				t.Errorf("%d, value of %d octets: %d fields", status, n, len(got))
			}
		}
	}
}

func FuzzConnSurvivesHostileBytes(f *testing.F) {
	var seed bytes.Buffer
	framer := http2.NewFramer(&seed, nil)
	_ = framer.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	fields := mdmFields("aa")
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = framer.WriteData(1, true, []byte(mdmBody))
	_ = framer.WriteWindowUpdate(0, 100)
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	_ = framer.WriteRSTStream(1, http2.ErrCodeCancel)
	_ = framer.WritePing(false, [8]byte{})
	f.Add(seed.Bytes())
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(make([]byte, 100))
	// A Silent, a delayed, a GOAWAY and a reset answer take turns, so that their bookkeeping is under fire too.
	n := 0
	srv, err := StartAPNs(APNsConfig{Authority: authority(), Answer: func(Request) Answer {
		n++
		return [...]Answer{
			{}, {Silent: true}, {Latency: time.Microsecond}, {Reason: "Unregistered"}, {Reset: http2.ErrCodeInternal},
			{GoAway: &GoAway{LastStream: BelowThis}},
		}[n%6]
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { srv.Close() })
	leaf, err := authority().PushCertificate(mdmTopic, PushOptions{})
	if err != nil {
		f.Fatal(err)
	}
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf.TLS.Leaf}}
	f.Fuzz(func(t *testing.T, hostile []byte) {
		client, side := net.Pipe()
		c := newConn(srv.server, 1, side)
		c.open(side, state)
		var work sync.WaitGroup
		work.Go(c.run)
		work.Go(func() { _, _ = io.Copy(io.Discard, client) })
		_, _ = client.Write(append([]byte(http2.ClientPreface), hostile...))
		_ = client.Close()
		work.Wait() // for ever, if the connection did not end
	})
}
