package simulator

import (
	"container/heap"
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
	for len(c.delayed) > 0 {
		next := &c.delayed[0]
		if wait := next.due.Sub(now); wait > 0 {
			c.flush()
			return wait
		}
		d := heap.Pop(&c.delayed).(delayedAnswer)
		if c.streams[d.id] == d.stream { // else the client has given it up
			c.carryOut(d.stream)
		}
	}
	c.flush()
	return time.Hour
}

// delay keeps a decided answer until it is due; mu is held.
func (c *conn) delay(st *stream, due time.Time) {
	heap.Push(&c.delayed, delayedAnswer{due, st.id, st})
	if c.wake == nil {
		c.wake = make(chan struct{}, 1)
		c.deliver.Add(1)
		go c.deliverDelayed()
		return
	}
	if c.delayed[0].id != st.id {
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

// delayedAnswers is a heap by due time.
type delayedAnswers []delayedAnswer

func (d delayedAnswers) Len() int           { return len(d) }
func (d delayedAnswers) Less(i, j int) bool { return d[i].due.Before(d[j].due) }
func (d delayedAnswers) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *delayedAnswers) Push(x any)        { *d = append(*d, x.(delayedAnswer)) }
func (d *delayedAnswers) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	*d = (*d)[:last]
	return x
}
