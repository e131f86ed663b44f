package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// commit is what stands in Kafka of a partition.
type commit struct {
	offset   int64 // negative where the group has never committed
	metadata string
}

// committed asks what the group has committed.
func (c *connection) committed(ctx context.Context, group, topic string, partitions []int) (map[int]commit, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := c.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: partitions}})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the committed offsets of %s: %w", topic, err)
	}
	have := make(map[int]commit, len(partitions))
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("ask for the committed offset of %s, partition %d: %w", topic, p.Partition, p.Error)
		}
		have[p.Partition] = commit{p.CommittedOffset, p.Metadata}
	}
	for _, p := range partitions {
		if _, ok := have[p]; !ok {
			return nil, fmt.Errorf("ask for the committed offsets of %s: no answer for partition %d", topic, p)
		}
	}
	return have, nil
}

// What was found beside a committed offset: values of a metric's label.
const (
	metadataRestored    = "restored"
	metadataNone        = "none"
	metadataForeign     = "foreign"
	metadataUndecodable = "undecodable"
)

// resume is the progress of a partition at the offset that is committed.
func (c *Consumer) resume(partition int32, at commit, of lineage) Progress {
	if at.metadata == "" {
		c.metrics.metadata.WithLabelValues(metadataNone).Inc()
		return At(at.offset)
	}
	p, err := decodeMetadata(at.metadata, at.offset, of)
	log := c.log.With("topic", c.cfg.Topic, "partition", partition, "offset", at.offset)
	switch {
	case err == nil:
		c.metrics.metadata.WithLabelValues(metadataRestored).Inc()
		log.Info("kafka: events beyond the committed offset are known to be done", "events", p.Beyond())
		return p
	case errors.Is(err, errForeign):
		c.metrics.metadata.WithLabelValues(metadataForeign).Inc()
	default:
		c.metrics.metadata.WithLabelValues(metadataUndecodable).Inc()
	}
	log.Warn("kafka: what is done beyond the committed offset is not known; it is done again", "error", err,
		"mend", "nothing, once: a leader was elected, the topic was made anew, or another program has used the group; if it comes again, see that this group is pushd's alone")
	return p
}

// commit tells Kafka how far all owners are done (I1), in one request, and what is done beyond that. It takes no context:
// the last one must be made when all have ended. Where it fails nothing is lost, the next one says the same and more; what
// the last one fails to say will be pushed again.
func (g *generation) commit() {
	var offsets []kafka.OffsetCommit
	told := make(map[*partition]*Progress)
	for _, p := range g.partitions {
		done := p.owner.Progress()
		if p.replaced.Load() || done == p.told || done.Watermark < p.committed || done.Watermark == p.committed && done.Beyond() == 0 {
			continue
		}
		told[p] = done
		offsets = append(offsets, kafka.OffsetCommit{
			Partition: int(p.id), Offset: done.Watermark, Metadata: encodeMetadata(done, p.track.at(done.Watermark)),
		})
	}
	if len(offsets) == 0 {
		return
	}
	begun := time.Now()
	err := g.send(offsets)
	g.c.metrics.commits.Observe(time.Since(begun).Seconds())
	if err != nil {
		g.c.trouble.about("commit offsets", err)
		return
	}
	for p, done := range told {
		p.committed, p.told = done.Watermark, done
	}
}

// send commits offsets in the name of this generation, whether it has ended or not: that the coordinator knows.
func (g *generation) send(offsets []kafka.OffsetCommit) error {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	topic := g.c.cfg.Topic
	response, err := g.c.conn.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: g.c.cfg.Group, GenerationID: int(g.gen.ID), MemberID: g.gen.MemberID,
		Topics: map[string][]kafka.OffsetCommit{topic: offsets},
	})
	if err != nil {
		return err
	}
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			return fmt.Errorf("commit partition %d: %w", p.Partition, p.Error)
		}
	}
	return nil
}
