package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/segmentio/kafka-go"

	"pushd/loadtest/promise"
)

const (
	// tick is how often the publisher looks what is due.
	tick = 2 * time.Millisecond
	// maxUnacknowledged bounds the events that wait for the broker in this process's memory, about a kilobyte each.
	maxUnacknowledged = 200_000
	// fillBatch is how many messages of a backlog are handed over at a time.
	fillBatch = 1000
	// tellFilled is after how many events of a backlog it is told how far it is.
	tellFilled = 500_000
)

// errBrokerBehind ends a run whose broker does not take the events as fast as they are published.
var errBrokerBehind = errors.New("the broker does not take this rate")

// publisher publishes a plan at the times of the plan: an open loop. It waits for no acknowledgement, nor for the daemon, and
// where it cannot keep up it says how late it was; latencies count from the time of the plan anyway.
type publisher struct {
	plan   *plan
	book   *promise.Book
	writer *kafka.Writer
	start  time.Time     // of the plan; written before the first message only
	warm   time.Duration // events before this time of the plan are not asked how late they were

	events  atomic.Int64 // handed over; one that is published twice is one
	records atomic.Int64
	acked   atomic.Int64 // records
	failed  atomic.Int64 // records that the broker did not take

	late *hdrhistogram.Histogram // how long after its time an event was handed over; the publisher's goroutine writes it

	mu      sync.Mutex // guards what stands below
	last    time.Time  // when the last event was acknowledged
	seconds []int      // events by the second in which they were acknowledged
	acks    *hdrhistogram.Histogram
	failure error // the first one
}

// origin is what a message carries through the client: where a promise is found that has to be withdrawn.
type origin struct {
	device int
	number int64
	due    time.Time
	second bool // the event is published twice, and this is the second time
}

func newPublisher(brokers []string, topic string, p *plan, book *promise.Book) *publisher {
	pub := &publisher{plan: p, book: book, late: promise.NewHistogram(), acks: promise.NewHistogram()}
	pub.writer = &kafka.Writer{
		Addr: kafka.TCP(brokers...), Topic: topic, Balancer: kafka.Murmur2Balancer{}, Transport: &kafka.Transport{},
		RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond, BatchSize: 100, // it makes room for a whole batch, and most are small
		Async: true, Completion: pub.completed,
	}
	return pub
}

// run publishes the whole plan, which begins at start, and returns when all of it is acknowledged or has failed.
func (p *publisher) run(ctx context.Context, start time.Time) error {
	p.start = start
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	defer p.writer.Transport.(*kafka.Transport).CloseIdleConnections()
	var messages []kafka.Message
	for !p.plan.over() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-ticker.C:
			messages = p.take(messages[:0], start, now)
		}
		if len(messages) == 0 {
			continue
		}
		if n := p.unacknowledged(); n > maxUnacknowledged {
			return fmt.Errorf("%w: it has %d to acknowledge", errBrokerBehind, n)
		}
		if err := p.writer.WriteMessages(ctx, messages...); err != nil { // asynchronous: only what cannot even be queued
			return fmt.Errorf("publish: %w", err)
		}
	}
	if err := p.writer.Close(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// take makes the messages of all that is due by now, and opens their promises.
func (p *publisher) take(messages []kafka.Message, start, now time.Time) []kafka.Message {
	for {
		e, ok := p.plan.take(now.Sub(start))
		if !ok {
			return messages
		}
		due, at := start.Add(e.due), time.Now()
		if e.due >= p.warm {
			promise.Record(p.late, at.Sub(due))
		}
		messages = p.promise(messages, e, due, at)
	}
}

// promise opens the promise of an event and makes its messages.
func (p *publisher) promise(messages []kafka.Message, e planned, due, at time.Time) []kafka.Message {
	key, value := p.plan.fleet.event(e.device, e.number, e.priority)
	message := kafka.Message{Key: key, Value: value, WriterData: origin{e.device, e.number, due, false}}
	p.book.Publish(e.device, e.number, due, at)
	p.events.Add(1)
	p.records.Add(1)
	messages = append(messages, message)
	if e.twice {
		p.records.Add(1)
		message.WriterData = origin{e.device, e.number, due, true}
		messages = append(messages, message)
	}
	return messages
}

// fill publishes the whole plan as fast as the broker takes it, and returns when all of it is acknowledged. Now and then it tells
// how many events it has come to.
func (p *publisher) fill(ctx context.Context, tell func(events int64)) error {
	p.start = time.Now()
	defer p.writer.Transport.(*kafka.Transport).CloseIdleConnections()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	told := int64(0)
	for !p.plan.over() {
		if p.unacknowledged() > maxUnacknowledged/4 { // enough to keep the broker busy
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-ticker.C:
			}
			continue
		}
		if n := p.events.Load(); n >= told+tellFilled {
			told = n
			tell(n)
		}
		var messages []kafka.Message
		now := time.Now()
		for len(messages) < fillBatch {
			e, ok := p.plan.take(p.plan.duration)
			if !ok {
				break
			}
			messages = p.promise(messages, e, now, now)
		}
		if err := p.writer.WriteMessages(ctx, messages...); err != nil { // asynchronous, as in run
			return fmt.Errorf("publish: %w", err)
		}
	}
	if err := p.writer.Close(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if n := p.failed.Load(); n > 0 {
		return fmt.Errorf("the broker did not take %d of %d records: %w", n, p.records.Load(), p.failure)
	}
	return nil
}

func (p *publisher) unacknowledged() int64 {
	return p.records.Load() - p.acked.Load() - p.failed.Load()
}

// in is how many events were acknowledged in a second.
func (p *publisher) in(second int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if second >= len(p.seconds) {
		return 0
	}
	return p.seconds[second]
}

// rate is the events per second that were acknowledged, from the start to the end of the plan or, where that is later, to
// the last acknowledgement.
func (p *publisher) rate(planned time.Duration) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	events := 0
	for _, n := range p.seconds {
		events += n
	}
	return float64(events) / max(planned, p.last.Sub(p.start)).Seconds()
}

// acknowledged is how long events took from their times to their acknowledgements.
func (p *publisher) acknowledged() Latency {
	p.mu.Lock()
	defer p.mu.Unlock()
	return latencyOf("acknowledged by the broker", p.acks)
}

// handed is how long they took to be handed to the client. It is known when run has returned.
func (p *publisher) handed() Latency { return latencyOf("handed over", p.late) }

// completed takes the broker's word on messages.
func (p *publisher) completed(messages []kafka.Message, err error) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.refused(messages, err)
		return
	}
	p.acked.Add(int64(len(messages)))
	second := max(0, seconds(now.Sub(p.start)))
	for len(p.seconds) <= second {
		p.seconds = append(p.seconds, 0)
	}
	for _, m := range messages {
		from := m.WriterData.(origin)
		if !from.due.Before(p.start.Add(p.warm)) {
			promise.Record(p.acks, now.Sub(from.due))
		}
		if !from.second {
			p.seconds[second]++
			p.book.Acknowledged(from.device, from.number, now)
		}
	}
	p.last = now
}

// refused notes that the broker did not take messages. p.mu is held.
func (p *publisher) refused(messages []kafka.Message, err error) {
	p.failed.Add(int64(len(messages)))
	for _, m := range messages {
		from := m.WriterData.(origin)
		p.book.Withdraw(from.device, from.number)
	}
	if p.failure == nil {
		p.failure = err
	}
}
