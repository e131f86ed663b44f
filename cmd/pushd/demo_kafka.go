package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"

	"pushd/loadtest/stage"
	"pushd/queue/event"
)

// publishBatch is how many records the demo's management server publishes at a time.
const publishBatch = 500

// publish publishes the mixture as a management server would: with a stock Kafka client, keyed by device.
func (d *demo) publish(ctx context.Context) error {
	w := &kafka.Writer{
		Addr: kafka.TCP(d.stage.Broker.Addr()), Topic: d.cfg.Kafka.Topic, Balancer: kafka.Murmur2Balancer{},
		RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond, BatchSize: publishBatch,
	}
	defer w.Close()
	messages := make([]kafka.Message, 0, publishBatch)
	for rest := d.load.Records; len(rest) > 0; {
		batch := rest[:min(publishBatch, len(rest))]
		rest = rest[len(batch):]
		messages = messages[:0]
		for i := range batch {
			messages = append(messages, kafka.Message{Key: batch[i].Key, Value: batch[i].Value})
		}
		d.audit.Publish(batch, time.Now())
		if err := w.WriteMessages(ctx, messages...); err != nil {
			return err
		}
	}
	return nil
}

// listen reads the feedback and dead-letter topics from their beginning, as a management server and an operator would,
// and tells the audit. The channel says why it ended, if it was not ctx.
func (d *demo) listen(ctx context.Context) <-chan error {
	ended := make(chan error, 2*stage.Partitions)
	each := func(topic string, take func(kafka.Message) error) {
		for partition := range stage.Partitions {
			go func() {
				r := kafka.NewReader(kafka.ReaderConfig{
					Brokers: []string{d.stage.Broker.Addr()}, Topic: topic, Partition: partition, MaxWait: 100 * time.Millisecond,
				})
				defer r.Close()
				for {
					m, err := r.ReadMessage(ctx)
					if err == nil {
						err = take(m)
					}
					if err != nil {
						if ctx.Err() == nil {
							ended <- err
						}
						return
					}
				}
			}()
		}
	}
	each(d.cfg.Feedback.Topic, func(m kafka.Message) error {
		f, err := event.DecodeFeedback(m.Value)
		if err != nil {
			return fmt.Errorf("feedback at %d/%d: %w", m.Partition, m.Offset, err)
		}
		d.audit.Feedback(f)
		return nil
	})
	each(d.cfg.Feedback.Dead, func(m kafka.Message) error {
		d.audit.DeadLetter(m.Key)
		return nil
	})
	return ended
}

// explain says how to go on by hand.
func (d *demo) explain(w io.Writer) {
	t := d.load.Tenants[0]
	fmt.Fprintf(w, `
Still running; end it with Ctrl-C.
  broker      %s, topic %s
  simulators  APNs https://%s, FCM %s
  metrics     curl -s http://%s/metrics
Publish an event by hand, for example with kcat:
  echo '%s/device-x {"provider":"apns","token":"aa11bb22","push_magic":"magic-x"}' | \
    kcat -P -b %s -t %s -K ' '
`, d.stage.Broker.Addr(), d.cfg.Kafka.Topic, d.stage.APNs.Addr(), d.stage.FCM.URL(), d.daemon.serving.admin, t.Name, d.stage.Broker.Addr(), d.cfg.Kafka.Topic)
}
