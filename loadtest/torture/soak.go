package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// sampleEvery is how often it is looked what the resident uses.
	sampleEvery = 2 * time.Second
	// warm is the part of the soak in which the resident may grow.
	warm = 1. / 3
	// span is of how much time the lowest value counts.
	span = 30 * time.Second
	// flat is the part of its mean by which the memory may grow over the rest of the soak.
	flat = 0.1
	// headroom is by how many MB it may in any case: so much the collector of a daemon with little to do lets come and go.
	headroom = 32
	// calm is how long there is load before the troubles.
	calm = 20 * time.Second
)

func soaks(c *command) time.Duration {
	if c.Short {
		return 40 * time.Second
	}
	return time.Duration(c.Minutes * float64(time.Minute))
}

func soakLasts(c *command) time.Duration { return calm + soaks(c) + 2*time.Minute }

// usage is what a daemon uses, over time.
type usage struct{ memory, heap, descriptors, goroutines, ledger trend }

// soak has three daemons go through all kinds of trouble, in an order that is drawn, for minutes. One of them, the resident, is never
// ended: its partitions and connections come and go, and what it uses must stay flat. Before the troubles and after them it is
// alone and has nothing to do.
func soak(ctx context.Context, p *play) error {
	resident, err := p.startReady(ctx, members[0])
	if err != nil {
		return err
	}
	group := map[string]*member{members[0]: resident}
	p.publish(ctx)
	if err := p.rest(ctx, calm); err != nil {
		return err
	}
	before, err := p.idle(ctx, resident)
	if err != nil {
		return err
	}
	for _, name := range members[1:] {
		if group[name], err = p.startReady(ctx, name); err != nil {
			return err
		}
	}
	if _, err := p.shared(ctx, group); err != nil {
		return err
	}
	p.publish(ctx)
	used := newUsage()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	began := time.Now()
	p.goOn(watching, "watch the resident", func(ctx context.Context) error { return resident.watch(ctx, used, began) })

	done := make(map[string]int)
	for end := time.Now().Add(soaks(p.command)); time.Now().Before(end); {
		if err := p.rest(ctx, p.upTo(time.Second, 4*time.Second)); err != nil {
			return err
		}
		what, err := p.anyTrouble(ctx, group)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		done[what]++
		p.say("%s; %d pushes", what, p.stage.Accepted())
		if err := p.loaded(); err != nil {
			return err
		}
	}
	stop()
	for _, name := range members[1:] {
		if err := group[name].stop(ctx); err != nil {
			return err
		}
		delete(group, name)
	}
	if _, err := p.shared(ctx, group); err != nil {
		return err
	}
	after, err := p.idle(ctx, resident)
	if err != nil {
		return err
	}
	p.judgeSoak(used, done)
	p.report.leaks(before, after)
	return resident.stop(ctx)
}

// anyTrouble draws what happens next, and returns when it is over.
func (p *play) anyTrouble(ctx context.Context, group map[string]*member) (what string, err error) {
	const short = 3 * time.Second
	switch n := p.rng.IntN(20); {
	case n < 9:
		how := [...]string{"stopped", "killed", "frozen"}[n/3]
		name := members[1+p.rng.IntN(len(members)-1)]
		_, err = p.change(ctx, group, name, how)
		return "a member is " + how, err
	case n < 14:
		l, t := p.legs[p.rng.IntN(len(p.legs))], toxics[p.rng.IntN(len(toxics))]
		if err := l.poison(t.kind, t.attributes, upstream, downstream); err != nil {
			return t.kind, err
		}
		err = p.rest(ctx, short)
		l.cure(ctx)
		return "a toxic is on the way", err
	case n < 18:
		provider, cut := apns, p.stage.APNs.CutConnections
		if p.rng.IntN(2) == 0 {
			provider, cut = fcm, p.stage.FCM.CutConnections
		}
		now := p.trouble.of(provider)
		now.Store(&misbehaviours[p.rng.IntN(len(misbehaviours))])
		cut()
		err = p.rest(ctx, short)
		now.Store(nil)
		cut()
		return "a provider misbehaves", err
	case n < 19:
		p.kafka.Kill()
	default:
		p.kafka.Shutdown()
	}
	return "the broker is restarted", p.kafka.Restart(ctx)
}

func newUsage() *usage {
	return &usage{
		memory: trend{what: "MB of memory resident"}, heap: trend{what: "MB of Go's heap"}, descriptors: trend{what: "descriptors"},
		goroutines: trend{what: "goroutines"}, ledger: trend{what: "MB of the ledger on disk"},
	}
}

// watch looks what a daemon uses until ctx ends.
func (m *member) watch(ctx context.Context, u *usage, since time.Time) error {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		values, err := m.scrape(ctx)
		if err != nil {
			continue // it is busy; the next answer will do
		}
		status, err := m.Proc.NewStatus()
		if err != nil {
			return err
		}
		descriptors, err := m.Proc.FileDescriptorsLen()
		if err != nil {
			return err
		}
		at := time.Since(since)
		u.memory.add(at, float64(status.VmRSS)/(1<<20))
		u.heap.add(at, values["go_memstats_heap_alloc_bytes"]/(1<<20))
		u.descriptors.add(at, float64(descriptors))
		u.goroutines.add(at, values["go_goroutines"])
		u.ledger.add(at, float64(sizeOf(m.ledger()))/(1<<20))
	}
}

// sizeOf is the bytes of a directory's files, as far as they stay while they are counted.
func sizeOf(dir string) (bytes int64) {
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// judgeSoak tells what was used, and holds the growth of the memory after the warm-up against what is flat.
func (p *play) judgeSoak(u *usage, done map[string]int) {
	p.verdict()
	r := p.report
	for _, what := range slices.Sorted(maps.Keys(done)) {
		r.figure(float64(done[what]), "times %s", what)
	}
	r.figure(100*float64(r.Extra)/float64(max(1, r.Pushes)), "percent of the pushes too many")
	table := Table{Title: "What the resident used, the least of each half minute", Head: []string{"at s"}}
	for i, t := range []*trend{&u.memory, &u.heap, &u.descriptors, &u.goroutines, &u.ledger} {
		floors := t.floors(span)
		table.Head = append(table.Head, t.what)
		for n, v := range floors.values {
			if i == 0 {
				table.add(floors.at[n].Seconds())
			}
			table.Rows[n] = append(table.Rows[n], number(v))
		}
		later := floors.after(time.Duration(warm * float64(soaks(p.command))))
		if len(later.at) < 2 {
			continue
		}
		growth, hours := later.growth(), (later.at[len(later.at)-1] - later.at[0]).Hours()
		r.figure(later.mean(), "%s of the resident, as a mean after a third of the time; since then it grew by %s, which would be %s in an hour", t.what, number(growth), number(growth/hours))
		if t == &u.memory && !p.Short {
			r.grows(later)
		}
	}
	r.Tables = append(r.Tables, table)
}

// grows holds the growth of the memory against what is flat.
func (r *Report) grows(memory *trend) {
	r.check("growth of the resident's "+memory.what, memory.growth(), max(flat*memory.mean(), headroom))
}
