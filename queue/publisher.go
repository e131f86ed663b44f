package queue

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"pushd/queue/event"
)

const (
	// maxMessage is how large a message may be, as kafka-go reckons, and how large a batch of them: a little below the
	// 1048588 bytes that a broker takes by default (message.max.bytes).
	maxMessage = 1_000_000
	// maxWrite is how many messages one partition is sent at once, and maxRequest how many bytes a broker is: far below the 100
	// MiB that one takes by default (socket.request.max.bytes).
	maxWrite   = 1000
	maxRequest = 8 << 20
	// leastBatch is what every topic takes in one batch: less than the least max.message.bytes that the documents allow, 131072.
	leastBatch = 100_000
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
	most    int // bytes of a batch: less than maxMessage where the topic takes less; owned by the topic's goroutine
}

// posted is a message, how many bytes it takes at most (maxMessage at most), and the call that it came with.
type posted struct {
	message   Message
	size      int
	call      *call
	partition int32 // where it goes, by the number of partitions that the topic had lately; set by take
}

// spread chooses a partition as Java's producers do, unless the message says which. A message without a key goes where its
// value says: the choice must be the same each time it is asked for.
func spread(m *Message, partitions []int) int32 {
	if m.Partition != nil {
		return *m.Partition
	}
	key := m.Key
	if key == nil {
		key = m.Value
	}
	return int32(kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: key}, partitions...))
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
			box = &outbox{topic: m.Topic, filled: make(chan struct{}, 1), most: maxMessage, trouble: newComplaints(p.log, p.metrics.errors)}
			p.topics[m.Topic] = box
			signal(p.added)
		}
		message, size := p.fit(m)
		box.waiting = append(box.waiting, posted{message: message, size: size, call: c})
		signal(box.filled)
	}
}

// fit is m cut to what a broker takes, and how many bytes it takes at most.
func (p *Publisher) fit(m Message) (fitting Message, size int) {
	size = len(m.Key) + len(m.Value) + 100
	for _, h := range m.Headers {
		size += len(h.Key) + len(h.Value) + 20
	}
	excess := size - maxMessage
	if excess <= 0 {
		return m, size
	}
	fitting = m
	fitting.Value = m.Value[:max(len(m.Value)-excess, 0)]
	if excess -= len(m.Value); excess > 0 { // absurd, but it must not be tried for ever
		fitting.Key = m.Key[:max(len(m.Key)-excess, 0)]
	}
	if excess -= len(m.Key); excess > 0 {
		fitting.Headers = nil
	}
	fitting.Headers = append(slices.Clip(fitting.Headers), event.Header{Key: CutHeader, Value: []byte(strconv.Itoa(len(m.Value)))})
	p.metrics.cut.Inc()
	return fitting, maxMessage
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
	pause := newBackoff()
	for p.gather(ctx, box) {
		failed := p.attempt(writing, box)
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

// gather waits until there is something to publish, and then publish.linger for more to publish with it. It says false
// where there is nothing and ctx has ended.
func (p *Publisher) gather(ctx context.Context, box *outbox) bool {
	for {
		p.mu.Lock()
		waiting := len(box.waiting)
		p.mu.Unlock()
		switch {
		case waiting >= maxWrite:
			return true
		case waiting > 0:
			sleep(ctx, p.cfg.Publish.Linger)
			return true
		case ctx.Err() != nil:
			return false
		}
		select {
		case <-box.filled:
		case <-ctx.Done():
		}
	}
}

// take takes the first that wait, no more for any partition than make one batch, and no more in all than make one request.
func (p *Publisher) take(box *outbox, partitions []int) []posted {
	p.mu.Lock()
	defer p.mu.Unlock()
	most, room := min(len(partitions)*maxWrite, len(box.waiting)), maxRequest
	type fill struct{ messages, bytes int }
	filled := make(map[int32]fill, len(partitions)) // by partition; a message may name one that there is not
	batch := make([]posted, 0, most)
	var passed []posted
	seen := 0
	for seen < len(box.waiting) && len(batch) < most && len(passed) < most { // where few keys have most messages, not all is looked through
		m := box.waiting[seen]
		m.partition = spread(&m.message, partitions)
		f := filled[m.partition]
		if f.messages == maxWrite || f.messages > 0 && f.bytes+m.size > box.most {
			filled[m.partition] = fill{messages: maxWrite} // nor is what comes behind it taken
			passed = append(passed, m)
			seen++
			continue
		}
		if room -= m.size; room < 0 {
			break
		}
		seen++
		filled[m.partition] = fill{f.messages + 1, f.bytes + m.size}
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
