package http2

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"pushd/providers"
	"pushd/providers/connection"
)

// patience is how long a test waits for answers that must come.
const patience = 30 * time.Second

// real is a client of a server that others wrote, and the Caller of its requests.
type real struct {
	*Client
	dialed atomic.Int64
	left   sync.WaitGroup // requests that are not answered

	mu      sync.Mutex // guards answers
	answers map[int]Answer
}

// connectTo makes the client of a TLS server, which may be another one for each connection.
func connectTo(t testing.TB, address func() string, roots *x509.CertPool, connections, streams int, metrics *providers.Metrics) *real {
	r := &real{answers: make(map[int]Answer)}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}, ServerName: "example.com"}}
	dial := func(ctx context.Context) (net.Conn, error) {
		r.dialed.Add(1)
		return dialer.DialContext(ctx, "tcp", address())
	}
	r.Client = New(dial, Options{
		Provider: "test", Connections: connections, Streams: streams, RequestTimeout: patience, SettingsWithin: patience,
		PingInterval: time.Hour, PingTimeout: patience, Metrics: metrics,
		GoAwayReason: func([]byte) string { return "" }, Refuses: func([]byte) bool { return false },
	}, slog.New(slog.DiscardHandler))
	t.Cleanup(r.Close)
	return r
}

func newMetrics() *providers.Metrics { return providers.NewMetrics(prometheus.NewRegistry()) }

// Answered is Caller.Answered.
func (r *real) Answered(answers []Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range answers {
		if _, twice := r.answers[a.N]; twice {
			a.Failure = &connection.Failure{Err: errors.New("answered twice")}
		}
		r.answers[a.N] = a
	}
	r.left.Add(-len(answers))
}

// ask sends n requests, in batches, and waits for their answers, which check judges.
func (r *real) ask(t testing.TB, n int, request func(int) Request, check func(n int, a Answer) bool) {
	t.Helper()
	const batch = 100
	clear(r.answers)
	for from := 0; from < n; from += batch {
		requests := make([]Request, min(batch, n-from))
		for i := range requests {
			requests[i] = request(from + i)
			requests[i].N = from + i
		}
		r.left.Add(len(requests))
		r.Send(r, requests)
	}
	r.left.Wait()
	faults := 0
	for i := range n {
		if a, answered := r.answers[i]; !answered || !check(i, a) {
			if faults++; faults <= 5 {
				t.Errorf("request %d: %d %q, %v", i, a.Status, a.Body, a.Failure)
			}
		}
	}
	if faults > 5 {
		t.Errorf("and %d others", faults-5)
	}
}

func status(want int) func(int, Answer) bool {
	return func(_ int, a Answer) bool { return a.Failure == nil && a.Status == want }
}

// goServer is net/http's HTTP/2 server.
func goServer(t testing.TB, handler http.HandlerFunc) (*httptest.Server, *x509.CertPool) {
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, roots
}

// echo answers /status with that status, and says what it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	status, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		status = http.StatusBadRequest
	}
	w.Header().Set("Retry-After", r.Header.Get("x-number"))
	w.WriteHeader(status)
	fmt.Fprintf(w, "%s %s %s %d", r.Method, r.Header.Get("x-topic"), r.Header.Get("x-number"), len(body))
}

var interopHead = NewHead("example.com", hpack.HeaderField{Name: "x-topic", Value: "com.example"}, hpack.HeaderField{Name: "x-secret", Value: "s", Sensitive: true})

// interopRequest has statuses and bodies of many kinds.
func interopRequest(n int) Request {
	path := "/200"
	if n%3 == 0 {
		path = "/400"
	}
	return Request{
		Head: interopHead, Path: []byte(path), Fields: AppendField(nil, "x-number", strconv.Itoa(n)),
		Body: bytes.Repeat([]byte("b"), bodySize(n)),
	}
}

func bodySize(n int) int {
	if n%100 == 99 {
		return 50_000 // beyond a frame, and with others beyond a window
	}
	return n % 300
}

