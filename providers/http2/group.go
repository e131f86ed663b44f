package http2

import (
	"slices"
	"time"

	"pushd/providers"
	"pushd/providers/connection"
)

// growAt is how many requests must wait, beyond what the connections can take, before another connection is opened: so that
// a quiet credential keeps one.
const growAt = 32

// group is connections that share a queue: those that can take requests pull from it, so the load spreads by how many
// streams each has free. Client.mu guards it.
//
//	making ──SETTINGS──▶ open ──GOAWAY, age, Retire, too many──▶ draining ──last stream closed──▶ ended
//	   └──────────────────┴────────── broken, silent, Close ────────┴────────────────────────────▶ ended
type group struct {
	client  *Client
	most    int // connections at most
	waiting ring
	open    []*conn
	making  bool  // one is: by Client.connect until fresh is set, by fresh until it has the server's SETTINGS
	fresh   *conn // has no SETTINGS yet
	drained []*conn

	peak      int           // of requests under way and waiting, since settled
	settled   time.Duration // when it was looked at whether fewer connections would do
	replacing bool          // the one being made takes the place of one that is too old
}

// all are the group's connections.
func (g *group) all() []*conn {
	all := slices.Concat(g.open, g.drained)
	if g.fresh != nil {
		all = append(all, g.fresh)
	}
	return all
}

// rouse wakes as many connections as the waiting requests need, the freest first, and has one made where they are too few.
// One that is writing needs no waking, and may be stuck.
func (g *group) rouse() {
	need := g.waiting.n
	if need == 0 || g.client.closed {
		return
	}
	var freest *conn
	free, allowed := 0, 0
	for _, k := range g.open {
		n := k.free()
		free += n
		allowed += k.allowed()
		if n > 0 && !k.writing && (freest == nil || n > freest.free()) {
			freest = k
		}
	}
	if freest != nil {
		freest.rouse()
		if need > growAt { // it would be long at them alone
			for _, k := range g.open {
				if k.free() > 0 {
					k.rouse()
				}
			}
		}
	}
	if allowed == 0 || need-free >= growAt {
		g.grow()
	}
}

// grow has a connection made, if that is allowed and none is being made.
func (g *group) grow() {
	if g.making || len(g.open) >= g.most || g.client.closed {
		return
	}
	g.make()
}

// make has a connection made, if the budget allows it. Where it allows none for suspects, they go with the others.
func (g *group) make() {
	c := g.client
	c.watch() // so that it does not rest, and is not its own victim
	victim, ok := c.options.Budget.take(g == &c.ordinary && len(g.open)+len(g.drained) == 0)
	if !ok {
		if g == &c.suspects && len(g.open) == 0 {
			for g.waiting.n > 0 {
				c.ordinary.waiting.push(g.waiting.pop())
			}
			c.ordinary.rouse()
		}
		return
	}
	g.making = true
	c.count(providers.Dialing, 1)
	c.running.Go(func() {
		if victim != nil {
			victim.evict()
		}
		c.connect(g)
	})
}

// replace has a connection made in the place of the eldest, if there is none being made.
func (g *group) replace() {
	if !g.making && !g.client.closed {
		g.make()
		g.replacing = g.making
	}
}

// made notes that the connection being made is open, or will not be.
func (g *group) made() {
	g.making, g.fresh, g.replacing = false, nil, false
	g.client.count(providers.Dialing, -1)
}

// failWaiting answers what waits for a connection.
func (g *group) failWaiting(f *connection.Failure, out *outbox) {
	for g.waiting.n > 0 {
		j := g.waiting.pop()
		out.fail(&j, f)
	}
}

// connect opens a connection. Its reader says when it has the server's SETTINGS.
func (c *Client) connect(g *group) {
	socket, err := c.dial(c.ctx)
	var out outbox
	c.mu.Lock()
	switch {
	case err != nil:
		g.notMade(connection.DialFailure(err), &out)
	case c.closed:
		defer socket.Close() // without the lock: it says goodbye
		g.notMade(&connection.Failure{Kind: connection.Closed, Unprocessed: true, Err: errClosed}, &out)
	default:
		g.fresh = newConn(g, socket)
		c.running.Go(g.fresh.read)
		c.running.Go(g.fresh.write)
	}
	c.mu.Unlock()
	out.deliver(c)
}

// notMade notes why the connection could not be made: what waits hears of it, unless another one is open.
func (g *group) notMade(f *connection.Failure, out *outbox) {
	g.made()
	g.client.options.Budget.give()
	if len(g.open) == 0 {
		g.failWaiting(f, out)
	}
	c := g.client
	if c.closed {
		return
	}
	if loud, leftOut := c.complaints.About(f.Kind, time.Now()); loud {
		// The log's writer may be slow; it is not waited for with the lock held.
		c.running.Go(func() { connection.Complain(c.log, f, leftOut) })
	}
}

// opened puts the connection that was made to use, in the place of an old one where it was made for that.
func (g *group) opened(k *conn, out *outbox) {
	replacing := g.replacing
	g.made()
	g.client.complaints.Over()
	g.open = append(g.open, k)
	g.client.count(providers.Open, 1)
	if len(g.open) > 1 && replacing {
		g.eldest().drain(out)
	}
	g.rouse()
}

func (g *group) eldest() *conn {
	return slices.MinFunc(g.open, func(a, b *conn) int { return int(a.since - b.since) })
}

// closing takes a connection off the open ones.
func (g *group) closing(k *conn) {
	if i := slices.Index(g.open, k); i >= 0 {
		g.open = slices.Delete(g.open, i, i+1)
		g.client.count(providers.Open, -1)
	}
}

// settleEvery is how long a group has more connections than it needs before one is closed.
const settleEvery = time.Minute

// settle closes a connection where half of the others would have done for a while, and replaces one that is too old.
func (g *group) settle(now time.Duration, out *outbox) {
	under := g.waiting.n
	streams := 0
	for _, k := range g.open {
		under += k.table.n
		streams += k.allowed()
	}
	g.peak = max(g.peak, under)
	if len(g.open) == 0 {
		return
	}
	eldest := g.eldest()
	if age := g.client.options.MaxAge; age > 0 && now-eldest.since > eldest.age && !g.making {
		if g.replace(); !g.making && (len(g.open) > 1 || under == 0) {
			eldest.drain(out) // the budget allows no other beside it
		}
		return
	}
	if now-g.settled < settleEvery {
		return
	}
	if n := len(g.open); n > 1 && g.peak <= max(growAt, streams/n*(n-1)/2) && !g.making {
		eldest.drain(out)
	}
	g.peak, g.settled = under, now
}

func (c *Client) count(state string, n float64) {
	c.options.Metrics.Connections.WithLabelValues(c.options.Provider, state).Add(n)
}
