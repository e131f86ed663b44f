package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
)

const (
	// maxMessage is how large a message may be, as kafka-go reckons, and how large a batch of them: a little below the
	// 1048588 bytes that a broker takes by default (message.max.bytes).
	maxMessage = 1_000_000
	// maxWrite is how many messages one partition is sent at once. kafka-go sets aside memory for as many each time.
	maxWrite = 200
	// CutHeader stands in a message that no broker would have taken: its value was cut (and where that was not enough its
	// key, then its headers), and was as many bytes long as this says.
	CutHeader = "pushd-cut-from-bytes"
)

// Publisher publishes messages and says when all in-sync replicas have them.
//
// What waits to be published is not bounded here, because Publish must not block a shard: it is bounded by the windows of
// the partitions, since the offset that a message is published for is not done before. pushd_publish_queue_messages
// shows it. Where Kafka takes no messages the windows fill, and the partitions pause.
//
// Messages of one key, or to one partition, stay in order, except that after a failure one may be published again behind its successors. It is
// never published for the first time behind them: what one attempt holds for a partition is one batch (take), and
// it is settled before the next.
//
// Goroutines, all of which have ended when Run returns: Run itself, and one for each topic, so that a topic that cannot be
// written holds up no other.
type Publisher struct {
	cfg     Config
	conn    *connection
	log     *slog.Logger
	metrics *publisherMetrics

	mu     sync.Mutex         // guards what stands below
	topics map[string]*outbox // never shrinks: topics come from the configuration

	added chan struct{} // capacity 1; Publish writes where it has made an outbox, Run reads
}

// outbox is what waits for one topic.
type outbox struct {
	topic   string
	waiting []posted      // guarded by Publisher.mu
	filled  chan struct{} // capacity 1; Publish writes, the topic's goroutine reads
	started bool          // owned by Run
	trouble *complaints
	spread  spread // owned by the topic's goroutine
}

// spread chooses partitions as Java's producers do, unless the message says which, and remembers how many there are. A
// message without a key goes where its value says: the choice must be the same each time it is asked for.
type spread struct{ partitions []int }

func (s *spread) Balance(m kafka.Message, partitions ...int) int {
	s.partitions = partitions
	if told, ok := m.WriterData.(int32); ok {
		return int(told)
	}
	if m.Key == nil {
		m.Key = m.Value
	}
	return kafka.Murmur2Balancer{Consistent: true}.Balance(m, partitions...)
}

// posted is a message, how many bytes it takes at most (maxMessage at most), and the call that it came with.
type posted struct {
	message kafka.Message
	size    int
	call    *call
}

// call is one call of Publish: done is called when nothing of it is left.
type call struct {
	left atomic.Int64
	done func()
}

// NewPublisher makes a Publisher of a valid Config; nothing is connected before Run. It fails where a file that cfg names
// cannot be used.
func NewPublisher(cfg Config, reg prometheus.Registerer, log *slog.Logger) (*Publisher, error) {
	conn, err := cfg.connect()
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &Publisher{
		cfg: cfg, conn: conn, log: log, metrics: newPublisherMetrics(reg),
		topics: map[string]*outbox{}, added: make(chan struct{}, 1),
	}, nil
}

// Publish takes messages to be published, and never blocks. done is called once, from another goroutine, when all
// in-sync replicas have all of them; it must not block. Where that never happens, because the process ends first, done is
// not called. The messages' slices must not be changed any more. A value that is too large for Kafka is cut (CutHeader).
func (p *Publisher) Publish(messages []Message, done func()) {
	if len(messages) == 0 {
		done()
		return
	}
	c := &call{done: done}
	c.left.Store(int64(len(messages)))
	p.metrics.queued.Add(float64(len(messages)))

	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range messages {
		box := p.topics[m.Topic]
		if box == nil {
			box = &outbox{topic: m.Topic, filled: make(chan struct{}, 1), trouble: newComplaints(p.log, p.metrics.errors)}
			p.topics[m.Topic] = box
			signal(p.added)
		}
		message, size := p.message(m)
		box.waiting = append(box.waiting, posted{message, size, c})
		signal(box.filled)
	}
}

// message is m as kafka-go wants it, cut to what a broker takes, and how many bytes it takes at most.
func (p *Publisher) message(m Message) (out kafka.Message, size int) {
	out = kafka.Message{Topic: m.Topic, Key: m.Key, Value: m.Value, Headers: make([]kafka.Header, 0, len(m.Headers)+1)}
	if m.Partition != nil {
		out.WriterData = *m.Partition
	}
	size = len(m.Key) + len(m.Value) + 100
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, kafka.Header(h))
		size += len(h.Key) + len(h.Value) + 20
	}
	if excess := size - maxMessage; excess > 0 {
		out.Value = m.Value[:max(len(m.Value)-excess, 0)]
		if excess -= len(m.Value); excess > 0 { // absurd, but it must not be tried for ever
			out.Key = m.Key[:max(len(m.Key)-excess, 0)]
		}
		if excess -= len(m.Key); excess > 0 {
			out.Headers = nil
		}
		out.Headers = append(out.Headers, kafka.Header{Key: CutHeader, Value: []byte(strconv.Itoa(len(m.Value)))})
		p.metrics.cut.Inc()
	}
	return out, min(size, maxMessage)
}

