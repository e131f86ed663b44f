package simulator

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"pushd/loadtest/descriptors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

const (
	mdmTopic  = "com.apple.mgmt.External.0f0e"
	mdmToken  = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
	mdmBody   = `{"mdm":"B2F2A0C0-1E1E-4E0E-8B0B-9C8C8C8C8C8C"}`
	alertBody = `{"aps":{"alert":"hi"}}`
)

var authority = sync.OnceValue(func() *Authority {
	a, err := NewAuthority()
	if err != nil {
		panic(err)
	}
	return a
})

// within bounds every wait of a test; reached only where the server is wrong.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func startAPNs(t *testing.T, config APNsConfig) *APNs {
	t.Helper()
	config.Authority = authority()
	srv, err := StartAPNs(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func pushCertificate(t *testing.T, topic string, opts PushOptions) tls.Certificate {
	t.Helper()
	cert, err := authority().PushCertificate(topic, opts)
	if err != nil {
		t.Fatal(err)
	}
	return cert.TLS
}

// newClient is a plain Go HTTP/2 client.
func newClient(t *testing.T, certs ...tls.Certificate) *http.Client {
	tr := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: authority().Pool(), Certificates: certs},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// reply is an answer as a client sees it.
type reply struct {
	status int
	header http.Header
	body   string
	reason string
	since  int64
}

func do(t *testing.T, client *http.Client, req *http.Request) (reply, error) {
	t.Helper()
	resp, err := client.Do(req.WithContext(within(t)))
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{status: resp.StatusCode, header: resp.Header, body: string(body)}
	var parsed struct {
		Reason    string `json:"reason"`
		Timestamp int64  `json:"timestamp"`
	}
	if json.Unmarshal(body, &parsed) == nil {
		r.reason, r.since = parsed.Reason, parsed.Timestamp
	}
	return r, nil
}

func mustDo(t *testing.T, client *http.Client, req *http.Request) reply {
	t.Helper()
	r, err := do(t, client, req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mdmRequest is a valid MDM push.
func mdmRequest(srv *APNs, token string) *http.Request {
	req, err := http.NewRequest(http.MethodPost, srv.URL()+devicePath+token, strings.NewReader(mdmBody))
	if err != nil {
		panic(err)
	}
	req.Header.Set("apns-topic", mdmTopic)
	req.Header.Set("apns-push-type", "mdm")
	req.Header.Set("apns-priority", "10")
	req.Header.Set("apns-expiration", "1893456000")
	return req
}

func setBody(req *http.Request, body string) {
	fresh, err := http.NewRequest(req.Method, req.URL.String(), strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Body, req.ContentLength, req.GetBody = fresh.Body, fresh.ContentLength, fresh.GetBody
}

// providerToken signs a provider token of a key, issued some time ago.
func providerToken(t *testing.T, key ProviderKey, age time.Duration) string {
	t.Helper()
	private, err := jwt.ParseECPrivateKeyFromPEM(key.PEM)
	if err != nil {
		t.Fatal(err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": key.TeamID, "iat": time.Now().Add(-age).Unix()})
	token.Header["kid"] = key.KeyID
	signed, err := token.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func providerKey(t *testing.T) ProviderKey {
	t.Helper()
	key, err := NewProviderKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rawClient speaks HTTP/2 frame by frame.
type rawClient struct {
	tb   testing.TB
	conn *tls.Conn
	*http2.Framer
	enc  *hpack.Encoder
	buf  strings.Builder
	next uint32
}

func dialRaw(tb testing.TB, addr string, certs ...tls.Certificate) *rawClient {
	tb.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{
		RootCAs: authority().Pool(), Certificates: certs, NextProtos: []string{"h2"}, ServerName: "localhost",
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	c := &rawClient{tb: tb, conn: conn, Framer: http2.NewFramer(conn, conn), next: 1}
	c.enc = hpack.NewEncoder(&c.buf)
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		tb.Fatal(err)
	}
	return c
}

// greet sends SETTINGS with the given values.
func (c *rawClient) greet(settings ...http2.Setting) *rawClient {
	c.ok(c.WriteSettings(settings...))
	return c
}

func (c *rawClient) ok(err error) {
	c.tb.Helper()
	if err != nil {
		c.tb.Fatal(err)
	}
}

// push sends a request with a body and returns its stream.
func (c *rawClient) push(body string, fields ...string) uint32 {
	c.tb.Helper()
	id := c.next
	c.next += 2
	c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(fields...), EndHeaders: true}))
	c.ok(c.WriteData(id, true, []byte(body)))
	return id
}

func (c *rawClient) encode(fields ...string) []byte {
	c.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		c.ok(c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return []byte(c.buf.String())
}

func mdmFields(token string) []string {
	return []string{":method", "POST", ":scheme", "https", ":path", devicePath + token, ":authority", "localhost",
		"apns-topic", mdmTopic, "apns-push-type", "mdm"}
}

// await reads frames until one satisfies found.
func (c *rawClient) await(found func(http2.Frame) bool) http2.Frame {
	c.tb.Helper()
	for {
		f, err := c.ReadFrame()
		if err != nil {
			c.tb.Fatalf("the connection ended before the frame came: %v", err)
		}
		if found(f) {
			return f
		}
	}
}

func (c *rawClient) awaitGoAway() (last uint32, code http2.ErrCode, debug string) {
	c.tb.Helper()
	f := c.await(func(f http2.Frame) bool { _, ok := f.(*http2.GoAwayFrame); return ok }).(*http2.GoAwayFrame)
	return f.LastStreamID, f.ErrCode, string(f.DebugData())
}

// awaitStatus reads until the header of a stream's response.
func (c *rawClient) awaitStatus(id uint32) string {
	c.tb.Helper()
	f := c.await(func(f http2.Frame) bool {
		h, ok := f.(*http2.MetaHeadersFrame)
		return ok && h.StreamID == id
	})
	return f.(*http2.MetaHeadersFrame).PseudoValue("status")
}

func (c *rawClient) awaitReset(id uint32) http2.ErrCode {
	c.tb.Helper()
	f := c.await(func(f http2.Frame) bool {
		r, ok := f.(*http2.RSTStreamFrame)
		return ok && r.StreamID == id
	})
	return f.(*http2.RSTStreamFrame).ErrCode
}

func (c *rawClient) awaitSetting(id http2.SettingID) uint32 {
	c.tb.Helper()
	var value uint32
	c.await(func(f http2.Frame) bool {
		s, ok := f.(*http2.SettingsFrame)
		if !ok || s.IsAck() {
			return false
		}
		value, ok = s.Value(id)
		return ok
	})
	return value
}

// awaitEnd reads until the server closes its side.
func (c *rawClient) awaitEnd() {
	c.tb.Helper()
	for {
		if _, err := c.ReadFrame(); err != nil {
			if ne, ok := err.(interface{ Timeout() bool }); ok && ne.Timeout() {
				c.tb.Fatal("the server does not close the connection")
			}
			return
		}
	}
}

var otherRSAKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})
