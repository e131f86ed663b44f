package dispatcher

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"pushd/queue"
)

// storedWake is a wake as a ledger or the topic of parked wakes has it.
type storedWake struct {
	data   []byte
	stands []*simEvent // what it stands for, as the referee knows
}

// parkedLog is the modelled topic of parked wakes: of each key of a partition the newest record counts, or the tombstone
// that took it away.
type parkedLog struct {
	partitions []map[string]parkedRecord
	written    int64
}

type parkedRecord struct {
	storedWake
	offset int64
}

func newParkedLog(partitions int) *parkedLog {
	t := &parkedLog{}
	for range partitions {
		t.partitions = append(t.partitions, make(map[string]parkedRecord))
	}
	return t
}

// write appends what was posted. It returns the events of records that do not count any more.
func (t *parkedLog) write(o *posted) (gone []*simEvent) {
	for i, m := range o.messages {
		t.written++
		live := t.partitions[*m.Partition]
		gone = append(gone, live[string(m.Key)].stands...)
		if m.Value == nil {
			delete(live, string(m.Key))
			continue
		}
		live[string(m.Key)] = parkedRecord{storedWake{m.Value, o.stand[i]}, t.written}
	}
	return gone
}

// read is what queue.Compacted reads of a partition, and for which events that stands.
func (t *parkedLog) read(partition int) (records []queue.Record, stand [][]*simEvent) {
	live := t.partitions[partition]
	for _, key := range slices.SortedFunc(maps.Keys(live), func(a, b string) int { return cmp.Compare(live[a].offset, live[b].offset) }) {
		r := live[key]
		records = append(records, queue.Record{Partition: int32(partition), Offset: r.offset, Key: []byte(key), Value: r.data})
		stand = append(stand, r.stands)
	}
	return records, stand
}

// left is how many records the topic has.
func (t *parkedLog) left() (n int) {
	for _, live := range t.partitions {
		n += len(live)
	}
	return n
}

// posted is messages to the topic of parked wakes that a process waits to write.
type posted struct {
	messages []queue.Message
	stand    [][]*simEvent // for which events each of them stands
	done     func()
}

// post lets messages be written to the topic of parked wakes, behind all that the process has posted before.
func (p *process) post(messages []queue.Message, done func()) {
	p.outbox = append(p.outbox, &posted{messages: messages, done: done})
	if len(p.outbox) == 1 {
		p.later(p.within(20*time.Millisecond), p.writeOut)
	}
}

// explain notes for which events what was posted in a step stands. It is known when the step is over.
func (p *process) explain() {
	for _, o := range p.outbox {
		for len(o.stand) < len(o.messages) {
			var stands []*simEvent
			if value := o.messages[len(o.stand)].Value; value != nil {
				stands = p.stands(value[4:]) // behind the checksum
			}
			o.stand = append(o.stand, stands)
		}
	}
}

// writeOut writes the oldest of what is posted. Only that is on its way: of a process that ended it may have arrived or not.
func (p *process) writeOut() {
	o := p.outbox[0]
	switch {
	case !p.alive:
		if p.rng.IntN(2) == 0 && p.at >= p.topicDownUntil {
			p.referee.unstored(p.parked.write(o))
		}
		p.outbox = nil
		return
	case p.at < p.topicDownUntil:
		p.later(p.topicDownUntil-p.at+p.within(100*time.Millisecond), p.writeOut)
		return
	case p.at < p.frozenUntil && p.rng.IntN(2) == 0:
		p.later(p.frozenUntil-p.at, p.writeOut)
		return
	}
	p.referee.unstored(p.parked.write(o))
	p.reachedIf(zombieWrites, p.generation != p.group.generation)
	if p.rng.IntN(30) == 0 { // nobody hears that it was: it is written again
		p.later(p.within(3*time.Second), p.writeOut)
		return
	}
	p.outbox = p.outbox[1:]
	p.after(p.within(10*time.Millisecond), o.done)
	if len(p.outbox) > 0 {
		p.later(p.within(20*time.Millisecond), p.writeOut)
	}
}

// adopt reads what the topic has of a partition that was assigned, as Engine.adopt does: in the background, and again where
// it fails.
func (p *process) adopt(h *shardHand, o *owner) {
	if h.owner != o {
		return
	}
	slow := one(p.rng, 50*time.Millisecond, 50*time.Millisecond, time.Second, 10*time.Second)
	p.after(p.within(slow), func() {
		if p.at < p.topicDownUntil {
			p.after(adoptAgain, func() { p.adopt(h, o) })
			return
		}
		records, stand := p.parked.read(int(h.core.partition))
		p.after(p.within(slow), func() { p.give(h, o, records, stand) })
	})
}

// give hands records of the topic to a shard, as Engine.giveParked does.
func (p *process) give(h *shardHand, o *owner, records []queue.Record, stand [][]*simEvent) {
	if len(records) == 0 {
		h.call(func(time.Time) { h.adoptedAll(o) })
		return
	}
	some := min(len(records), 1+p.rng.IntN(5))
	h.call(func(now time.Time) {
		if h.owner == o && !h.core.draining {
			p.referee.adopted(p, h, records[:some], stand[:some])
		}
		h.adopt(o, storedIn(records[:some]), now)
		p.give(h, o, records[some:], stand[some:])
	})
}
