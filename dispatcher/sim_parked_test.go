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
