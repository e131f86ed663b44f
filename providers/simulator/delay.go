package simulator

import (
	"slices"
	"time"
)

// deliverDelayed sends answers when their latency has passed. One goroutine per connection that has such answers.
func (c *conn) deliverDelayed() {
	defer c.deliver.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(c.sendDue(time.Now()))
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.closed:
			return
		}
	}
}

// sendDue sends the answers that are due and returns how long to wait for the next.
func (c *conn) sendDue(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		next, ok := c.delayed.first()
		if !ok {
			break
		}
		if wait := next.due.Sub(now); wait > 0 {
			c.flush()
			return wait
		}
		d := c.delayed.take()
		if c.streams[d.id] == d.stream { // else the client has given it up
			c.carryOut(d.stream)
		}
	}
	c.flush()
	return time.Hour
}

// delay keeps a decided answer until it is due; mu is held.
func (c *conn) delay(st *stream, due time.Time) {
	first := c.delayed.add(delayedAnswer{due, st.id, st})
	if c.wake == nil {
		c.wake = make(chan struct{}, 1)
		c.deliver.Add(1)
		go c.deliverDelayed()
		return
	}
	if !first {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

type delayedAnswer struct {
	due    time.Time
	id     uint32
	stream *stream
}

// delayedAnswers are in the order in which they are due; those that are due at the same time, in the order in which they
// came. Mostly all take the same time, and then a new one is the last.
type delayedAnswers struct {
	queue []delayedAnswer
	taken int // from the front of queue, already
}

func (d *delayedAnswers) first() (delayedAnswer, bool) {
	if d.taken == len(d.queue) {
		return delayedAnswer{}, false
	}
	return d.queue[d.taken], true
}

// add puts an answer in its place, and reports whether that is the first.
func (d *delayedAnswers) add(a delayedAnswer) bool {
	i := len(d.queue)
	for i > d.taken && a.due.Before(d.queue[i-1].due) {
		i--
	}
	d.queue = slices.Insert(d.queue, i, a)
	return i == d.taken
}

// take takes the first one; there is one.
func (d *delayedAnswers) take() delayedAnswer {
	a := d.queue[d.taken]
	d.queue[d.taken] = delayedAnswer{}
	if d.taken++; 2*d.taken >= len(d.queue) {
		d.queue = slices.Delete(d.queue, 0, d.taken)
		d.taken = 0
	}
	return a
}
