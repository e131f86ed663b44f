package connection

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"pushd/providers"
)

// growAt is how many requests every connection must have under way before another is opened, so that a quiet
// credential keeps one.
const growAt = 32

var (
	errClosed = errors.New("the sender is closed")
	errEnded  = errors.New("the server ended the connection at once")
)

// Options are what a Pool needs beside its Dialer.
type Options struct {
	Provider     string // the metrics' label
	Connections  int    // how many are kept at most
	PingInterval time.Duration
	PingTimeout  time.Duration
	Metrics      *providers.Metrics
	GoAwayReason func(debug []byte) string // the provider's word for a GOAWAY, from a closed set; "" where there is none
	// Authorization is the authorization header of new connections, or nil. A connection has the same from its first
	// request to its last: when another one is current it takes no more. It is called with a lock held.
	Authorization func() string
}

func (o Options) authorization() string {
	if o.Authorization == nil {
		return ""
	}
	return o.Authorization()
}

// Pool holds the connections of one credential. It opens the first when there is something to send, and others while
// all are busy. A connection that got GOAWAY or broke takes no more requests and is closed when its last one ended.
//
//	dialing ──settings seen──▶ open ──GOAWAY, end, Exchange.Retire──▶ draining ──last request ended──▶ closed
type Pool struct {
	dialer    *Dialer
	transport *transport
	options   Options
	logger    *slog.Logger
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	dials     sync.WaitGroup

	mu         sync.Mutex // guards all below, and what is below pooled.tap
	open       []*pooled
	draining   map[*pooled]struct{}
	dialing    *attempt // nil while none is being made
	complaints Complaints
	closed     bool
}

// pooled is one connection.
type pooled struct {
	pool     *Pool
	client   *clientConn
	tap      *tap
	inFlight int
	answered time.Time // when it last gave an answer
	retired  bool      // takes no more requests

	authorization string // of all its requests; empty before the first, and where there is none
}

// attempt is a connection in the making, and those who wait for it.
type attempt struct {
	done    chan struct{} // closed by Pool.dial
	failure *Failure      // to be read after done
}

// NewPool makes a pool; it opens no connection yet.
func NewPool(dialer *Dialer, options Options, logger *slog.Logger) *Pool {
	ctx, cancel := context.WithCancel(context.Background())
	return &Pool{
		dialer:     dialer,
		transport:  newTransport(options),
		options:    options,
		logger:     logger.With("host", dialer.host, "port", dialer.port),
		ctx:        ctx,
		cancel:     cancel,
		draining:   make(map[*pooled]struct{}),
		complaints: make(Complaints),
	}
}

// acquire takes a place on the least busy connection, and waits for the first one where there is none. The caller gives
// it back with release.
func (p *Pool) acquire(ctx context.Context) (*pooled, *Failure) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, &Failure{Kind: Closed, Unprocessed: true, Err: errClosed}
		}
		authorization := p.options.authorization()
		c, spent := p.leastBusy(authorization)
		if spent != nil {
			p.mu.Unlock()
			p.retire(spent)
			continue
		}
		if (c == nil || c.inFlight >= growAt) && len(p.open) < p.options.Connections && p.dialing == nil {
			p.startDial()
		}
		if c != nil {
			if c.authorization == "" && authorization != "" { // written by the first request only, and read by all without the lock
				c.authorization = authorization
			}
			c.inFlight++
			p.mu.Unlock()
			return c, nil
		}
		attempt := p.dialing
		p.mu.Unlock()
		select {
		case <-attempt.done:
			if attempt.failure != nil {
				return nil, attempt.failure
			}
		case <-ctx.Done():
			return nil, waitFailure(ctx.Err())
		}
	}
}

// leastBusy finds where a request is best sent; nil where no connection is open. It stops at one that is spent: it has
// another authorization, took its last stream id, or its end is not yet known here. p.mu is held.
func (p *Pool) leastBusy(authorization string) (best, spent *pooled) {
	for _, c := range p.open {
		if !c.client.CanTakeNewRequest() || c.authorization != "" && c.authorization != authorization {
			return nil, c
		}
		if best == nil || c.inFlight < best.inFlight {
			best = c
		}
	}
	return best, nil
}

