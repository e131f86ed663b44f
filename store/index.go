package store

import (
	"sync/atomic"
	"time"
)

// Index is the memory of one partition: which events were seen, which devices rest, which tokens are dead. It belongs
// to one goroutine. Everything it answers can be told from the journal; what it forgets too early costs an extra push,
// never a wake, and it never claims to know what it does not: two events of one device are told apart by all 64 bits
// of their identity, events of different devices by 88.
//
// Values of events are 8 bits of bucket and 24 of fingerprint; values of devices the time of the last accepted push in
// units of 10 ms, which turn over after 497 days.
type Index struct {
	dedupe     *dedupe
	interval   time.Duration // config's merge interval
	events     table
	devices    table
	restNewest uint64       // the newest time of a rest, in units
	known      atomic.Int64 // devices.used, for whoever reads the metrics
	graves     map[Token]grave
	graveDays  uint32 // how long a grave is kept
	today      uint32
	swept      uint32 // the day when graves were last swept
	warmed     uint32 // what Warm has read, so that it is read
}

// grave is a dead token.
type grave struct {
	since int64  // ms since 1970
	day   uint32 // of the burial
}

const restUnit = 10 * time.Millisecond

func newIndex(cfg Config, d *dedupe) *Index {
	return &Index{
		dedupe:    d,
		interval:  cfg.MergeInterval,
		events:    table{mask: 1<<24 - 1},
		graves:    make(map[Token]grave),
		graveDays: tombstoneDays(cfg),
	}
}

// eventKey is where an event stands in the table: for one device a bijection of the event's identity, and as the tag
// 24 further bits of the device's.
func eventKey(d Device, e EventID) (key uint64, tag uint32) {
	of := mix(uint64(d) + eventSalt)
	return notZero(mix(uint64(e) + of)), uint32(of >> 40)
}

func deviceKey(d Device) uint64 { return notZero(mix(uint64(d) + deviceSalt)) }

// Warm fetches into the processor's caches what will soon be asked about the device and, unless it is 0, about the event. Of
// millions none is in a cache; a few calls one after the other wait for the memory once, where each question would by itself.
func (x *Index) Warm(d Device, e EventID) {
	x.warmed += x.devices.warm(deviceKey(d))
	if e != 0 {
		key, _ := eventKey(d, e)
		x.warmed += x.events.warm(key)
	}
}

// Seen says whether the event of the device was seen within the dedupe window. It is remembered up to a sixteenth of
// the window (at least a second) longer.
func (x *Index) Seen(d Device, e EventID, now time.Time) bool {
	if e == 0 {
		return false
	}
	s := x.dedupe.span(x.dedupe.now(now))
	key, tag := eventKey(d, e)
	c := x.events.find(key, tag, s)
	return c != nil && s.holds(c.val)
}

// See remembers that the event was seen now, unless it was before (Seen); it says whether it was.
func (x *Index) See(d Device, e EventID, now time.Time) (before bool) {
	x.today = dayOf(now)
	if e == 0 {
		return false
	}
	b := x.dedupe.now(now)
	s := x.dedupe.span(max(b, x.dedupe.newest.Load()))
	if !x.room(b, s) {
		return false
	}
	key, tag := eventKey(d, e)
	c := x.events.place(key, tag, s)
	if s.holds(c.val) {
		return true
	}
	x.remember(c, b, tag)
	return false
}

// see remembers that the event was seen in bucket b.
func (x *Index) see(d Device, e EventID, b uint64) {
	s := x.dedupe.span(max(b, x.dedupe.newest.Load()))
	if e == 0 || !x.room(b, s) {
		return
	}
	key, tag := eventKey(d, e)
	c := x.events.place(key, tag, s)
	if s.holds(c.val) {
		x.dedupe.remove(uint8(c.val >> 24))
	}
	x.remember(c, b, tag)
}

// room says whether events of bucket b are remembered.
func (x *Index) room(b uint64, s span) bool {
	if b<<24 >= s.low {
		return true
	}
	if b >= x.dedupe.newest.Load() {
		x.dedupe.evicted.Inc() // the newest bucket went early
	}
	return false
}

