package simulator

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxConnections bounds the connections of one server; one more is closed as soon as it is accepted.
	maxConnections = 16_384
	// handshakeTimeout bounds the time from TCP accept to the HTTP/2 preface.
	handshakeTimeout = 10 * time.Second
)

// session is a service's side of one connection.
type session interface {
	// answer decides on a complete request, and renders into st.reply the body that goes with the Answer.
	// The connection's reader alone calls it.
	answer(st *stream) Answer
	// limit is the number of concurrent streams to allow: at first (status 0), and after an answer of that status.
	// It is called with the connection's lock held.
	limit(status int) uint32
}

// service is what APNs and FCM give to the server they share.
type service struct {
	listen  string
	tls     *tls.Config
	latency time.Duration
	account *Account
	conduct func(connection uint64) Conduct // nil: well behaved
	// accepted is told of each accepted push, with the connection's lock held; nil: nobody wants to know.
	accepted func(token string, receipt Receipt, n int)
	session  func(connection uint64, state tls.ConnectionState) session
	// overLimit is sent where a client has more streams than allowed; nil refuses the stream alone.
	overLimit *GoAway
}

// server accepts connections and serves each until its end: what APNs and FCM have in common.
type server struct {
	service
	listener net.Listener

	mu     sync.Mutex // guards what follows
	conns  map[*conn]struct{}
	closed bool

	wg    sync.WaitGroup // accept and each conn.serve
	stats counters
}

type counters struct {
	opened, turnedAway, requests, refusedStreams, resets atomic.Uint64
	peakStreams                                          atomic.Int64
}

// Stats are counts since the server started.
type Stats struct {
	Open           int    // connections now
	Opened         uint64 // connections whose handshake was done
	TurnedAway     uint64 // connections beyond the bound, or whose handshake failed
	Requests       uint64 // requests read to their end
	RefusedStreams uint64 // streams beyond the limit
	ClientResets   uint64 // streams that the client gave up
	PeakStreams    int    // the most streams that one connection had open
}

func startServer(s service) (*server, error) {
	if s.listen == "" {
		s.listen = "127.0.0.1:0"
	}
	if s.account == nil {
		s.account = NewAccount()
	}
	s.tls.NextProtos = []string{"h2"}
	s.tls.MinVersion = tls.VersionTLS12
	s.tls.DynamicRecordSizingDisabled = true
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	srv := &server{service: s, listener: l, conns: make(map[*conn]struct{})}
	srv.wg.Go(srv.accept)
	return srv, nil
}

// Addr is the address listened on, as host:port.
func (s *server) Addr() string { return s.listener.Addr().String() }

// Host is the IP address listened on.
func (s *server) Host() string { return s.listener.Addr().(*net.TCPAddr).IP.String() }

// Port is the TCP port listened on.
func (s *server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// URL is the root of the service, such as https://127.0.0.1:2197.
func (s *server) URL() string { return "https://" + net.JoinHostPort(s.Host(), strconv.Itoa(s.Port())) }

// Account is the account of accepted pushes; its methods may be called at any time, also after Close.
func (s *server) Account() *Account { return s.account }

// Connections is the number of connections open now.
func (s *server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Stats returns the counts so far.
func (s *server) Stats() Stats {
	return Stats{
		Open:           s.Connections(),
		Opened:         s.stats.opened.Load(),
		TurnedAway:     s.stats.turnedAway.Load(),
		Requests:       s.stats.requests.Load(),
		RefusedStreams: s.stats.refusedStreams.Load(),
		ClientResets:   s.stats.resets.Load(),
		PeakStreams:    int(s.stats.peakStreams.Load()),
	}
}

// CutConnections closes every open connection without a word, as a failing network does.
func (s *server) CutConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.cut()
	}
}

// Drain sends GOAWAY on every open connection: streams already open are answered, then the connections end.
func (s *server) Drain(debug string) {
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.drain(debug)
	}
}

// Close stops listening, cuts all connections and waits for their goroutines.
func (s *server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	err := s.listener.Close()
	s.CutConnections()
	s.wg.Wait()
	if err != nil {
		return fmt.Errorf("close listener: %w", err)
	}
	return nil
}

func (s *server) accept() {
	var id uint64
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			if s.isClosed() {
				return
			}
			time.Sleep(5 * time.Millisecond) // out of file descriptors: leave time for some to be freed
			continue
		}
		id++
		c := newConn(s, id, raw)
		if !s.add(c) {
			s.stats.turnedAway.Add(1)
			c.cut()
			continue
		}
		s.wg.Go(func() {
			defer s.remove(c)
			c.serve()
		})
	}
}

func (s *server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxConnections {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *server) remove(c *conn) {
	c.cut()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}