// release gives back what acquire took at begin, and closes a connection whose last request it was. One that gave no
// answer at all, for as long as a request may take, is given up.
func (p *Pool) release(c *pooled, begin time.Time, failure *Failure) {
	p.mu.Lock()
	c.inFlight--
	if failure == nil {
		c.answered = time.Now()
	}
	silent := failure != nil && failure.Kind == Timeout && c.answered.Before(begin)
	last := c.retired && c.inFlight == 0
	if last {
		p.forget(c)
	}
	p.mu.Unlock()
	switch {
	case last:
		c.client.Close()
	case silent:
		p.retire(c)
	}
}

// retire lets a connection take no more requests. It is called by the connection's reader, too, even before the
// connection is open.
func (p *Pool) retire(c *pooled) {
	p.mu.Lock()
	if c.retired {
		p.mu.Unlock()
		return
	}
	c.retired = true
	idle := false
	for i := range p.open {
		if p.open[i] != c {
			continue
		}
		p.open = append(p.open[:i:i], p.open[i+1:]...)
		p.count(providers.Open, -1)
		p.draining[c] = struct{}{}
		p.count(providers.Draining, 1)
		if idle = c.inFlight == 0; idle {
			p.forget(c)
		}
		break
	}
	p.mu.Unlock()
	if idle {
		c.client.Close()
	}
}

// forget drops a draining connection; p.mu is held.
func (p *Pool) forget(c *pooled) {
	if _, ok := p.draining[c]; ok {
		delete(p.draining, c)
		p.count(providers.Draining, -1)
	}
}

func (p *Pool) count(state string, n float64) {
	p.options.Metrics.Connections.WithLabelValues(p.options.Provider, state).Add(n)
}

// GoAwayLabel is a GOAWAY's label: the provider's word, or else the name of the HTTP/2 error code.
func GoAwayLabel(reason func(debug []byte) string, code http2.ErrCode, debug []byte) string {
	if word := reason(debug); word != "" {
		return word
	}
	if code > http2.ErrCodeHTTP11Required {
		return "unknown"
	}
	return code.String()
}

// startDial begins to make a connection; p.mu is held.
func (p *Pool) startDial() {
	attempt := &attempt{done: make(chan struct{})}
	p.dialing = attempt
	p.dials.Add(1)
	p.count(providers.Dialing, 1)
	go p.dial(attempt)
}

func (p *Pool) dial(attempt *attempt) {
	defer p.dials.Done()
	c, failure := p.connect()

	p.mu.Lock()
	switch {
	case failure != nil:
	case p.closed:
		failure = &Failure{Kind: Closed, Unprocessed: true, Err: errClosed}
	case c.retired:
		failure = streamFailure(errEnded, c.tap)
	default:
		if len(p.open) == 0 {
			p.complaints.Over()
		}
		p.open = append(p.open, c)
		p.count(providers.Open, 1)
	}
	p.dialing = nil
	p.count(providers.Dialing, -1)
	loud, leftOut := false, 0
	if failure != nil && !p.closed {
		loud, leftOut = p.complaints.About(failure.Kind, time.Now())
	}
	p.mu.Unlock()

	if failure != nil {
		attempt.failure = failure
		if c != nil {
			c.client.Close()
		}
		if loud {
			Complain(p.logger, failure, leftOut)
		}
	}
	close(attempt.done)
}

// connect opens a connection and waits for the answer to a PING, which comes after the server's SETTINGS: until those
// are read x/net would open up to 100 streams, which a server with a lower limit refuses.
func (p *Pool) connect() (*pooled, *Failure) {
	conn, err := p.dialer.Dial(p.ctx)
	if err != nil {
		return nil, DialFailure(err)
	}
	c := &pooled{pool: p, tap: &tap{Conn: conn}}
	c.tap.onEnd = func() { p.retire(c) }
	c.tap.onGoAway = func(frame goAwayFrame) {
		p.retire(c)
		p.options.Metrics.GoAways.WithLabelValues(p.options.Provider, GoAwayLabel(p.options.GoAwayReason, frame.code, frame.debug)).Inc()
	}
	client, err := p.transport.newClient(c.tap)
	if err != nil {
		conn.Close()
		return nil, DialFailure(err)
	}
	c.client = client
	ctx, cancel := context.WithTimeout(p.ctx, p.dialer.timeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		failure := streamFailure(err, c.tap)
		failure.Unprocessed = true
		return c, failure
	}
	return c, nil
}

// Close closes every connection; requests under way fail with Closed or Lost. It waits for a connection in the making.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	connections := append([]*pooled(nil), p.open...)
	for c := range p.draining {
		connections = append(connections, c)
	}
	p.mu.Unlock()
	p.cancel()
	for _, c := range connections {
		p.retire(c)
		c.client.Close()
	}
	p.dials.Wait()
}
