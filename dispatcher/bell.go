package dispatcher

import "time"

const (
	// gather is how long what is not urgent waits before a gate, for more that can be sent with it.
	gather = 300 * time.Microsecond
	// gatherResults is how long results wait before a shard, where no other input takes them along. Nothing is sent
	// later by that: their gate has heard of them.
	gatherResults = 5 * time.Millisecond
	// gathered is how much of either does not wait for more.
	gathered = 256
	// dueGrain is how long after a step a shard looks at what was due since.
	dueGrain = 5 * time.Millisecond
)

// bell wakes the goroutine of a shard, or of a gate: at once, or soon, so that it takes together what comes meanwhile. What a
// goroutine costs to wake, to look around and to write is shared by all of it.
type bell struct {
	rung chan struct{} // capacity 1; whoever has something new writes, the goroutine reads
	soon *time.Timer   // whoever has something new sets it, the goroutine reads its channel
}

func newBell() bell {
	b := bell{rung: make(chan struct{}, 1), soon: time.NewTimer(time.Hour)}
	b.soon.Stop()
	return b
}

func (b *bell) ring() { ring(b.rung) }

// ringFor is called by who has put something into an inbox in which n waited before it and m do now: the first sets the
// time, and none waits when there are many.
func (b *bell) ringFor(n, m int, within time.Duration) {
	switch {
	case m >= gathered:
		b.ring()
	case n == 0:
		b.soon.Reset(within)
	}
}

func ring(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
