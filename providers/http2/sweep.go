package http2

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/net/http2"

	"pushd/providers/connection"
)

// A sweep is what a timer for each request would do, for all of them at once: requests are given up as late as one tick
// after their time, of which they have sixteen.
const (
	ticks     = 16
	shortTick = 10 * time.Millisecond
	longTick  = time.Second
	// restTick is for a client that has connections, and nothing under way.
	restTick = 10 * time.Second
)

var (
	errLate       = errors.New("no answer in time")
	errSilent     = errors.New("the server gave no sign of life")
	errNoSettings = errors.New("the server sent no SETTINGS in time")
)

// watch sees to it that a sweep comes, soon where something is under way; Client.mu is held.
func (c *Client) watch() {
	switch {
	case c.closed:
	case c.timer == nil:
		c.running.Add(1)
		c.timer = time.AfterFunc(c.tick(), c.sweep)
	case c.resting && c.timer.Stop():
		c.timer.Reset(c.tick())
	}
	if c.resting {
		c.resting = false
		c.options.Budget.work(c)
	}
}

func (c *Client) tick() time.Duration {
	return max(shortTick, min(longTick, c.options.RequestTimeout/ticks))
}

// sweep gives up what is late and who is silent, and settles the number of connections.
func (c *Client) sweep() {
	defer c.running.Done()
	var out outbox
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	now := c.now()
	busy, any := false, false
	for _, g := range c.groups() {
		for _, k := range g.all() {
			k.inspect(now, &out)
			busy = busy || k.table.n > 0 || k.pinged != 0
		}
		g.giveUp(now, &out)
		g.settle(now, &out)
		busy = busy || g.waiting.n > 0 || g.making
		any = any || len(g.open)+len(g.drained) > 0
	}
	c.timer = nil
	switch {
	case busy:
		c.watch()
	case !any:
		c.resting = false
		c.options.Budget.work(c)
	default:
		c.running.Add(1)
		if !c.resting {
			c.resting = true
			c.options.Budget.rest(c)
			for _, g := range c.groups() {
				g.waiting.shrink()
			}
		}
		c.timer = time.AfterFunc(min(restTick, c.options.PingInterval), c.sweep)
	}
	c.mu.Unlock()
	out.deliver(c)
}

// giveUp fails what waited too long for a connection, and gives up connections that let nothing be sent all the while.
// What is sent again is in front, in any order; behind it, what was handed in first comes first.
func (g *group) giveUp(now time.Duration, out *outbox) {
	late := func(j *job) bool { return now-j.since >= g.client.options.RequestTimeout }
	gaveUp := false
	var again []job
	for g.waiting.n > 0 && (late(g.waiting.front()) || g.waiting.front().tries > 0) {
		j := g.waiting.pop()
		if !late(&j) {
			again = append(again, j)
			continue
		}
		gaveUp = true
		out.fail(&j, &connection.Failure{Kind: connection.Timeout, Unprocessed: true, Err: errLate})
	}
	for _, j := range slices.Backward(again) {
		g.waiting.pushFront(j)
	}
	if !gaveUp {
		return
	}
	for _, k := range g.all() {
		if k.state == open && k.table.n == 0 && k.free() == 0 {
			k.drain(out)
		}
	}
}

// inspect gives up a connection's late streams, and the connection where it gives no sign of life.
func (k *conn) inspect(now time.Duration, out *outbox) {
	o := &k.client.options
	switch {
	case k.state == making:
		if now-k.since >= o.SettingsWithin {
			k.end(&connection.Failure{Kind: connection.Lost, Err: errNoSettings}, out)
		}
		return
	case k.state == ended:
		return
	case k.pinged != 0 && now-max(k.pinged, k.heard) >= o.PingTimeout:
		k.end(&connection.Failure{Kind: connection.Lost, Err: errSilent}, out)
		return
	}
	silent := false
	for i := range k.table.places {
		st := &k.table.places[i]
		if st.id == 0 || now-st.since < o.RequestTimeout {
			continue
		}
		silent = silent || k.heard < st.begun
		k.reset(st, http2.ErrCodeCancel, &connection.Failure{Kind: connection.Timeout, Err: errLate}, now, out)
	}
	if silent {
		k.drain(out)
	}
	quiet := o.PingInterval
	if k.table.n > 0 {
		quiet = min(quiet, o.PingTimeout)
	}
	if k.pinged == 0 && now-k.heard >= quiet {
		k.ping(now)
	}
	if k.table.n == 0 && !k.writing {
		k.table.shrink()
		k.out = nil
	}
	k.endIfDrained(out)
}
