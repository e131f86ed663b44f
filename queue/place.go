package queue

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// extent is what a partition holds: offsets from first to before end.
type extent struct{ first, end int64 }

// place says where to begin in a partition. committed is negative where the group has never committed there.
// It is out of range where retention overtook the group, or where the log ends before it: the topic was created again, or
// lost its end in an unclean election. ok is false where the operator wants to be asked.
func (c Config) place(committed int64, have extent) (offset int64, inRange, ok bool) {
	policy := c.OutOfRange
	switch {
	case committed < 0:
		policy, inRange = c.Start, true
	case have.first <= committed && committed <= have.end:
		return committed, true, true
	}
	switch policy {
	case Latest:
		return have.end, inRange, true
	case Earliest:
		return have.first, inRange, true
	default:
		return 0, inRange, false
	}
}

// extents asks what the partitions of a topic hold.
func (c *connection) extents(ctx context.Context, topic string, partitions ...int) (map[int]extent, error) {
	request := make([]kafka.OffsetRequest, 0, 2*len(partitions))
	for _, p := range partitions {
		request = append(request, kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: request}})
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	have := make(map[int]extent, len(partitions))
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("list offsets of %s, partition %d: %w", topic, p.Partition, p.Error)
		}
		have[p.Partition] = extent{p.FirstOffset, p.LastOffset}
	}
	for _, p := range partitions {
		if _, ok := have[p]; !ok {
			return nil, fmt.Errorf("list offsets of %s: no answer for partition %d", topic, p)
		}
	}
	return have, nil
}

// outOfRange counts and logs that a place does not exist any more, and what is done about it.
func (c *Consumer) outOfRange(partition int, wanted int64, have extent, goesOn int64, ok bool) {
	c.metrics.outOfRange.Inc()
	c.metrics.errors.WithLabelValues(outOfRange.String()).Inc()
	log := c.log.With("topic", c.cfg.Topic, "partition", partition, "offset", wanted, "first", have.first, "end", have.end)
	if !ok {
		log.Error("kafka: offset is out of range; the partition is not read",
			"mend", "set kafka.out_of_range to earliest or latest, or stop all members and reset the group's offsets")
		return
	}
	skipped := max(goesOn-wanted, 0)
	if wanted > have.end { // another log: nothing of it was read
		skipped = goesOn - have.first
	}
	c.metrics.skipped.Add(float64(skipped))
	log.Error("kafka: offset is out of range", "goes_on_at", goesOn, "never_read", skipped, "mend", outOfRange.mend())
}
