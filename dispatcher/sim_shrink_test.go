package dispatcher

import (
	"fmt"
	"slices"
	"strings"
)

// play lets a plan happen and returns what is left of it.
func play(p *plan, tracing bool) *simulation {
	s := newSimulation(p)
	s.tracing = tracing
	s.run()
	return s
}

// shrunk leaves out of a plan what its violation does not need: halves of its items, then smaller pieces, and what makes it
// large besides. It stays a violation of the same kind.
func shrunk(p *plan, fault string) *plan {
	kind, _, _ := strings.Cut(fault, ":")
	tries := 1500
	still := func(smaller *plan) bool {
		tries--
		return tries > 0 && strings.HasPrefix(play(smaller, false).fault, kind)
	}
	for _, simpler := range []func(*plan){
		func(p *plan) { p.machines = 1 }, func(p *plan) { p.machines = 2 }, func(p *plan) { p.partitions = 1 },
		func(p *plan) { p.storm = 0 }, func(p *plan) { p.slowDisk, p.slowCloud = false, false }, func(p *plan) { p.accepted = false },
		func(p *plan) { p.cfg.Rates = DefaultConfig().Rates }, func(p *plan) { p.cfg.Breaker.Count = 0 },
		func(p *plan) { p.cfg.Guard.Count = 0 }, func(p *plan) { p.cfg.Merge.Interval = 0 },
	} {
		smaller := *p
		if simpler(&smaller); still(&smaller) {
			p = &smaller
		}
	}
	for size := len(p.items) / 2; size > 0; size /= 2 {
		for from := 0; from < len(p.items); {
			smaller := *p
			smaller.items = slices.Delete(slices.Clone(p.items), from, min(from+size, len(p.items)))
			if still(&smaller) {
				p = &smaller
			} else {
				from += size
			}
		}
	}
	return p
}

// violation is how a broken promise is shown: as short a history as breaks it, and how to see it again.
func violation(seed uint64, fault string) string {
	whole := newPlan(seed)
	p := shrunk(whole, fault)
	s := play(p, true)
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s\n", seed, fault)
	fmt.Fprintf(&b, "shrunk from %d to %d items: %s\n", len(whole.items), len(p.items), s.fault)
	fmt.Fprintln(&b, p)
	from := max(0, len(s.trace)-200)
	if from > 0 {
		fmt.Fprintf(&b, "(%d lines before)\n", from)
	}
	for _, line := range s.trace[from:] {
		fmt.Fprintln(&b, line)
	}
	fmt.Fprintf(&b, "again: make simulate SEED=%d", seed)
	return b.String()
}

// shown is the history of a seed, whole where it keeps all promises.
func shown(seed uint64) (history string, broken bool) {
	p := newPlan(seed)
	s := play(p, true)
	if s.fault != "" {
		return violation(seed, s.fault), true
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d items\n%v\n", seed, len(p.items), p)
	for _, line := range s.trace {
		fmt.Fprintln(&b, line)
	}
	events := 0
	for _, of := range s.referee.events {
		events += len(of)
	}
	fmt.Fprintf(&b, "seed %d: no promise is broken; %d events, %s, %d wakes lost with a disk where that is documented", seed, events, s.pushes, s.referee.lost)
	return b.String(), false
}

func (p *plan) String() string {
	return fmt.Sprintf("%d machines, %d partitions, %d devices of %d tenants, parked wakes %s, %+v\n%12s %6s  %s",
		p.machines, p.partitions, p.devices, p.tenants, p.cfg.Retry.Durability, p.cfg, "time", "step", "what happens")
}
