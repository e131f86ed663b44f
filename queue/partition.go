package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// maxBatch is how many records are handed over at once.
const maxBatch = 1000

// errOwner is wrapped by an error of the owner's: then it is not the broker that is in trouble.
var errOwner = errors.New("the owner takes no more")

// partition is an assigned partition during one generation. One goroutine asks for records and hands them over: while the owner has
// no room, the broker is not asked.
//
// Records are asked for through kafka-go's Transport and not with its Reader: a Reader that is behind the beginning of the log
// goes on at the beginning without a word, hands over the markers of transactions as if they were records, checks no
// checksums, and passes each record through a channel.
type partition struct {
	c      *Consumer
	id     int32
	owner  Owner
	rounds *rounds
	lag    lag

	next      int64     // the offset to be fetched next; owned by run
	portion   portion   // owned by run
	alone     bool      // the next answer is for this partition only, and at once; owned by run
	records   []Record  // memory for those of the next answer; owned by run
	committed int64     // what stands in Kafka, or -1; owned by whoever commits
	told      *Progress // what was committed last, or what the owner began with; owned by whoever commits
	track     track

	// replaced is set when the log may be another than the one that the owner read from. Then its watermark means nothing:
	// committed, it would skip the beginning of the new log.
	replaced atomic.Bool
}

// newPartition is a partition of which nothing is committed, to be read from an offset on.
func newPartition(c *Consumer, rounds *rounds, id int32, owner Owner, next int64) *partition {
	p := &partition{c: c, id: id, owner: owner, rounds: rounds, next: next, portion: newPortion(c.cfg.Fetch.MaxBytes), committed: -1}
	p.lag.gauge = c.metrics.lag.WithLabelValues(strconv.Itoa(int(id)))
	return p
}

// run fetches and hands over while taking lasts, then releases the owner, for as long as releasing lasts at most. It ends
// taking, by stop, where it cannot go on.
func (p *partition) run(taking, releasing context.Context, stop context.CancelCauseFunc) {
	p.fetch(taking, stop)
	p.owner.Release(releasing)
}

func (p *partition) fetch(taking context.Context, stop context.CancelCauseFunc) {
	pause := newBackoff()
	for taking.Err() == nil {
		p.track.fetching(p.next)
		err := p.fetchOnce(taking)
		switch {
		case err == nil:
			pause.reset()
			continue
		case taking.Err() != nil:
			return
		case errors.Is(err, errOwner):
			stop(err)
			return
		case errors.Is(err, kafka.OffsetOutOfRange):
			if err = p.findPlace(taking, stop); err == nil {
				continue
			}
		case errors.Is(err, kafka.UnknownTopicOrPartition):
			// The topic was deleted, and with it the group's offsets. Should it be created again, it is read from its
			// beginning, by the next generation.
			p.replaced.Store(true)
			stop(err)
			return
		}
		p.c.trouble.about(fmt.Sprintf("fetch partition %d", p.id), err)
		pause.wait(taking)
	}
}

// fetchOnce asks for records from p.next on and hands over what comes.
func (p *partition) fetchOnce(ctx context.Context) error {
	wanted := &ask{partition: p.id, offset: p.next, bytes: p.portion.next, answer: make(chan answer, 1)}
	askFor, alone := p.rounds.together, p.alone
	if alone {
		askFor, p.alone = p.rounds.alone, false
	}
	got := askFor(ctx, wanted)
	if got.err != nil {
		p.alone = true // kafka-go gives up a whole answer where it cannot read one partition: that one must not starve others
		return fmt.Errorf("fetch %s from offset %d: %w", p.c.cfg.Topic, p.next, got.err)
	}
	defer func() { p.lag.set(got.HighWatermark, p.next) }()
	stream, ok := got.RecordSet.Records.(*protocol.RecordStream)
	if !ok { // no records
		// Of several partitions the first only is sure to get a batch that is larger than what was asked for (KIP-74).
		p.alone = !alone && got.LastStableOffset > p.next
		return nil
	}
	begun := p.next
	bytes, err := p.read(ctx, stream, got.AbortedTransactions)
	switch {
	case errors.Is(err, errOwner):
		return err
	case err != nil:
		return fmt.Errorf("read records of %s from offset %d: %w", p.c.cfg.Topic, p.next, err)
	}
	if p.next == begun {
		p.next++ // compaction has left an empty batch; what it says of its end is not shown to us
	}
	p.alone = p.portion.saw(len(stream.Records), bytes) // the answer is full: there are likely more
	return nil
}

// read hands over the records of an answer, moves p.next behind them, and says how many bytes they were. It ends early where the
// owner does not take them.
func (p *partition) read(ctx context.Context, stream *protocol.RecordStream, aborted []fetch.ResponseTransaction) (bytes int, err error) {
	records := p.records[:0]
	var refused error
	hand := func(next int64) bool {
		if refused = context.Cause(ctx); refused != nil { // what is handed over now would be begun, and is another's soon
			return false
		}
		p.lag.pause(p.next)
		defer p.lag.resume()
		if len(records) > 0 {
			if refused = p.owner.Take(ctx, records); refused != nil {
				refused = fmt.Errorf("hand over offsets %d to %d of partition %d: %w: %w", records[0].Offset, records[len(records)-1].Offset, p.id, errOwner, refused)
				return false
			}
		}
		clear(records) // or the records of a busy moment would be held for as long as the partition is quiet
		records, p.next = records[:0], next
		return true
	}
	next, bytes, err := eachRecord(stream, aborted, p.id, p.next, func(r Record) bool {
		records = append(records, r)
		return len(records) < maxBatch || hand(r.Offset+1)
	})
	if err == nil && refused == nil {
		hand(next)
	}
	clear(records)
	p.records = records[:0]
	return bytes, cmp.Or(err, refused)
}

// findPlace is called where the broker does not have p.next. Retention may have overtaken this member: then what it
// lost is skipped. Or the log ends before p.next, which is another log than the owner's: then the generation is given
// up, and the owner of the next one begins at the place that the operator has chosen.
func (p *partition) findPlace(taking context.Context, stop context.CancelCauseFunc) error {
	extents, err := p.c.conn.extents(taking, p.c.cfg.Topic, int(p.id))
	if err != nil {
		return err
	}
	have := extents[int(p.id)]
	offset, inRange, ok := p.c.cfg.place(p.next, have)
	switch {
	case inRange:
		return fmt.Errorf("partition %d: offset %d was out of range, and is not: its leader has changed", p.id, p.next)
	case !ok:
		p.c.outOfRange(int(p.id), p.next, have, offset, ok)
		p.c.stop(p.id)
		<-taking.Done()
	case offset < p.next:
		p.replaced.Store(true)
		stop(fmt.Errorf("partition %d: %w: the log ends at %d, before %d", p.id, kafka.OffsetOutOfRange, have.end, p.next))
	default:
		p.c.outOfRange(int(p.id), p.next, have, offset, ok)
		p.next = offset
	}
	return nil
}
