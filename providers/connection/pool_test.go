package connection

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
	"pushd/providers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

// server is net/http's own HTTP/2 server, configured by change.
type server struct {
	*httptest.Server
	config Config
	opened atomic.Int64
}

func start(t *testing.T, change func(*httptest.Server)) *server {
	t.Helper()
	s := &server{config: DefaultConfig()}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("Authorization"))
	}))
	s.EnableHTTP2 = true
	s.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.opened.Add(1)
		}
	}
	if change != nil {
		change(s.Server)
	}
	s.StartTLS()
	t.Cleanup(s.Server.Close)
	s.config.RootCA = filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(s.config.RootCA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) pool(t *testing.T, connections int, authorization func() string) *Pool {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := NewDialer(s.config, host, port, nil, connections)
	if err != nil {
		t.Fatal(err)
	}
	pool := NewPool(dialer, Options{
		Provider:      "test",
		Connections:   connections,
		PingInterval:  time.Hour,
		PingTimeout:   time.Minute,
		Metrics:       providers.NewMetrics(prometheus.NewRegistry()),
		GoAwayReason:  func([]byte) string { return "" },
		Authorization: authorization,
	}, slog.New(slog.DiscardHandler))
	t.Cleanup(pool.Close)
	return pool
}

// ask sends one request.
func (s *server) ask(t *testing.T, ctx context.Context, pool *Pool) *Exchange {
	t.Helper()
	exchange := new(Exchange)
	request, err := http.NewRequestWithContext(exchange.Context(ctx), http.MethodPost, s.URL, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := pool.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the library is told of %v, %v", response, err)
	}
	return exchange
}

func TestRequestsGoOverOneConnectionWhileItIsQuiet(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	pool := s.pool(t, 4, nil)
	for range 20 {
		if e := s.ask(t, t.Context(), pool); e.Failure != nil || e.Status != http.StatusOK {
			t.Fatalf("%+v", e)
		}
	}
	if n := s.opened.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestOneDialServesAllWhoWait(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	pool := s.pool(t, 1, nil)
	var asked sync.WaitGroup
	for range 50 {
		asked.Go(func() {
			if e := s.ask(t, t.Context(), pool); e.Failure != nil {
				t.Errorf("%+v", e.Failure)
			}
		})
	}
	asked.Wait()
	if n := s.opened.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestAConnectionKeepsItsAuthorization(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	var current atomic.Pointer[string]
	first, second := "first", "second"
	current.Store(&first)
	pool := s.pool(t, 1, func() string { return *current.Load() })
	for _, want := range []string{first, first, second, second} {
		current.Store(&want)
		e := s.ask(t, t.Context(), pool)
		if string(e.Body) != want || e.Authorization != want {
			t.Errorf("sent with %q, the server saw %q, want %q", e.Authorization, e.Body, want)
		}
	}
	if n := s.opened.Load(); n != 2 {
		t.Errorf("%d connections for two authorizations", n)
	}
}

func TestARetiredConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	pool := s.pool(t, 1, nil)
	s.ask(t, t.Context(), pool).Retire()
	if e := s.ask(t, t.Context(), pool); e.Failure != nil {
		t.Errorf("%+v", e.Failure)
	}
	if n := s.opened.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestFailuresSayHow(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		server func(*httptest.Server)
		client func(*server)
		want   Kind
	}{
		"nobody listens":    {nil, func(s *server) { s.Listener.Close() }, Dial},
		"another authority": {nil, func(s *server) { s.config.RootCA = "" }, TLS},
		"no HTTP/2":         {func(s *httptest.Server) { s.EnableHTTP2 = false }, nil, TLS},
		"TLS that is too old": {func(s *httptest.Server) {
			s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
		}, nil, TLS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, row.server)
			if row.client != nil {
				row.client(s)
			}
			e := s.ask(t, t.Context(), s.pool(t, 1, nil))
			if e.Failure == nil || e.Failure.Kind != row.want || !e.Failure.Unprocessed || e.Status != 0 {
				t.Errorf("%+v", e.Failure)
			}
		})
	}
}

// The alert comes while or, with TLS 1.3, after the client's handshake. The server below reads on after it, for a socket
// that is closed over unread bytes can take the alert with it.
func TestACertificateThatTheServerRefusesIsToldFromALostConnection(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, nil)
			own := s.TLS.Certificates[0]
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var served sync.WaitGroup
			t.Cleanup(served.Wait)
			t.Cleanup(func() { l.Close() })
			served.Go(func() {
				socket, err := l.Accept()
				if err != nil {
					return
				}
				defer socket.Close()
				conn := tls.Server(socket, &tls.Config{
					Certificates: []tls.Certificate{own}, MaxVersion: version, NextProtos: []string{"h2"},
					ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(),
				})
				if conn.Handshake() == nil {
					t.Error("the server accepted the certificate")
				}
				io.Copy(io.Discard, socket)
			})
			pool := s.pool(t, 1, nil)
			pool.dialer.tls.Certificates = []tls.Certificate{own}
			_, pool.dialer.port, _ = net.SplitHostPort(l.Addr().String())
			if _, failure := pool.acquire(t.Context()); failure == nil || failure.Kind != CertificateRefused || !failure.Unprocessed {
				t.Errorf("%+v", failure)
			}
		})
	}
}

// deaf listens, takes connections and says nothing.
func deaf(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func deafPool(t *testing.T) *Pool {
	t.Helper()
	host, port, err := net.SplitHostPort(deaf(t).Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, nil)
	pool := s.pool(t, 1, nil)
	pool.dialer.host, pool.dialer.port = host, port
	return pool
}

func TestWaitingForAConnectionEndsWithTheContext(t *testing.T) {
	t.Parallel()
	pool := deafPool(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, failure := pool.acquire(ctx)
	if failure == nil || failure.Kind != Timeout || !failure.Unprocessed || !errors.Is(failure, context.DeadlineExceeded) {
		t.Errorf("%+v", failure)
	}
}

func TestCloseEndsADialAndThoseWhoWaitForIt(t *testing.T) {
	t.Parallel()
	pool := deafPool(t)
	waiting := make(chan *Failure)
	for range 3 {
		go func() {
			_, failure := pool.acquire(context.Background())
			waiting <- failure
		}()
	}
	pool.Close()
	for range 3 {
		if failure := <-waiting; failure == nil || failure.Kind != Closed {
			t.Errorf("%+v", failure)
		}
	}
	if _, failure := pool.acquire(t.Context()); failure == nil || failure.Kind != Closed {
		t.Errorf("after Close: %+v", failure)
	}
}

func TestConnectionsAreOpenedNoFasterThanTheRate(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.config.DialRate = 1e-3
	pool := s.pool(t, 2, nil)
	for range 2 {
		e := s.ask(t, t.Context(), pool)
		if e.Failure != nil {
			t.Fatal(e.Failure)
		}
		e.Retire()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if e := s.ask(t, ctx, pool); e.Failure == nil || e.Failure.Kind != Timeout {
		t.Errorf("a third connection of 2 at once: %+v", e)
	}
}

func TestValidateNamesAllFaultsByTheirKeys(t *testing.T) {
	t.Parallel()
	if err := DefaultConfig().Validate("p."); err != nil {
		t.Error(err)
	}
	err := Config{DialRate: -1, DialTimeout: time.Hour}.Validate("p.")
	for _, key := range []string{"p.dial_rate:", "p.dial_timeout:", "p.ping_interval:", "p.ping_timeout:"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("no fault of %s in:\n%v", key, err)
		}
	}
}
