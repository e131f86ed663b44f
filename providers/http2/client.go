package http2

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/providers"
	"pushd/providers/connection"
)

var errClosed = errors.New("the client is closed")

// Options are what a Client needs beside a way to dial.
type Options struct {
	Provider       string        // the metrics' label
	Connections    int           // how many are kept at most, beside the one for suspect requests
	Streams        int           // requests under way on a connection at most; the server may allow fewer
	RequestTimeout time.Duration // from Send until the answer
	SettingsWithin time.Duration // how long the server's SETTINGS may take
	PingInterval   time.Duration // after how long without a frame a connection is asked for life
	PingTimeout    time.Duration // how long any frame may take after that; also how long a busy connection may be silent
	MaxAge         time.Duration // when a connection is replaced; 0 means never
	Metrics        *providers.Metrics
	Budget         *Budget // of all clients' connections together; nil is none

	// GoAwayReason is the provider's word for a GOAWAY, from a closed set; "" where there is none. Refuses says whether it
	// is about the credential: then its requests are answered with it rather than sent again.
	GoAwayReason func(debug []byte) string
	Refuses      func(debug []byte) bool
	// Authorization is the authorization header of new connections, or nil. A connection has the same from its first
	// request to its last: when another one is current it takes no more. It is called with a lock held.
	Authorization func() string
}

// Dial opens a connection that speaks HTTP/2. It limits by itself how many are opened in a while.
type Dial func(context.Context) (net.Conn, error)

// Client sends the requests of one credential.
type Client struct {
	dial    Dial
	options Options
	log     *slog.Logger
	epoch   time.Time       // all times are durations since then
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup // all goroutines
	took    prometheus.Observer

	mu         sync.Mutex // guards all below, and what conn says that it guards
	ordinary   group
	suspects   group
	timer      *time.Timer // runs sweep; nil while there is nothing to watch
	resting    bool        // the timer is set for an idle client
	complaints connection.Complaints
	closed     bool
}

// New makes a client; it opens no connection yet.
func New(dial Dial, options Options, log *slog.Logger) *Client {
	c := &Client{dial: dial, options: options, log: log, epoch: time.Now(), complaints: make(connection.Complaints)}
	c.took = options.Metrics.SendDuration.WithLabelValues(options.Provider)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.ordinary = group{client: c, most: options.Connections}
	c.suspects = group{client: c, most: 1}
	return c
}

// groups are the two: for what concerns both.
func (c *Client) groups() [2]*group { return [2]*group{&c.ordinary, &c.suspects} }

func (c *Client) now() time.Duration { return time.Since(c.epoch) }

// mostSuspects is how many suspect requests wait for their own connection, which may have been left one stream. What is
// beyond goes with the others: it would hold their places in whatever the caller bounds.
const mostSuspects = 64

// Send hands requests in; by is told of their answers. It does not wait, and refuses none for load: the caller limits how
// many are under way. The slice is the Client's until all of it is answered. After Close every request fails with Closed.
func (c *Client) Send(by Caller, requests []Request) {
	var out outbox
	c.mu.Lock()
	now := c.now()
	for i := range requests {
		j := job{Request: &requests[i], by: by, since: now}
		switch {
		case c.closed:
			out.fail(&j, &connection.Failure{Kind: connection.Closed, Unprocessed: true, Err: errClosed})
		case j.Suspect && c.suspects.waiting.n < mostSuspects:
			c.suspects.waiting.push(j)
		default:
			c.ordinary.waiting.push(j)
		}
	}
	if !c.closed {
		c.watch()
		c.ordinary.rouse()
		c.suspects.rouse()
	}
	c.mu.Unlock()
	out.deliver(c)
}

// retire lets a connection take no more requests.
func (c *Client) retire(k *conn) {
	var out outbox
	c.mu.Lock()
	k.drain(&out)
	c.mu.Unlock()
	out.deliver(c)
}

// Close ends every connection and answers every request, and waits until no goroutine of the client is left.
func (c *Client) Close() {
	var out outbox
	closed := &connection.Failure{Kind: connection.Closed, Err: errClosed}
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.cancel()
		c.options.Budget.work(c)
		if c.timer != nil && c.timer.Stop() {
			c.running.Done()
		}
		for _, g := range c.groups() {
			g.failWaiting(&connection.Failure{Kind: connection.Closed, Unprocessed: true, Err: errClosed}, &out)
			for _, k := range g.all() {
				k.end(closed, &out)
			}
		}
	}
	c.mu.Unlock()
	out.deliver(c)
	c.running.Wait()
}

// outbox gathers answers while the lock is held, and gives them to their callers when it is not.
type outbox struct {
	by      []Caller // of each answer
	answers []Answer
}

// outboxes are lent to readers while they have something to tell: a connection that rests keeps none.
var outboxes = sync.Pool{New: func() any { return new(outbox) }}

// fail answers a job that has no connection.
func (o *outbox) fail(j *job, f *connection.Failure) {
	o.by = append(o.by, j.by)
	o.answers = append(o.answers, Answer{N: j.N, Failure: f})
}

// add takes an answer to a stream's request; the stream is closed after.
func (o *outbox) add(k *conn, st *stream, now time.Duration, f *connection.Failure) {
	a := Answer{N: st.N, Failure: f, Head: st.Head, Authorization: k.authorization, took: now - st.begun, conn: k}
	if f == nil {
		a.Status, a.RetryAfter, a.Body = st.status, st.retryAfter, st.body
	}
	o.by = append(o.by, st.by)
	o.answers = append(o.answers, a)
}

// deliver tells callers of neighbouring answers together, and keeps the memory for the next ones.
func (o *outbox) deliver(c *Client) {
	if len(o.answers) == 0 {
		return
	}
	for i := 0; i < len(o.answers); {
		j := i
		for ; j < len(o.answers) && o.by[j] == o.by[i]; j++ {
			if o.answers[j].Failure == nil {
				c.took.Observe(o.answers[j].took.Seconds())
			}
		}
		o.by[i].Answered(o.answers[i:j])
		i = j
	}
	clear(o.by)
	clear(o.answers)
	o.by, o.answers = o.by[:0], o.answers[:0]
}