func interopAnswer(n int, a Answer) bool {
	if n%3 != 0 {
		return a.Failure == nil && a.Status == http.StatusOK && a.Body == nil
	}
	return a.Failure == nil && a.Status == http.StatusBadRequest && a.RetryAfter == strconv.Itoa(n) &&
		string(a.Body) == fmt.Sprintf("POST com.example %d %d", n, bodySize(n))
}

func TestNetHTTPServer(t *testing.T) {
	t.Parallel()
	s, roots := goServer(t, echo)
	r := connectTo(t, s.Listener.Addr().String, roots, 2, 500, newMetrics())
	for range 3 {
		r.ask(t, 3000, interopRequest, interopAnswer)
	}
	if n := r.dialed.Load(); n > 2 {
		t.Errorf("%d connections were made", n)
	}
}

// TestNetHTTPServerAborts resets the streams of some requests. The others do not feel it.
func TestNetHTTPServerAborts(t *testing.T) {
	t.Parallel()
	s, roots := goServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("x-number")[0] == '7' {
			panic(http.ErrAbortHandler)
		}
		echo(w, r)
	})
	r := connectTo(t, s.Listener.Addr().String, roots, 1, 100, newMetrics())
	r.ask(t, 2000, interopRequest, func(n int, a Answer) bool {
		if strconv.Itoa(n)[0] == '7' {
			return a.Failure != nil && a.Failure.Kind == connection.Reset && !a.Failure.Unprocessed
		}
		return interopAnswer(n, a)
	})
}

// TestNetHTTPServerShutsDown with GOAWAY while requests are under way and waiting: what it does not answer goes to the
// next server, and none is lost.
func TestNetHTTPServerShutsDown(t *testing.T) {
	t.Parallel()
	var begun sync.Once
	answering := make(chan struct{})
	first, roots := goServer(t, func(w http.ResponseWriter, r *http.Request) {
		begun.Do(func() { close(answering) })
		echo(w, r)
	})
	second, _ := goServer(t, echo)
	var current atomic.Pointer[httptest.Server]
	current.Store(first)
	r := connectTo(t, func() string { return current.Load().Listener.Addr().String() }, roots, 1, 50, newMetrics())
	done := make(chan error)
	go func() {
		<-answering
		current.Store(second)
		done <- first.Config.Shutdown(context.Background())
	}()
	r.ask(t, 3000, interopRequest, interopAnswer)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := r.dialed.Load(); n != 2 {
		t.Errorf("%d connections were made", n)
	}
}

// TestCloseOfATLSConnectionThatTakesNothing does not wait for it to say goodbye.
func TestCloseOfATLSConnectionThatTakesNothing(t *testing.T) {
	t.Parallel()
	s, roots := goServer(t, nil) // for its certificate
	listener, err := tls.Listen("tcp", "127.0.0.1:0", s.TLS)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		w := http2.NewFramer(conn, nil)
		if err := errors.Join(w.WriteSettings(initialWindow(1<<30)), w.WriteWindowUpdate(0, 1<<30)); err != nil {
			t.Error(err)
		}
		accepted <- conn
	}()
	r := connectTo(t, listener.Addr().String, roots, 1, 1000, newMetrics())
	requests := make([]Request, 200)
	for i := range requests {
		requests[i] = Request{N: i, Head: interopHead, Path: []byte("/"), Body: make([]byte, 64<<10)} // more than sockets hold
	}
	r.left.Add(len(requests))
	r.Send(r, requests)
	defer (<-accepted).Close()
	for begun := 0; begun < len(requests); runtime.Gosched() {
		r.Client.mu.Lock()
		for _, k := range r.ordinary.open {
			begun = k.table.n
		}
		r.Client.mu.Unlock()
	}
	begun := time.Now()
	r.Close()
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("Close took %v", took)
	}
	r.left.Wait()
}
