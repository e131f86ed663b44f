package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

// Poster publishes messages while its caller waits. It is for commands, which end; the daemon has Publisher. One goroutine
// uses it.
type Poster struct {
	conn   *connection
	writer *kafka.Writer
}

// ByKey lets the key choose a message's partition.
const ByKey = -1

// NewPoster makes a Poster; no broker is spoken to yet.
func NewPoster(cfg Config) (*Poster, error) {
	conn, err := cfg.connect()
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &Poster{conn: conn, writer: &kafka.Writer{
		Addr:         kafka.TCP(cfg.Brokers...),
		Transport:    conn.transport,
		Balancer:     kafka.BalancerFunc(partitionOf),
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: time.Millisecond,
		BatchSize:    200, // kafka-go sets aside memory for as many
		BatchBytes:   maxMessage,
		ReadTimeout:  requestTimeout,
		WriteTimeout: requestTimeout,
	}}, nil
}

// partitionOf is the partition that Post was told, or the one that Java's producers choose.
func partitionOf(m kafka.Message, partitions ...int) int {
	if told, ok := m.WriterData.(int32); ok && told != ByKey {
		return int(told)
	}
	return kafka.Murmur2Balancer{}.Balance(m, partitions...)
}

// Post publishes messages to a partition, or ByKey, and returns when all in-sync replicas have them. Where it fails, those
// that may not be published are false in published; the error is the first one's.
func (p *Poster) Post(ctx context.Context, messages []Message, partition int32) (published []bool, err error) {
	batch := make([]kafka.Message, len(messages))
	published = make([]bool, len(messages))
	for i, m := range messages {
		batch[i] = kafka.Message{Topic: m.Topic, Key: m.Key, Value: m.Value, WriterData: partition}
		for _, h := range m.Headers {
			batch[i].Headers = append(batch[i].Headers, kafka.Header(h))
		}
	}
	err = p.writer.WriteMessages(ctx, batch...)
	var each kafka.WriteErrors // one for each message, nil where it was acknowledged
	if !errors.As(err, &each) {
		each = slices.Repeat(kafka.WriteErrors{err}, len(batch))
	}
	err = nil
	for i := range published {
		published[i] = each[i] == nil
		err = cmp.Or(err, each[i])
	}
	if err != nil {
		return published, fmt.Errorf("kafka: publish to %s: %w; %s", messages[0].Topic, err, troubleOf(err).mend())
	}
	return published, nil
}

// Close ends the connections.
func (p *Poster) Close() error {
	defer p.conn.close()
	return p.writer.Close()
}
