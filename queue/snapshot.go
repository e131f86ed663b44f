package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// stalled is how long a Snapshot tries for records without getting any.
const stalled = 30 * time.Second

// Snapshot is what a topic held when it was opened: the records of each partition up to where it ended then. It belongs
// to no group and commits nothing, so nobody else notices. One goroutine uses it.
type Snapshot struct {
	cfg   Config
	topic string
	conn  *connection
	held  map[int32]extent
}

// OpenSnapshot asks what the topic holds.
func OpenSnapshot(ctx context.Context, cfg Config, topic string) (*Snapshot, error) {
	conn, err := cfg.connect(topic)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	s := &Snapshot{cfg: cfg, topic: topic, conn: conn, held: map[int32]extent{}}
	if err := s.measure(ctx); err != nil {
		conn.close()
		return nil, fmt.Errorf("kafka: %w; %s", err, troubleOf(err).mend())
	}
	return s, nil
}

func (s *Snapshot) measure(ctx context.Context) error {
	n, err := s.conn.partitions(ctx, s.topic)
	if err != nil {
		return err
	}
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	have, err := s.extents(ctx, ids)
	if err != nil {
		return err
	}
	for id, e := range have {
		s.held[int32(id)] = e
	}
	return nil
}

// extents waits where a partition's leader moves, as just after its topic was made, but not longer than a request may take.
func (s *Snapshot) extents(ctx context.Context, ids []int) (map[int]extent, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	pause := newBackoff()
	for {
		have, err := s.conn.extents(ctx, s.topic, ids...)
		moving := errors.Is(err, kafka.NotLeaderForPartition) || errors.Is(err, kafka.LeaderNotAvailable)
		if !moving || !pause.wait(ctx) {
			return have, err
		}
	}
}

// Close ends the connections.
func (s *Snapshot) Close() { s.conn.close() }

// Offsets is how many offsets the snapshot has: at least as many as records.
func (s *Snapshot) Offsets() (n int64) {
	for _, e := range s.held {
		n += e.end - e.first
	}
	return n
}

// Holds is what there is of a partition: offsets from first to before end. Both are 0 where it does not exist.
func (s *Snapshot) Holds(partition int32) (first, end int64) {
	return s.held[partition].first, s.held[partition].end
}

// Part is the offsets of one partition from first to before end, as far as s has them. It is closed with s.
func (s *Snapshot) Part(partition int32, first, end int64) *Snapshot {
	e := s.held[partition]
	e.first, e.end = max(e.first, first), min(e.end, end)
	e.end = max(e.first, e.end)
	return &Snapshot{cfg: s.cfg, topic: s.topic, conn: s.conn, held: map[int32]extent{partition: e}}
}

// Read gives all records to take, one partition after the other. What retention has deleted since is left out. An error of
// take ends it and is returned as it is.
func (s *Snapshot) Read(ctx context.Context, take func(Record) error) error {
	for _, partition := range slices.Sorted(maps.Keys(s.held)) {
		if err := s.readPartition(ctx, partition, take); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) readPartition(ctx context.Context, partition int32, take func(Record) error) error {
	next, end := s.held[partition].first, s.held[partition].end
	pause, progress, ask := newBackoff(), time.Now(), newPortion(s.cfg.Fetch.MaxBytes)
	for next < end {
		var taken error // an error of take is not Kafka's
		reached, err := s.fetch(ctx, partition, next, &ask, func(r Record) bool {
			if r.Offset < end {
				taken = take(r)
			}
			return taken == nil && r.Offset < end
		})
		if taken != nil {
			return taken
		}
		if errors.Is(err, kafka.OffsetOutOfRange) {
			reached, err = s.afterRetention(ctx, partition, next)
		}
		switch {
		case reached > next:
			next, progress = reached, time.Now()
			pause.reset()
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !passing(err), time.Since(progress) > stalled:
			return s.failed(partition, next, err)
		}
		if !pause.wait(ctx) {
			return context.Cause(ctx)
		}
	}
	return nil
}

func (s *Snapshot) failed(partition int32, next int64, err error) error {
	if err == nil {
		err = errors.New("the broker has no records there, and does not say why")
	}
	return fmt.Errorf("kafka: read %s, partition %d, from offset %d: %w; %s", s.topic, partition, next, err, troubleOf(err).mend())
}

// fetch gives what the broker has from an offset on to take, and returns the offset to go on at.
func (s *Snapshot) fetch(ctx context.Context, partition int32, offset int64, ask *portion, take func(Record) bool) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Fetch.MaxWait+requestTimeout)
	defer cancel()
	response, err := s.conn.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: s.topic, Partition: int(partition), Offset: offset,
		MinBytes: 1, MaxBytes: int64(ask.next), MaxWait: s.cfg.Fetch.MaxWait,
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return offset, err
	}
	stream, ok := response.Records.(*protocol.RecordStream)
	if !ok { // no records
		return offset, nil
	}
	next, bytes, err := eachRecord(stream, nil, partition, offset, take)
	ask.saw(len(stream.Records), bytes)
	if next == offset && err == nil {
		next++ // as partition.fetchOnce: compaction has left an empty batch
	}
	return next, err
}

// afterRetention is the offset to go on at where retention has deleted what was to be read.
func (s *Snapshot) afterRetention(ctx context.Context, partition int32, next int64) (int64, error) {
	have, err := s.conn.extents(ctx, s.topic, int(partition))
	if err != nil {
		return next, err
	}
	if first := have[int(partition)].first; first > next {
		return first, nil
	}
	return next, fmt.Errorf("%w: the topic was created again", kafka.OffsetOutOfRange)
}