// Run publishes until ctx ends; then it goes on for publish.flush at most, while anything waits. A Publisher runs once.
func (p *Publisher) Run(ctx context.Context) error {
	writing, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(p.cfg.Publish.Flush, abandon) })()

	var topics sync.WaitGroup
	for {
		p.start(func(box *outbox) { topics.Go(func() { p.write(ctx, writing, box) }) })
		select {
		case <-p.added:
			continue
		case <-ctx.Done():
		}
		break
	}
	p.start(func(box *outbox) { topics.Go(func() { p.write(ctx, writing, box) }) })
	topics.Wait()
	if left := p.left(); left > 0 {
		p.log.Warn("kafka: messages were not published in time; the events they belong to will be read again", "messages", left)
	}
	p.conn.close()
	return nil
}

// writer makes what publishes to one topic.
func (p *Publisher) writer(box *outbox) *kafka.Writer {
	return &kafka.Writer{
		Addr:         kafka.TCP(p.cfg.Brokers...),
		Transport:    p.conn.transport,
		Balancer:     &box.spread,
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: p.cfg.Publish.Linger,
		BatchSize:    maxWrite,
		BatchBytes:   maxMessage + 1000,
		MaxAttempts:  1, // what fails is tried again here, with what has come since
		ReadTimeout:  requestTimeout,
		WriteTimeout: requestTimeout,
	}
}

// start hands each outbox that has no goroutine to run.
func (p *Publisher) start(run func(*outbox)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, box := range p.topics {
		if !box.started {
			box.started = true
			run(box)
		}
	}
}

func (p *Publisher) left() (messages int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, box := range p.topics {
		messages += len(box.waiting)
	}
	return messages
}

// write publishes what waits for one topic, one batch for each partition at a time. It ends when ctx has and nothing waits,
// or when writing does.
func (p *Publisher) write(ctx, writing context.Context, box *outbox) {
	writer := p.writer(box)
	defer writer.Close() // it waits for what is on the way; nothing is where writing has not ended
	pause := newBackoff()
	for {
		batch := p.take(box)
		if len(batch) == 0 {
			select {
			case <-box.filled:
				continue
			case <-ctx.Done():
			}
			if batch = p.take(box); len(batch) == 0 {
				return
			}
		}
		failed := p.attempt(writing, writer, box, batch)
		if len(failed) == 0 {
			pause.reset()
			continue
		}
		p.putBack(box, failed)
		if !pause.wait(writing) {
			return
		}
	}
}

// take takes the first that wait, no more for any partition than make one of kafka-go's batches. Where it cuts several, a
// later one may be taken by the broker and an earlier one refused.
func (p *Publisher) take(box *outbox) []posted {
	p.mu.Lock()
	defer p.mu.Unlock()
	partitions := box.spread.partitions
	if partitions == nil {
		partitions = []int{0} // not known before the first attempt
	}
	most := min(len(partitions)*maxWrite, len(box.waiting))
	type fill struct{ messages, bytes int }
	filled := make(map[int]fill, len(partitions)) // by partition; a message may name one that there is not
	batch := make([]posted, 0, most)
	var passed []posted
	seen := 0
	for seen < len(box.waiting) && len(batch) < most && len(passed) < most { // where few keys have most messages, not all is looked through
		m := box.waiting[seen]
		seen++
		at := box.spread.Balance(m.message, partitions...)
		f := filled[at]
		if f.messages == maxWrite || f.bytes+m.size > maxMessage {
			filled[at] = fill{messages: maxWrite} // nor is what comes behind it taken
			passed = append(passed, m)
			continue
		}
		filled[at] = fill{f.messages + 1, f.bytes + m.size}
		batch = append(batch, m)
	}
	box.waiting = box.waiting[seen-len(passed):]
	copy(box.waiting, passed)
	if len(box.waiting) == 0 {
		box.waiting = nil // what is published need not be kept
	}
	return batch
}

// putBack puts messages before those that have come since.
func (p *Publisher) putBack(box *outbox, failed []posted) {
	p.mu.Lock()
	defer p.mu.Unlock()
	box.waiting = append(failed, box.waiting...)
}

// attempt publishes a batch and returns what was not acknowledged.
func (p *Publisher) attempt(ctx context.Context, writer *kafka.Writer, box *outbox, batch []posted) (failed []posted) {
	messages := make([]kafka.Message, len(batch))
	for i := range batch {
		messages[i] = batch[i].message
	}
	begun := time.Now()
	err := writer.WriteMessages(ctx, messages...)
	p.metrics.duration.Observe(time.Since(begun).Seconds())

	var each kafka.WriteErrors
	switch {
	case err == nil:
	case errors.As(err, &each): // one for each message, nil where it was acknowledged
		for _, e := range each {
			if e != nil {
				err = e
				break
			}
		}
	default: // nothing was, as far as is known
		each = make(kafka.WriteErrors, len(batch))
		for i := range each {
			each[i] = err
		}
	}
	for i, b := range batch {
		if each != nil && each[i] != nil {
			failed = append(failed, b)
			continue
		}
		p.metrics.queued.Dec()
		if b.call.left.Add(-1) == 0 {
			b.call.done()
		}
	}
	if len(failed) > 0 {
		p.metrics.failures.Add(float64(len(failed)))
		box.trouble.about("publish to "+box.topic, err)
	} else {
		box.trouble.over()
	}
	return failed
}
