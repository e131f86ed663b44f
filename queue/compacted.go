package queue

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
)

// Compacted reads a topic of which only the newest record of each key counts, whether the brokers have compacted it or not.
type Compacted struct {
	cfg   Config
	topic string
	conn  *connection
}

// NewCompacted makes a reader; nothing is connected before Read.
func NewCompacted(cfg Config, topic string) (*Compacted, error) {
	conn, err := cfg.connect(topic)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &Compacted{cfg: cfg, topic: topic, conn: conn}, nil
}

// Read returns the newest record of each key of a partition that is no tombstone, in the order of their offsets, as of the
// call: what was acknowledged before is among it.
func (c *Compacted) Read(ctx context.Context, partition int32) ([]Record, error) {
	have, err := c.conn.extents(ctx, c.topic, int(partition))
	if err != nil {
		return nil, fmt.Errorf("kafka: %w; %s", err, troubleOf(err).mend())
	}
	s := &Snapshot{cfg: c.cfg, topic: c.topic, conn: c.conn, held: map[int32]extent{partition: have[int(partition)]}}
	newest := make(map[string]Record)
	err = s.Read(ctx, func(r Record) error {
		if r.Value == nil {
			delete(newest, string(r.Key))
		} else {
			newest[string(r.Key)] = r
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(newest), func(a, b Record) int { return cmp.Compare(a.Offset, b.Offset) }), nil
}

// Close ends the connections.
func (c *Compacted) Close() { c.conn.close() }
