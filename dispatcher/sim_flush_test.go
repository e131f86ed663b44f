package dispatcher

import (
	"slices"
	"time"
)

// flushing is a flush under way.
type flushing struct {
	reply chan collected
	asked int
	parts []collected
}

// flushSoon is the flusher's ticker: what there is to flush is flushed within flushEvery, or at once where the bell rings.
func (p *process) flushSoon(h *shardHand) {
	if f := p.flushing; f != nil && f.parts == nil && len(f.reply) == f.asked {
		p.write(f)
	}
	select {
	case <-p.engine.flushBell:
		p.after(0, p.flush)
	default:
	}
	if h.core.unflushed() && !p.flushDue {
		p.flushDue = true
		p.after(p.within(flushEvery), p.flush)
	}
}

// flush asks all shards for what they have to write, as Engine.collect does.
func (p *process) flush() {
	p.flushDue = false
	if p.flushing != nil || p.brokenDisk {
		return
	}
	f := &flushing{reply: make(chan collected, len(p.shards))}
	for _, h := range p.shards {
		if h != nil {
			f.asked++
			h.collect(f.reply)
		}
	}
	p.flushing = f
}

// write writes a flush: first it is only issued, then the operating system has it, then the disk, then the shards hear so.
func (p *process) write(f *flushing) {
	f.parts = []collected{}
	var parts []collected
	for range f.asked {
		if c := <-f.reply; c.shard != nil {
			parts = append(parts, c)
		}
	}
	if len(parts) == 0 {
		p.flushing = nil
		return
	}
	slices.SortFunc(parts, func(a, b collected) int { return int(a.shard.core.partition - b.shard.core.partition) })
	if p.at < p.brokenUntil {
		p.breakDown()
		return
	}
	b := &batch{}
	for _, c := range parts {
		b.flushes = append(b.flushes, c.flush)
		var stand [][]*simEvent
		for _, put := range c.flush.Put {
			stand = append(stand, p.stands(put.Data))
		}
		b.stand = append(b.stand, stand)
	}
	p.disk.batches = append(p.disk.batches, b)
	p.note("%v writes its ledger", p)
	slow := 2 * time.Millisecond
	if p.plan.slowDisk {
		slow = one(p.rng, 100*time.Millisecond, 700*time.Millisecond, 700*time.Millisecond, 10*time.Second)
	}
	p.after(p.within(slow), func() {
		b.written = true
		p.after(p.within(slow), func() {
			p.referee.unstored(p.disk.sync())
			p.after(p.within(time.Millisecond), func() {
				p.flushing = nil
				for _, c := range parts {
					c.shard.durable(c.done)
				}
			})
		})
	})
}

// breakDown is what Engine.flushOnce does where the ledger cannot be written: the engine is over, and the process ends.
func (p *process) breakDown() {
	p.note("%v cannot write its ledger", p)
	p.reached(ledgerBroken)
	p.brokenDisk = true
	p.engine.broken.Store(true)
	p.engine.Halt()
	p.after(p.within(3*time.Second), func() { p.kill(time.Second) })
}
