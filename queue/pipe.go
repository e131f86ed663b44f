package queue

import (
	"context"
	"sync"
)

// maxBatch is how many records are handed over at once, and so how many may wait to be. Where as many wait, the broker
// is not asked for more: a paused partition holds this many records twice, here and where they wait for room, and what is left
// of one answer.
const maxBatch = 1000

// pipe joins the fetch of a partition to its hand-over: records pile up while the owner is busy, and it takes all that
// are there.
type pipe struct {
	mu      sync.Mutex
	records []Record // guarded by mu; at most maxBatch

	filled chan struct{} // capacity 1; put writes, take reads
	room   chan struct{} // capacity 1; take writes, put reads
}

func newPipe() *pipe {
	return &pipe{filled: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// put waits for room for all of records, at most maxBatch, and copies them. It returns false where ctx ended first.
func (p *pipe) put(ctx context.Context, records []Record) bool {
	for {
		p.mu.Lock()
		fits := len(p.records)+len(records) <= maxBatch
		if fits {
			p.records = append(p.records, records...)
		}
		p.mu.Unlock()
		if fits {
			signal(p.filled)
			return true
		}
		select {
		case <-p.room:
		case <-ctx.Done():
			return false
		}
	}
}

// take waits for records and returns all that are there, or nil where ctx ended first. It gives back the slice that the
// last call returned.
func (p *pipe) take(ctx context.Context, last []Record) []Record {
	clear(last) // or the records of a busy moment would be held for as long as the partition is quiet
	for {
		select {
		case <-p.filled:
		case <-ctx.Done():
			return nil
		}
		p.mu.Lock()
		batch := p.records
		if len(batch) > 0 {
			p.records = last[:0]
		}
		p.mu.Unlock()
		if len(batch) > 0 {
			signal(p.room)
			return batch
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
