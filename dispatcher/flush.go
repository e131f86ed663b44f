package dispatcher

import (
	"context"
	"time"

	"pushd/store"
)

const (
	// flushEvery is how often outcomes are written: what a crash can make pushd send twice.
	flushEvery = 200 * time.Millisecond
	// expireEvery is how often old journal buckets are dropped.
	expireEvery = time.Minute
)

// collected is one shard's part of a flush.
type collected struct {
	shard *shard
	flush store.Flush
	done  flushed
}

// flushLoop is the flusher's goroutine: every flushEvery, or sooner when much waits, it writes what all shards have in
// one batch with one sync.
func (e *Engine) flushLoop(ctx context.Context) {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	expired := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-e.flushBell:
		}
		e.flushOnce()
		if now := time.Now(); now.Sub(expired) > expireEvery {
			expired = now
			if err := e.deps.Ledger.Expire(now); err != nil {
				e.deps.Logger.Error("old journal records cannot be dropped; the ledger grows until they can", "error", err)
			}
		}
	}
}

// flushOnce writes what the shards have now and tells them. It returns how many shards had something. Where the ledger
// cannot write, the engine is over: no push is begun any more, for nobody could remember it, and no offset is done. The
// process is to end; the next one reads the events again.
func (e *Engine) flushOnce() int {
	e.flushMu.Lock()
	defer e.flushMu.Unlock()
	if e.broken.Load() {
		return 0
	}
	parts := e.collect()
	if len(parts) == 0 {
		return 0
	}
	flushes := make([]store.Flush, len(parts))
	for i := range parts {
		flushes[i] = parts[i].flush
	}
	if err := e.deps.Ledger.Write(flushes); err != nil {
		e.broken.Store(true)
		e.Halt()
		e.deps.Logger.Error("the ledger cannot be written; no push is begun and no offset committed any more", "error", err)
		e.deps.Fail(err)
		return 0
	}
	for i := range parts {
		parts[i].shard.durable(parts[i].done)
	}
	return len(parts)
}

// collect asks every shard, and waits for all.
func (e *Engine) collect() []collected {
	e.mu.Lock()
	reply := make(chan collected, len(e.shards))
	asked := len(e.shards)
	for _, s := range e.shards {
		s.collect(reply)
	}
	e.mu.Unlock()
	var parts []collected
	for range asked {
		select {
		case c := <-reply:
			if c.shard != nil {
				parts = append(parts, c)
			}
		case <-e.workCtx.Done():
			return nil
		}
	}
	return parts
}
