// Package promise holds pushd to its promise while the load runs: for each event that is published it opens a promise, and
// closes it when the provider has accepted a push for the device that came after the event, or the publisher was told that
// the device's token is dead. What is open in the end is lost. It believes the publisher and the providers only, never
// pushd's counters.
//
// Package audit judges the same from a list of all that was published, when all is over. A Book remembers only what is open,
// so its memory does not grow with the length of the run, and it knows what is open at each moment.
package promise

import (
	"sync"
	"sync/atomic"
	"time"
)

// Book has the promises of a fleet of devices, which are numbered from 0. It is safe for concurrent use.
type Book struct {
	interval time.Duration // merge.interval
	fleet    []Device
	locks    [64]sync.Mutex // of the devices, by number
	devices  []device
	open     atomic.Int64
	falsely  atomic.Int64
	extra    atomic.Int64 // for certain

	*latencies
	*course
	*timeline
	doubts doubts
}

// Device is what a Book has to know of a device.
type Device struct {
	Class int  // whose latency it counts for
	Lane  int  // whose timeline it counts for
	Dead  bool // its token is dead: the publisher is to be told
}

// Config is what a Book is made for.
type Config struct {
	Interval time.Duration // merge.interval
	Fleet    []Device
	Classes  int
	Lanes    int
	Longest  time.Duration // of the timeline; what comes later is in no second
}

// device is a device's state, guarded by its lock.
type device struct {
	open   []open    // oldest first
	last   time.Time // when the last push was accepted
	credit credit
}

// open is a promise that is not kept yet.
type open struct {
	number int64
	due    time.Time // when it was to be published
	at     time.Time // when it was
	acked  time.Time // when the broker had it; zero until then
}

// New makes a Book without promises.
func New(cfg Config) *Book {
	t := newTimeline(cfg.Lanes, cfg.Longest)
	return &Book{
		interval: cfg.Interval, fleet: cfg.Fleet, devices: make([]device, len(cfg.Fleet)),
		latencies: newLatencies(cfg.Classes), course: newCourse(t.begin, cfg.Classes, cfg.Longest), timeline: t,
	}
}

func (b *Book) lock(n int) *sync.Mutex {
	mu := &b.locks[n%len(b.locks)]
	mu.Lock()
	return mu
}

// Publish opens the promise of an event, just before it is handed to Kafka.
func (b *Book) Publish(n int, number int64, due, at time.Time) {
	defer b.lock(n).Unlock()
	d := &b.devices[n]
	d.open = append(d.open, open{number: number, due: due, at: at})
	b.open.Add(1)
}

// Acknowledged notes that the broker has an event, since that time.
func (b *Book) Acknowledged(n int, number int64, at time.Time) {
	defer b.lock(n).Unlock()
	d := &b.devices[n]
	for i := range d.open {
		if d.open[i].number == number {
			d.open[i].acked = at
			return
		}
	}
	b.latencies.recordSettled(0) // its push was faster than this news
}

// Withdraw takes a promise back: the broker did not take the event.
func (b *Book) Withdraw(n int, number int64) {
	defer b.lock(n).Unlock()
	d := &b.devices[n]
	for i := range d.open {
		if d.open[i].number == number {
			d.open = append(d.open[:i], d.open[i+1:]...)
			b.open.Add(-1)
			return
		}
	}
}

// Accepted notes that a provider has accepted a push, which it received at that time.
func (b *Book) Accepted(n int, at time.Time) {
	defer b.lock(n).Unlock()
	d, who := &b.devices[n], &b.fleet[n]
	rested, since := time.Time{}, time.Duration(0) // where there was no push yet
	if !d.last.IsZero() {
		rested, since = d.last.Add(b.interval), at.Sub(d.last)
	}
	kept, closed, gap := d.open[:0], 0, time.Duration(0)
	begin := b.timeline.begin()
	for _, e := range d.open {
		if e.at.After(at) {
			kept = append(kept, e)
			continue
		}
		due, published := later(e.due, begin), later(e.at, begin)
		due = later(due, rested)
		b.latencies.record(who.Class, at.Sub(due))
		b.course.record(who.Class, e.due, at.Sub(due))
		if !e.acked.IsZero() {
			b.latencies.recordSettled(at.Sub(later(e.acked, later(begin, rested))))
		}
		closed, gap = closed+1, at.Sub(published)
	}
	need, justified := d.credit.spend(closed, gap, since, b.interval)
	switch {
	case !justified || at.Before(rested):
		b.extra.Add(1)
	case closed == 0:
		b.doubts.add(doubt{at: at.Sub(begin), need: need, class: who.Class}, b.justified)
	}
	b.open.Add(int64(len(kept) - len(d.open)))
	d.open = kept
	d.last = at
	b.timeline.count(who.Lane, at)
}

// later is the later one of two times: what was published before the run began waits for pushd from then only.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Dead notes that the publisher was told that a device's token is dead, as was seen at that time.
func (b *Book) Dead(n int, seen time.Time) {
	defer b.lock(n).Unlock()
	d := &b.devices[n]
	if !b.fleet[n].Dead {
		b.falsely.Add(1)
		return
	}
	kept := d.open[:0]
	for _, e := range d.open {
		if e.at.Truncate(time.Millisecond).After(seen) { // feedback has milliseconds
			kept = append(kept, e)
		}
	}
	b.open.Add(int64(len(kept) - len(d.open)))
	d.open = kept
}

// Open is how many promises are open.
func (b *Book) Open() int { return int(b.open.Load()) }

// FalselyDead is how often a token was reported dead that is not.
func (b *Book) FalselyDead() int { return int(b.falsely.Load()) }

// Extra is how many pushes were accepted that no event asked for, or sooner than merge.interval after another. What is
// doubtful while the run goes on is judged by the latencies around it, so it can become less.
func (b *Book) Extra() int {
	return int(b.extra.Load()) + b.doubts.unjustified(b.justified)
}

// Lost are the numbers of the events whose promises are open, a hundred at most.
func (b *Book) Lost() []int64 {
	var numbers []int64
	for n := range b.devices {
		mu := b.lock(n)
		for _, e := range b.devices[n].open {
			if len(numbers) < 100 {
				numbers = append(numbers, e.number)
			}
		}
		mu.Unlock()
	}
	return numbers
}
