package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// mostTogether is how many partitions are asked about in one request. A broker looks at each of them when one has got a
// record, so that with very many an event would cost more than a request of its own.
const mostTogether = 16

// ask is what a partition wants to have: records from an offset on, as many bytes at most.
type ask struct {
	partition int32
	offset    int64
	bytes     int
	answer    chan answer // capacity 1: nobody may wait for it any more
}

type answer struct {
	fetch.ResponsePartition
	err error
}

// rounds asks the brokers for records. Where partitions are read to their ends, a request costs a broker and this process more
// than the few records in its answer; so those partitions are asked about together, in rounds: whoever asks first waits for
// others, for fetch.gather. Each partition is in one request at a time, and one whose owner is busy is in a later round, so
// that it holds up no other.
type rounds struct {
	conn  *connection
	topic string
	cfg   FetchConfig

	mu      sync.Mutex
	waiting []*ask        // guarded by mu; for the next round
	joined  chan struct{} // capacity 1; together writes, run reads
}

func newRounds(conn *connection, topic string, cfg FetchConfig) *rounds {
	return &rounds{conn: conn, topic: topic, cfg: cfg, joined: make(chan struct{}, 1)}
}

// together waits for an answer in one of the next rounds.
func (r *rounds) together(ctx context.Context, a *ask) answer {
	r.mu.Lock()
	r.waiting = append(r.waiting, a)
	r.mu.Unlock()
	signal(r.joined)
	select {
	case got := <-a.answer:
		return got
	case <-ctx.Done():
		return answer{err: context.Cause(ctx)}
	}
}

// alone asks at once, and about nothing else: then a broker answers with one batch of records at least, however large it is.
func (r *rounds) alone(ctx context.Context, a *ask) answer {
	r.send(ctx, []*ask{a})
	return <-a.answer
}

// run begins rounds until ctx ends.
func (r *rounds) run(ctx context.Context) {
	var requests sync.WaitGroup
	defer requests.Wait()
	for {
		select {
		case <-r.joined:
		case <-ctx.Done():
			return
		}
		if !sleep(ctx, r.cfg.Gather) {
			return
		}
		r.mu.Lock()
		round := r.waiting
		r.waiting = nil
		r.mu.Unlock()
		if len(round) == 0 {
			continue
		}
		leaders, _ := r.conn.leaders(ctx, r.topic) // where none are known, each request says what is wrong
		for _, asks := range share(round, leaders.of) {
			requests.Go(func() { r.send(ctx, asks) })
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// share shares a round out to requests, each of partitions that one broker leads. A partition of which no leader is known is
// asked about by itself, and its answer says what is wrong.
func share(round []*ask, leaders map[int32]int32) (requests [][]*ask) {
	slices.SortFunc(round, func(a, b *ask) int { return cmp.Compare(a.partition, b.partition) }) // the same ones stay together
	filling := map[int32]int{}                                                                   // by leader: the request that has room
	for _, a := range round {
		leader, led := leaders[a.partition]
		at, begun := filling[leader]
		if !led || !begun || len(requests[at]) == mostTogether {
			at = len(requests)
			requests = append(requests, nil)
			if led {
				filling[leader] = at
			}
		}
		requests[at] = append(requests[at], a)
	}
	return requests
}

// send makes one request, and answers each ask.
func (r *rounds) send(ctx context.Context, asks []*ask) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.MaxWait+requestTimeout)
	defer cancel()
	response, err := r.conn.transport.RoundTrip(ctx, r.conn.client.Addr, r.request(asks))
	var have []fetch.ResponsePartition
	if err != nil && len(asks) > 1 {
		err = fmt.Errorf("of %d partitions together: %w", len(asks), err) // it need not be about this one
	}
	if err == nil {
		response := response.(*fetch.Response)
		if response.ErrorCode != 0 {
			err = kafka.Error(response.ErrorCode)
		}
		for _, t := range response.Topics {
			have = append(have, t.Partitions...)
		}
	}
	for _, a := range asks {
		at := slices.IndexFunc(have, func(p fetch.ResponsePartition) bool { return p.Partition == a.partition })
		switch {
		case err != nil:
			a.answer <- answer{err: err}
		case at < 0:
			a.answer <- answer{err: fmt.Errorf("the broker's answer says nothing of partition %d", a.partition)}
		case have[at].ErrorCode != 0:
			a.answer <- answer{err: kafka.Error(have[at].ErrorCode)}
		default:
			a.answer <- answer{ResponsePartition: have[at]}
		}
	}
}

func (r *rounds) request(asks []*ask) *fetch.Request {
	request := &fetch.Request{
		ReplicaID:   -1,
		MaxWaitTime: int32(r.cfg.MaxWait.Milliseconds()),
		MinBytes:    int32(r.cfg.MinBytes),
		// A wake must not be pushed before the publisher's transaction shows the server what it is for.
		IsolationLevel: int8(kafka.ReadCommitted),
		SessionID:      -1,
		SessionEpoch:   -1,
	}
	partitions := make([]fetch.RequestPartition, len(asks))
	for i, a := range asks {
		partitions[i] = fetch.RequestPartition{
			Partition: a.partition, CurrentLeaderEpoch: -1, FetchOffset: a.offset, LogStartOffset: -1, PartitionMaxBytes: int32(a.bytes),
		}
		request.MaxBytes += int32(a.bytes)
	}
	request.MinBytes = min(request.MinBytes, request.MaxBytes) // less may be asked for than the operator wants to wait for
	request.Topics = []fetch.RequestTopic{{Topic: r.topic, Partitions: partitions}}
	return request
}
