package dispatcher

import (
	"context"
	"slices"
	"time"

	"pushd/queue"
)

// claim is a partition that a process takes for its own.
type claim struct {
	partition int
	owner     *owner
	next      int64
	taking    bool
	fetching  bool
	told      *queue.Progress // committed
}

// hears says whether its heartbeats come through.
func (p *process) hears() bool { return p.alive && p.at >= p.cutUntil && p.at >= p.frozenUntil }

// hear is told of a rebalance: its heartbeat is answered so.
func (p *process) hear() {
	switch g := p.group; {
	case p.at < p.cutUntil:
		p.after(p.cutUntil-p.at+p.within(time.Second), p.hear)
	case slices.Contains(g.joined, p), g.stable && slices.Contains(g.members, p):
	default:
		p.part()
	}
}

// part ends the process's part in a generation: it releases its partitions and joins again.
func (p *process) part() {
	if p.leaving != nil || p.stopping {
		return
	}
	p.note("%v releases its partitions", p)
	p.release(revokeDrain, func() { p.group.join(p) })
}

// leaving is the end of a process's part in a generation.
type leaving struct {
	then func()
}

// release releases all claims. Who has not drained when the time is over gives up what is under way.
func (p *process) release(drain time.Duration, then func()) {
	l := &leaving{then: then}
	p.leaving = l
	for _, c := range p.claims {
		c.taking = false
		c.owner.release()
	}
	p.after(drain, func() {
		if p.leaving == l {
			p.reached(abandoned)
			for _, c := range p.claims {
				c.owner.abandon()
			}
		}
	})
	p.after(drain+lastFlush, func() {
		if p.leaving == l {
			p.parted()
		}
	})
	p.drained()
}

// drained looks whether all claims are released.
func (p *process) drained() {
	if p.leaving == nil {
		return
	}
	for _, c := range p.claims {
		select {
		case <-c.owner.released:
		default:
			return
		}
	}
	p.parted()
}

// parted makes the last commit of a generation, and goes on.
func (p *process) parted() {
	then := p.leaving.then
	p.commit()
	p.leaving, p.claims = nil, nil
	then()
}

// takeOver begins a generation: the partitions are read from where the group is.
func (p *process) takeOver(generation int, partitions []int) {
	if p.leaving != nil || p.stopping || generation != p.group.generation || slices.Contains(p.group.joined, p) {
		return // the next has begun already
	}
	p.generation = generation
	for _, partition := range partitions {
		h := p.shard(partition)
		from, err := p.topic.resumed(partition)
		p.reachedIf(metadataRefused, err != nil)
		p.reachedIf(metadataRestored, err == nil && from.Beyond() > 0)
		o := &owner{shard: h.shard, released: make(chan struct{}), end: func() {}}
		o.progress.Store(&from)
		c := &claim{partition: partition, owner: o, next: from.Watermark, told: &from}
		h.call(func(time.Time) {
			h.assign(o, queue.Assignment{
				Topic: p.topic.ids[partition], Partition: int32(partition), Generation: int32(generation), From: from,
			})
			h.from = &from
			c.taking = p.leaving == nil // records come to an owner only when its tenure has begun
			if p.replicated() {
				p.adopt(h, o)
			}
		})
		p.claims = append(p.claims, c)
		p.note("%v takes over partition %d from %d", p, partition, from.Watermark)
	}
}

// fetch reads on where there is something to read.
func (p *process) fetch() {
	for _, c := range p.claims {
		if !c.taking || c.fetching || p.topic.end(c.partition) <= c.next || c.owner.shard.backlog.Load() >= maxBacklog {
			continue
		}
		c.fetching = true
		p.after(p.within(30*time.Millisecond), func() { p.fetched(c) })
	}
}

func (p *process) fetched(c *claim) {
	c.fetching = false
	if !c.taking {
		return
	}
	records := p.topic.behind(c.partition, c.next)
	if most := one(p.rng, 1, 5, 1000); len(records) > most {
		records = records[:most]
	}
	if len(records) == 0 {
		return
	}
	c.next = records[len(records)-1].Offset + 1
	if err := c.owner.Take(context.Background(), queue.Reread(records...)); err != nil {
		panic(err)
	}
	p.fetch()
}

// commitSoon is the committer's ticker.
func (p *process) commitSoon() {
	if p.commitDue {
		return
	}
	for _, c := range p.claims {
		if c.owner.Progress() != c.told {
			p.commitDue = true
			p.after(p.within(commitEvery), func() {
				p.commitDue = false
				p.commit()
			})
			return
		}
	}
}

// commit tells the group how far the claims are done.
func (p *process) commit() {
	for _, c := range p.claims {
		done := c.owner.Progress()
		if done == c.told || p.at < p.cutUntil && p.mute {
			continue
		}
		if p.group.commit(p, p.generation, c.partition, done) {
			c.told = done
		}
	}
}
