package http2

import (
	"container/list"
	"sync"
)

// Budget caps the connections of many clients together. What is over it closes the connections of the client that has had
// nothing to send for the longest. A client may always have one connection, though none for suspects: a tenant does not wait for others to rest. So
// the cap holds as long as fewer clients than that are busy at a time.
//
// Its lock is taken with Client.mu held, and never the other way round.
type Budget struct {
	most int

	mu      sync.Mutex // guards all below
	held    int
	resting list.List // of *Client: those with connections and nothing under way, the longest resting first
	places  map[*Client]*list.Element
}

// NewBudget makes a budget of so many connections.
func NewBudget(most int) *Budget {
	return &Budget{most: most, places: make(map[*Client]*list.Element)}
}

// take counts one connection more, and says whose are to be closed for it: nil where there is room, or nobody rests. It
// says no where the connection is not the client's first, and there is no room. A nil budget has room always.
func (b *Budget) take(first bool) (victim *Client, ok bool) {
	if b == nil {
		return nil, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held >= b.most {
		if e := b.resting.Front(); e != nil {
			victim = e.Value.(*Client)
			b.remove(victim)
		} else if !first {
			return nil, false
		}
	}
	b.held++
	return victim, true
}

// give counts one connection less.
func (b *Budget) give() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held--
}

// rest notes that a client has connections, and nothing under way.
func (b *Budget) rest(c *Client) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.places[c] == nil {
		b.places[c] = b.resting.PushBack(c)
	}
}

// work notes that a client does not rest any more.
func (b *Budget) work(c *Client) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(c)
}

func (b *Budget) remove(c *Client) {
	if e := b.places[c]; e != nil {
		b.resting.Remove(e)
		delete(b.places, c)
	}
}

// evict closes a client's connections, unless it has something to send meanwhile.
func (c *Client) evict() {
	var out outbox
	c.mu.Lock()
	for _, g := range c.groups() {
		for _, k := range g.all() {
			if k.state == open && k.table.n == 0 && g.waiting.n == 0 {
				k.drain(&out)
				c.options.Metrics.Evictions.WithLabelValues(c.options.Provider).Inc()
			}
		}
	}
	c.mu.Unlock()
	out.deliver(c)
}
