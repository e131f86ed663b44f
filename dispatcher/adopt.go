package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pushd/queue"
	"pushd/store"
)

const (
	// adoptAtOnce is how many parked wakes a shard takes in one step: it has other things to do too.
	adoptAtOnce = 1000
	// adoptPartitions is how many partitions are read at once: each is in memory twice for a moment.
	adoptPartitions = 4
	// adoptAgain is the pause after a failure to read a partition.
	adoptAgain = 2 * time.Second
)

// adopt reads what the topic of parked wakes has of a partition that was assigned, until it succeeds or ctx, which is the
// tenure's, ends. Events are consumed meanwhile.
func (e *Engine) adopt(ctx context.Context, s *shard, o *owner) {
	e.adopting.Add(1)
	defer e.adopting.Add(-1)
	partition := s.core.partition
	for {
		records, err := e.readParked(ctx, partition)
		if err == nil {
			e.giveParked(ctx, s, o, records)
			return
		}
		if ctx.Err() != nil {
			return
		}
		e.deps.Logger.Error("parked wakes cannot be read: they wait longer, and none is parked meanwhile; it is tried again",
			"topic", e.cfg.Retry.Topic, "partition", partition, "error", err,
			"mend", "see that retry.topic exists with as many partitions as kafka.topic (pushd makes it where kafka.create_topics is set), and that this user may Read it")
		select {
		case <-ctx.Done():
			return
		case <-time.After(adoptAgain):
		}
	}
}

func (e *Engine) readParked(ctx context.Context, partition int32) ([]queue.Record, error) {
	select {
	case e.adoptRoom <- struct{}{}:
		defer func() { <-e.adoptRoom }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return e.deps.Parked(ctx, partition)
}

// giveParked hands records to the shard, some at a time, while the tenure lasts.
func (e *Engine) giveParked(ctx context.Context, s *shard, o *owner, records []queue.Record) {
	for list := range slices.Chunk(storedIn(records), adoptAtOnce) {
		taken := make(chan struct{})
		s.call(func(now time.Time) {
			defer close(taken)
			s.adopt(o, list, now)
		})
		select {
		case <-taken:
		case <-ctx.Done():
			return
		}
	}
	s.call(func(time.Time) { s.adoptedAll(o) })
}

// storedIn is what records of the topic of parked wakes hold.
func storedIn(records []queue.Record) []Stored {
	list := make([]Stored, len(records))
	for i := range records {
		r := &records[i]
		at, err := queue.ParsePosition(string(r.Key))
		if err != nil {
			list[i] = Stored{At: queue.Position{Partition: r.Partition, Offset: r.Offset}} // it says where it is, and that it cannot be read
			continue
		}
		list[i] = Stored{At: at, Data: r.Value}
	}
	return list
}

// adopt takes parked wakes for the tenure of o, if it is not over.
func (s *shard) adopt(o *owner, list []Stored, now time.Time) {
	if s.owner != o || s.core.draining {
		return
	}
	for _, fault := range s.core.adopt(list, s.engine.orphan, now) {
		s.engine.deps.Logger.Error("a record of a parked wake cannot be read; that wake is lost unless its event is still to be read",
			"topic", s.engine.cfg.Retry.Topic, "partition", s.core.partition, "error", fault)
	}
}

// adoptedAll: the tenure of o has been given all that the topic had.
func (s *shard) adoptedAll(o *owner) {
	if s.owner == o && !s.core.draining {
		s.core.adoptedAll()
	}
}

// moveOut brings wakes that the ledger has, from a time when retry.durability was local, to the topic of parked wakes. They
// have no position of their own; theirs has no topic, and their hash for an offset.
func (e *Engine) moveOut(ctx context.Context) error {
	partitions, err := e.deps.Ledger.Partitions()
	if err != nil {
		return fmt.Errorf("list the partitions with waiting wakes: %w", err)
	}
	for _, p := range partitions {
		restored, err := e.deps.Ledger.Partition(p)
		if err != nil {
			return fmt.Errorf("read what the ledger kept of partition %d: %w", p, err)
		}
		messages := make([]queue.Message, len(restored.Waiting))
		moved := store.Flush{Partition: p, Watermark: -1}
		for i, w := range restored.Waiting {
			at := queue.Position{Partition: p, Offset: int64(w.Device >> 1)}
			messages[i] = queue.Message{Topic: e.cfg.Retry.Topic, Partition: &p, Key: []byte(at.String()), Value: sealRecord(w.Data)}
			moved.Delete = append(moved.Delete, w.Device)
		}
		published := make(chan struct{})
		e.publisher.Publish(messages, func() { close(published) })
		select {
		case <-published:
		case <-ctx.Done():
			return fmt.Errorf("move %d waiting wakes of partition %d to %s: %w", len(messages), p, e.cfg.Retry.Topic, context.Cause(ctx))
		}
		if err := e.deps.Ledger.Write([]store.Flush{moved}); err != nil {
			return err
		}
		e.deps.Logger.Info("waiting wakes were moved from the ledger to the topic of parked wakes", "partition", p, "wakes", len(messages))
	}
	return nil
}
