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
}

// Publish publishes records in their order, keyed by device, so many per second; 0 is as fast as the broker takes them.
// It returns when all are acknowledged.
func (s *Server) Publish(ctx context.Context, records []mixture.Record, perSecond float64) error {
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
	for rest := records; len(rest) > 0; {
		batch := rest[:min(size, len(rest))]
		rest = rest[len(batch):]
		if err := pace.WaitN(ctx, len(batch)); err != nil {
			return err
		}
		messages = messages[:0]
		for i := range batch {
			messages = append(messages, kafka.Message{Key: batch[i].Key, Value: batch[i].Value})
		}
		s.Audit.Publish(batch, time.Now())
		if err := w.WriteMessages(ctx, messages...); err != nil {
			return err
		}
	}
	return nil
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
