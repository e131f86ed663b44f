package dispatcher

import (
	"container/heap"
	"time"
	"unsafe"
)

// agenda is what is going to happen in a simulation, in order of time; at the same time, in the order it was planned.
type agenda struct {
	at      time.Duration // now: true time since the beginning
	planned int
	entries entries
}

type entry struct {
	at    time.Duration
	order int
	run   func()
}

// later lets run happen when that much time has passed.
func (a *agenda) later(in time.Duration, run func()) {
	a.planned++
	heap.Push(&a.entries, &entry{a.at + max(0, in), a.planned, run})
}

// next lets the next thing happen; false where nothing is planned until then.
func (a *agenda) next(until time.Duration) bool {
	if len(a.entries) == 0 || a.entries[0].at > until {
		a.at = max(a.at, until)
		return false
	}
	e := heap.Pop(&a.entries).(*entry)
	a.at = e.at
	e.run()
	return true
}

type entries []*entry

func (e entries) Len() int { return len(e) }
func (e entries) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *entries) Push(x any)   { *e = append(*e, x.(*entry)) }
func (e *entries) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	return x
}

// booted is how long machines had been up when a simulation begins.
const booted = time.Hour

// clockOf is what time.Now says on a machine whose wall clock is off by so much: both its clocks, as only time.Now makes
// them. So a jump of the wall clock does in a simulation what it does in a process, and nothing else: the monotonic clock,
// by which times of one process are compared, goes on. There is no other way to make such a time than to write down how it
// lies in memory; TestTheSimulatedClockHasTwoHands watches over it.
func clockOf(at, off time.Duration) time.Time {
	const hasMonotonic, since1885 = 1 << 63, 2682288000
	wall := epoch.Add(at + off)
	made := struct {
		wall uint64
		ext  int64
		loc  *time.Location
	}{hasMonotonic | uint64(wall.Unix()+since1885)<<30 | uint64(wall.Nanosecond()), int64(booted + at), nil}
	return *(*time.Time)(unsafe.Pointer(&made))
}
