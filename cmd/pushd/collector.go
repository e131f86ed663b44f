package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// headroom is how much garbage may gather until it is collected, in bytes. Go's default is as much as is in use: on the
	// small heap of a daemon that passes things on that means many collections a second, and with the tables of ten million
	// devices more memory than the tables have.
	headroom = 256 << 20
	// spacious is how much memory the heap may have with all of that. One that needs more for itself, as with ten million
	// devices, has less headroom, but not less than leastHeadroom.
	spacious      = 768 << 20
	leastHeadroom = 128 << 20
	// leastPercent bounds how often a large heap is collected.
	leastPercent = 20
	// leastHeap is reckoned with at least: below it the percentage would be larger than the runtime's own least heap is made for.
	leastHeap = 64 << 20
	// tuneEvery is how often it is looked at: a heap that grows fast has hardly been collected twice since.
	tuneEvery = time.Second
)

// tuneCollector gives the garbage collector its headroom until ctx ends, unless the operator has set GOGC. The limit of the
// process's memory (limitProcess) goes before it.
func tuneCollector(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	ticker := time.NewTicker(tuneEvery)
	defer ticker.Stop()
	for set := 0; ; {
		if percent := collectorPercent(liveHeap()); 8*max(percent-set, set-percent) > set { // each call stops the world for a moment
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// collectorPercent is the headroom in parts of the heap that is in use, as GOGC has it.
func collectorPercent(live uint64) int {
	live = max(live, leastHeap)
	room := max(leastHeadroom, min(headroom, spacious-int64(live)))
	return max(leastPercent, int(uint64(room)*100/live))
}

// liveHeap is what the last collection left, in bytes; 0 before the first.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