func (x *Index) remember(c *slot, b uint64, tag uint32) {
	c.val = uint32(b<<24) | tag
	x.dedupe.add(b)
}

// Unsee forgets an event that is given back unsettled: it must be taken again when it is read again.
func (x *Index) Unsee(d Device, e EventID) {
	if e == 0 {
		return
	}
	s := x.dedupe.span(x.dedupe.newest.Load())
	key, tag := eventKey(d, e)
	if c := x.events.find(key, tag, s); c != nil && s.holds(c.val) {
		x.dedupe.remove(uint8(c.val >> 24))
		c.val = s.dead()
	}
}

// restSpan are the times of pushes that may matter at a time: one merge interval before, and one after, lest a clock
// that is put back loses all of them.
func (x *Index) restSpan(units uint64) span {
	reach := uint64(x.interval/restUnit) + 2
	return span{units - min(units, reach), uint32(2 * reach)}
}

// restUnits is a time in units, not rounded to an earlier one.
func restUnits(t time.Time) uint64 {
	return uint64((max(t.UnixNano(), 0) + int64(restUnit) - 1) / int64(restUnit))
}

// RestedAt is when the last push for the device was accepted, if that is within the merge interval of now. It is not
// earlier than Rest was told, and less than 10 ms later.
func (x *Index) RestedAt(d Device, now time.Time) (time.Time, bool) {
	units := restUnits(now)
	s := x.restSpan(units)
	c := x.devices.find(deviceKey(d), 0, s)
	if c == nil || !s.holds(c.val) {
		return time.Time{}, false
	}
	at := time.Unix(0, int64(s.low+uint64(c.val-uint32(s.low)))*int64(restUnit))
	if now.Sub(at) >= x.interval || at.Sub(now) > x.interval {
		return time.Time{}, false
	}
	return at, true
}

// Rest remembers that a push for the device was accepted at a time. The newest counts.
func (x *Index) Rest(d Device, at time.Time) {
	if x.interval <= 0 {
		return
	}
	units := restUnits(at)
	x.restNewest = max(x.restNewest, units)
	s := x.restSpan(x.restNewest)
	if units < s.low {
		return
	}
	c := x.devices.place(deviceKey(d), 0, s)
	if !s.holds(c.val) || uint32(units)-uint32(s.low) > c.val-uint32(s.low) {
		c.val = uint32(units)
	}
	x.known.Store(int64(x.devices.used))
}

// Forget drops the device's rest.
func (x *Index) Forget(d Device) {
	s := x.restSpan(x.restNewest)
	if c := x.devices.find(deviceKey(d), 0, s); c != nil {
		c.val = s.dead()
	}
}

// DeadSince is since when a token is known to be dead, while it is remembered.
func (x *Index) DeadSince(t Token) (time.Time, bool) {
	g, ok := x.graves[t]
	if !ok || g.day+x.graveDays < x.today {
		return time.Time{}, false
	}
	return time.UnixMilli(g.since), true
}

// Bury remembers that a token is dead since a time; the newest counts. Once a day it drops those that are too old.
func (x *Index) Bury(t Token, since time.Time) {
	day := x.today
	if day == 0 { // nothing was seen yet
		day = dayOf(since)
	}
	x.bury(t, since, day)
	if x.swept == x.today {
		return
	}
	x.swept = x.today
	for t, g := range x.graves {
		if g.day+x.graveDays < x.today {
			delete(x.graves, t)
		}
	}
}

func (x *Index) bury(t Token, since time.Time, day uint32) {
	g, ok := x.graves[t]
	if ms := since.UnixMilli(); !ok || ms > g.since {
		g.since = ms
	}
	g.day = max(g.day, day)
	x.graves[t] = g
}

// Len is how many devices and event ids have a place. Those that expired count until their place is taken by another.
func (x *Index) Len() (devices, events int) { return x.devices.used, x.events.used }

// Bytes is the memory that the index takes.
func (x *Index) Bytes() int {
	const perGrave = 2 * 24 // key and value, at half load
	return x.devices.bytes() + x.events.bytes() + len(x.graves)*perGrave
}
