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
	// collectEvery is how seldom it need be collected: a daemon with little to do gets as much headroom as it fills in that time,
	// and not less than idleHeadroom, so that it stays small.
	collectEvery = 10 * time.Second
	idleHeadroom = 32 << 20
	// leastPercent bounds how often a large heap is collected.
	leastPercent = 20
	// leastHeap is reckoned with at least: before the first collection nothing is known to be in use, and the runtime's own least
	// heap, 4 MB, grows with the percentage too.
	leastHeap = 8 << 20
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
	pace := uint64(headroom) // bytes allocated in a second, lately; at the start there is much to do
	for set, before := 0, uint64(0); ; {
		live, allocated := heap()
		if before > 0 {
			pace = max(allocated-before, pace-pace/16)
		}
		before = allocated
		if percent := collectorPercent(live, pace); 8*max(percent-set, set-percent) > set { // each call stops the world for a moment
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
func collectorPercent(live, pace uint64) int {
	live = max(live, leastHeap)
	room := max(leastHeadroom, min(headroom, spacious-int64(live)))
	room = min(room, max(idleHeadroom, int64(pace)*int64(collectEvery/tuneEvery)))
	return max(leastPercent, int(uint64(room)*100/live))
}

// heap is what the last collection left, 0 before the first, and what was allocated ever since the start, in bytes.
func heap() (live, allocated uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	for i, to := range []*uint64{&live, &allocated} {
		if samples[i].Value.Kind() == metrics.KindUint64 {
			*to = samples[i].Value.Uint64()
		}
	}
	return live, allocated
}
