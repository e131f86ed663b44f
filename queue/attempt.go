package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// attempt publishes a batch for each partition of a topic, in one request for each broker, and returns what was not
// acknowledged, in its order. kafka-go's Writer makes a request for each partition, however little it has: for feedback of a
// few messages in a few milliseconds that costs most of what publishing costs, here and in the broker.
func (p *Publisher) attempt(ctx context.Context, box *outbox) (failed []posted) {
	begun := time.Now()
	leaders, err := p.conn.leaders(ctx, box.topic)
	batch := p.take(box, numbers(max(1, leaders.partitions)))
	var refused map[int32]error // by partition
	if err == nil {
		refused = p.produce(ctx, box.topic, batch, leaders)
	}
	p.metrics.duration.Observe(time.Since(begun).Seconds())

	for _, m := range batch {
		if err == nil && refused[m.partition] == nil {
			p.metrics.queued.Dec()
			if m.call.left.Add(-1) == 0 {
				m.call.done()
			}
			continue
		}
		failed = append(failed, m)
	}
	if len(failed) == 0 {
		box.trouble.over()
		return nil
	}
	if err == nil {
		err = refused[failed[0].partition]
	}
	for _, e := range refused {
		if errors.Is(e, kafka.MessageSizeTooLarge) || errors.Is(e, kafka.RecordListTooLarge) {
			box.most = max(leastBatch, box.most/2)
			break
		}
	}
	p.metrics.failures.Add(float64(len(failed)))
	box.trouble.about("publish to "+box.topic, err)
	return failed
}

// numbers are 0 to n-1.
func numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// produce sends each broker what is for the partitions that it leads, and returns the errors of the partitions that have one.
// A partition of which no leader is known has a request of its own, and its error says so.
func (p *Publisher) produce(ctx context.Context, topic string, batch []posted, leaders leaders) map[int32]error {
	requests := map[int32]map[int32]*postedRecords{} // by broker, and by partition
	for i := range batch {
		m := &batch[i]
		to, led := leaders.of[m.partition]
		if !led {
			to = -1 - m.partition // no broker has that number
		}
		if requests[to] == nil {
			requests[to] = map[int32]*postedRecords{}
		}
		if requests[to][m.partition] == nil {
			requests[to][m.partition] = &postedRecords{}
		}
		requests[to][m.partition].add(m)
	}
	var (
		mu      sync.Mutex
		refused = map[int32]error{} // guarded by mu
		sent    sync.WaitGroup
	)
	for _, records := range requests {
		sent.Go(func() {
			errs := p.send(ctx, topic, records)
			mu.Lock()
			defer mu.Unlock()
			for partition, err := range errs {
				refused[partition] = err
			}
		})
	}
	sent.Wait()
	return refused
}

// send makes one request, and returns the errors of the partitions that have one.
func (p *Publisher) send(ctx context.Context, topic string, records map[int32]*postedRecords) map[int32]error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request := &produce.Request{Acks: int16(kafka.RequireAll), Timeout: int32(requestTimeout.Milliseconds())}
	to := produce.RequestTopic{Topic: topic}
	for partition, r := range records {
		to.Partitions = append(to.Partitions, produce.RequestPartition{Partition: partition, RecordSet: protocol.RecordSet{Records: r}})
	}
	request.Topics = []produce.RequestTopic{to}
	response, err := p.conn.transport.RoundTrip(ctx, p.conn.client.Addr, request)

	errs := map[int32]error{}
	var have []produce.ResponsePartition
	if err == nil {
		for _, t := range response.(*produce.Response).Topics {
			have = append(have, t.Partitions...)
		}
	}
	for partition := range records {
		at := slices.IndexFunc(have, func(p produce.ResponsePartition) bool { return p.Partition == partition })
		switch {
		case err != nil:
			errs[partition] = err
		case at < 0:
			errs[partition] = fmt.Errorf("the broker's answer says nothing of partition %d", partition)
		case have[at].ErrorCode != 0:
			errs[partition] = fmt.Errorf("partition %d: %w", partition, kafka.Error(have[at].ErrorCode))
		}
	}
	return errs
}

// postedRecords are the messages of one partition as kafka-go reads them, once.
type postedRecords struct {
	messages   []*posted
	read       int
	record     protocol.Record
	key, value heldBytes
	headers    []protocol.Header
}

func (r *postedRecords) add(m *posted) { r.messages = append(r.messages, m) }

func (r *postedRecords) ReadRecord() (*protocol.Record, error) {
	if r.read == len(r.messages) {
		return nil, io.EOF
	}
	m := &r.messages[r.read].message
	r.read++
	r.headers = r.headers[:0]
	for _, h := range m.Headers {
		r.headers = append(r.headers, protocol.Header(h))
	}
	r.record = protocol.Record{Key: r.key.hold(m.Key), Value: r.value.hold(m.Value), Headers: r.headers}
	return &r.record, nil
}

// heldBytes is a key or a value as kafka-go reads it.
type heldBytes struct{ bytes.Reader }

func (*heldBytes) Close() error { return nil }

// hold returns nil where there is none, which is not the same as an empty one.
func (h *heldBytes) hold(b []byte) protocol.Bytes {
	if b == nil {
		return nil
	}
	h.Reset(b)
	return h
}
