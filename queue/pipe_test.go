package queue

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestThePipeTakesAllThatIsThereAndHoldsNoMoreThanABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newPipe()
		const chunk, total = 300, 3000
		var put atomic.Int64
		go func() {
			for put.Load() < total {
				records := make([]Record, chunk)
				for i := range records {
					records[i].Offset = put.Load() + int64(i)
				}
				if !p.put(ctx, records) {
					t.Error("put gives up")
					return
				}
				put.Add(chunk)
			}
		}()
		var batch []Record
		for next := int64(0); next < total; {
			synctest.Wait()
			waits := put.Load() - next
			if waits > maxBatch || put.Load() < total && waits <= maxBatch-chunk {
				t.Fatalf("%d records wait, of at most %d", waits, maxBatch)
			}
			batch = p.take(ctx, batch)
			for _, r := range batch {
				if r.Offset != next {
					t.Fatalf("offset %d comes where %d should", r.Offset, next)
				}
				next++
			}
		}
		cancel()
		if p.take(ctx, batch) != nil {
			t.Error("an ended take returns records")
		}
	})
}
