// Package management plays the management server: it publishes the events of a mixture and hears what pushd answers, with
// a stock Kafka client, and keeps the audit informed of both. It knows the topics and nothing else of pushd.
package management

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/time/rate"

	"pushd/loadtest/audit"
	"pushd/loadtest/mixture"
	"pushd/queue/event"
)

// publishBatch is how many records are published at a time.
const publishBatch = 500

// Server is a management server.
type Server struct {
	Broker   string // host:port
	Topic    string // of the events
	Feedback string
	Dead     string
	Audit    *audit.Audit
	Away     time.Duration // how long the broker may be away: so long everything is tried again, which can publish events twice
}

// Publish publishes records in their order, keyed by device, so many per second; 0 is as fast as the broker takes them.
// It returns when all are acknowledged.
func (s *Server) Publish(ctx context.Context, records []mixture.Record, perSecond float64) error {
	return s.PublishFrom(ctx, func(most int) []mixture.Record {
		batch := records[:min(most, len(records))]
		records = records[len(batch):]
		return batch
	}, perSecond)
}

// PublishFrom is Publish of what it is handed, so many records at most at a time, until that is nothing.
func (s *Server) PublishFrom(ctx context.Context, next func(most int) []mixture.Record, perSecond float64) error {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	w := &kafka.Writer{
		Addr: kafka.TCP(s.Broker), Topic: s.Topic, Balancer: kafka.Murmur2Balancer{}, Transport: transport,
		RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond, BatchSize: publishBatch,
	}
	defer w.Close()
	size, pace := publishBatch, rate.NewLimiter(rate.Inf, publishBatch)
	if perSecond > 0 { // twenty batches a second
		size = max(1, min(publishBatch, int(perSecond/20)))
		pace = rate.NewLimiter(rate.Limit(perSecond), size)
	}
	messages := make([]kafka.Message, 0, size)
	for batch := next(size); len(batch) > 0; batch = next(size) {
		if err := pace.WaitN(ctx, len(batch)); err != nil {
			return err
		}
		messages = messages[:0]
		for i := range batch {
			messages = append(messages, kafka.Message{Key: batch[i].Key, Value: batch[i].Value})
		}
		s.Audit.Publish(batch, time.Now())
		if err := s.write(ctx, w, messages); err != nil {
			return err
		}
	}
	return nil
}

// again is the pause before what failed is tried again.
const again = 200 * time.Millisecond

// write writes messages, again and again where the broker may be away. What it had taken the first time comes twice then, with
// the same ids.
func (s *Server) write(ctx context.Context, w *kafka.Writer, messages []kafka.Message) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for began := time.Now(); ; {
		err := w.WriteMessages(ctx, messages...)
		if err == nil || ctx.Err() != nil || time.Since(began) >= s.Away {
			return err
		}
		pause.Reset(again)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Hearer is told what pushd answers.
type Hearer interface {
	Feedback(event.Feedback)
	DeadLetter(key []byte)
}

// Listen reads the feedback and dead-letter topics from their beginning, as a management server and an operator would,
// until ctx ends. It returns the first failure.
func (s *Server) Listen(ctx context.Context) error { return s.ListenFor(ctx, s.Audit) }

// ListenFor is Listen with somebody else than the audit to be told.
func (s *Server) ListenFor(ctx context.Context, hearer Hearer) error {
	listening, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var readers sync.WaitGroup
	feedback := func(m kafka.Message) error { return decodeFeedback(m, hearer) }
	deadLetter := func(m kafka.Message) error {
		hearer.DeadLetter(m.Key)
		return nil
	}
	for topic, take := range map[string]func(kafka.Message) error{s.Feedback: feedback, s.Dead: deadLetter} {
		partitions, err := kafka.LookupPartitions(ctx, "tcp", s.Broker, topic)
		if err != nil {
			cancel(fmt.Errorf("find the partitions of %s: %w", topic, err))
			break
		}
		for _, p := range partitions {
			readers.Go(func() {
				if err := s.read(listening, topic, p.ID, take); err != nil {
					cancel(err)
				}
			})
		}
	}
	readers.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(listening)
}

// read hands over what is in a partition, until ctx ends or something fails.
func (s *Server) read(ctx context.Context, topic string, partition int, take func(kafka.Message) error) error {
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{s.Broker}, Topic: topic, Partition: partition, MaxWait: 100 * time.Millisecond,
		MaxAttempts: 3 + int(s.Away/again), // it pauses that long or longer after each
	})
	defer r.Close()
	for {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return fmt.Errorf("read %s, partition %d: %w", topic, partition, err)
		}
		if err := take(m); err != nil {
			return err
		}
	}
}

func decodeFeedback(m kafka.Message, hearer Hearer) error {
	f, err := event.DecodeFeedback(m.Value)
	if err != nil {
		return fmt.Errorf("feedback at %d/%d: %w", m.Partition, m.Offset, err)
	}
	hearer.Feedback(f)
	return nil
}
