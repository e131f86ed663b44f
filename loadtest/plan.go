package main

import (
	"math/rand/v2"
	"time"

	"pushd/queue/event"
)

// plan says which event is due when: the rates of the groups as the scenario has them, whatever becomes of the events. The
// same seed makes the same plan.
type plan struct {
	fleet    *fleet
	rng      *rand.Rand
	duration time.Duration
	next     []time.Duration // by group: when its next event is due; the duration where there is none
	last     []int           // by group: the device of its last event
	number   int64           // of the next event
}

// planned is an event of a plan.
type planned struct {
	due      time.Duration
	device   int
	number   int64
	priority event.Priority
	twice    bool // it is published a second time
}

func newPlan(f *fleet, duration time.Duration, seed uint64) *plan {
	p := &plan{fleet: f, rng: rand.New(rand.NewPCG(seed, 0x706c616e)), duration: duration}
	for i := range f.groups {
		p.last = append(p.last, f.first[i])
		p.next = append(p.next, p.after(i, 0, p.rng.Float64()))
	}
	return p
}

// after is when a group's next event is due, so many events after a time.
func (p *plan) after(group int, at time.Duration, events float64) time.Duration {
	for at < p.duration {
		rate, until := p.fleet.groups[group].rate(at)
		if until == 0 || until > p.duration {
			until = p.duration
		}
		due := until
		if rate > 0 {
			due = at + time.Duration(events/rate*float64(time.Second))
		}
		if due < until {
			return due
		}
		events -= rate * (until - at).Seconds()
		at = until
	}
	return p.duration
}

// take is the next event that is due before a time.
func (p *plan) take(before time.Duration) (e planned, ok bool) {
	group := 0
	for i, due := range p.next {
		if due < p.next[group] {
			group = i
		}
	}
	if p.next[group] >= min(before, p.duration) {
		return planned{}, false
	}
	g := &p.fleet.groups[group]
	if p.rng.Float64() >= g.Again {
		p.last[group] = p.fleet.first[group] + p.rng.IntN(g.Devices)
	}
	e = planned{due: p.next[group], device: p.last[group], number: p.number, priority: p.priority(&g.Priorities), twice: p.rng.Float64() < g.Duplicates}
	p.number++
	p.next[group] = p.after(group, e.due, 1)
	return e, true
}

// over says whether all events were taken.
func (p *plan) over() bool {
	for _, due := range p.next {
		if due < p.duration {
			return false
		}
	}
	return true
}

func (p *plan) priority(w *Priorities) event.Priority {
	switch n := p.rng.IntN(w.Urgent + w.Normal + w.Bulk); {
	case n < w.Urgent:
		return event.Urgent
	case n < w.Urgent+w.Normal:
		return event.Normal
	}
	return event.Bulk
}
