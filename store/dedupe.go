package store

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// dedupeBuckets is how many buckets the dedupe window has.
const dedupeBuckets = 16

// uptime is the time in which event ids age: true time without the pause between two processes. It starts with the
// first time that anyone names, since the ledger has no clock of its own.
type uptime struct {
	resumed time.Time                 // the last time that the process before was alive; zero in a new ledger
	started atomic.Pointer[time.Time] // nil until then
}

// start returns the first time that was named, which is now if none was.
func (u *uptime) start(now time.Time) time.Time {
	if t := u.started.Load(); t != nil {
		return *t
	}
	first := now // of the parameter's address each call would make an object
	u.started.CompareAndSwap(nil, &first)
	return *u.started.Load()
}

// longAgo keeps uptimes positive.
const longAgo = 50 * 365 * 24 * time.Hour

// now is the uptime of a time that this process named. The clock's jumps do not move it.
func (u *uptime) now(t time.Time) time.Duration { return longAgo + t.Sub(u.start(t)) }

// of is the uptime of a time that is in the journal.
func (u *uptime) of(at time.Time) time.Duration {
	if !at.After(u.resumed) {
		return longAgo + at.Sub(u.resumed)
	}
	if started := u.started.Load(); started != nil {
		return longAgo + at.Sub(*started)
	}
	return longAgo // the clock was put back before the process ended
}

// back is the journal's time that is age of uptime before t.
func (u *uptime) back(t time.Time, age time.Duration) time.Time {
	past := t.Add(-age)
	if started := u.started.Load(); started != nil && past.Before(*started) && !u.resumed.IsZero() && u.resumed.Before(*started) {
		return past.Add(-started.Sub(u.resumed))
	}
	return past
}

// dedupe is what the indexes of a process share: the time in buckets, and how many event ids are in each. Together
// they remember max event ids at most; where that is full the oldest bucket goes early, in all indexes at once.
type dedupe struct {
	uptime
	bucket  time.Duration
	window  uint64 // in buckets
	max     int64
	evicted prometheus.Counter

	// counts is a ring by bucket. A count is off by the few event ids that are unseen while their bucket goes.
	counts [256]atomic.Int64

	mu     sync.Mutex    // guards moving the two below, and clearing counts
	newest atomic.Uint64 // the newest bucket that anyone named
	floor  atomic.Uint64 // buckets before it are forgotten
}

func newDedupe(cfg Config, resumed time.Time, evicted prometheus.Counter) *dedupe {
	bucket := cfg.Bucket()
	d := &dedupe{
		uptime:  uptime{resumed: resumed},
		bucket:  bucket,
		window:  uint64((cfg.DedupeWindow + bucket - 1) / bucket),
		max:     int64(cfg.DedupeMaxEntries),
		evicted: evicted,
	}
	d.newest.Store(d.bucketOf(longAgo))
	return d
}

// bucketOf is the bucket of an uptime.
func (d *dedupe) bucketOf(up time.Duration) uint64 { return uint64(max(up, 0) / d.bucket) }

// now is the bucket of a time that this process named, journaled that of a time in the journal: never a bucket to come.
func (d *dedupe) now(t time.Time) uint64 { return d.bucketOf(d.uptime.now(t)) }
func (d *dedupe) journaled(t time.Time) uint64 {
	return min(d.bucketOf(d.uptime.of(t)), d.newest.Load())
}

// pass notes that a time has come.
func (d *dedupe) pass(t time.Time) {
	if b := d.now(t); b > d.newest.Load() {
		d.advance(b)
	}
}

// span is the stretch of buckets that are remembered when b is the current one. The bucket is in the upper 8 bits of
// a value, so the circle has 256, and a window is short against it.
func (d *dedupe) span(b uint64) span {
	if b > d.newest.Load() {
		d.advance(b)
	}
	low := d.low(b)
	head := max(b, d.newest.Load(), low)
	return span{low << 24, uint32(min(head-low+1, 64)<<24 - 1)}
}

// low is the oldest bucket that is remembered when b is the current one.
func (d *dedupe) low(b uint64) uint64 { return max(b-min(b, d.window), d.floor.Load()) }

// advance makes b the newest bucket.
func (d *dedupe) advance(b uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	newest := d.newest.Load()
	for c := max(newest+1, b-min(b, 255)); c <= b; c++ {
		d.counts[c%256].Store(0)
	}
	d.newest.Store(max(newest, b))
}

// add counts an event id in bucket b, and makes room from time to time.
func (d *dedupe) add(b uint64) {
	if d.counts[b%256].Add(1)%64 == 0 {
		d.makeRoom()
	}
}

// remove counts an event id out of the bucket whose lowest 8 bits are b.
func (d *dedupe) remove(b uint8) { d.counts[b].Add(-1) }

// entries is how many event ids are remembered.
func (d *dedupe) entries() int64 {
	n := int64(0)
	newest := d.newest.Load()
	for b := d.low(newest); b <= newest; b++ {
		n += d.counts[b%256].Load()
	}
	return n
}

// makeRoom forgets the oldest buckets while there are too many event ids. Where the newest bucket alone is too many,
// it goes as well, and nothing is remembered until the next one begins.
func (d *dedupe) makeRoom() {
	d.mu.Lock()
	defer d.mu.Unlock()
	newest := d.newest.Load()
	for b := d.low(newest); b <= newest && d.entries() > d.max; b++ {
		d.evicted.Add(math.Max(0, float64(d.counts[b%256].Swap(0))))
		d.floor.Store(b + 1)
	}
}
