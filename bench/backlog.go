package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/embedded"
	"pushd/queue/event"
)

// partitions is how many the topics have.
const partitions = 8

// topics are the names of the daemon's topics.
type topics struct{ Events, Feedback, Dead string }

func (t topics) all() []string { return []string{t.Events, t.Feedback, t.Dead} }

// serveBroker is the process of the embedded broker: it is told the topics, tells its address, and serves until in ends. All
// is in memory: a disk that is slow to sync would be measured instead of the daemon.
func serveBroker(in io.Reader, out io.Writer) error {
	debug.SetGCPercent(400)
	var t topics
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("read what topics to make: %w", err)
	}
	broker, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0", Partitions: partitions, Topics: t.all()})
	if err != nil {
		return err
	}
	defer broker.Close()
	if err := json.NewEncoder(out).Encode(broker.Addr()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// backlog is a topic with wakes, each of another device and one in deadEvery with a dead token, that daemons read one after the other: each is a group of its own
// and begins at the first.
type backlog struct {
	topics topics
	broker string
	events int
	stop   func() error
}

// embeddedBacklog is one on an embedded broker.
func embeddedBacklog(ctx context.Context, events int) (*backlog, error) {
	b := &backlog{topics: topics{event.CheckinTopic, event.FeedbackTopic, event.DeadTopic}, events: events}
	process, err := startChild(ctx, brokerProcess, b.topics)
	if err != nil {
		return nil, err
	}
	b.stop = process.end
	err = process.hear(&b.broker)
	if err == nil {
		err = b.fill(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

// kafkaBacklog is one on a broker that somebody else runs, in topics of its own that are deleted at the end.
func kafkaBacklog(ctx context.Context, broker string, events int) (*backlog, error) {
	unique := fmt.Sprintf("pushd-bench-%d.", time.Now().UnixNano())
	b := &backlog{
		topics: topics{unique + event.CheckinTopic, unique + event.FeedbackTopic, unique + event.DeadTopic},
		broker: broker, events: events,
	}
	cfg := queue.DefaultConfig()
	cfg.Brokers, cfg.Partitions = []string{broker}, partitions
	creating, cancel := context.WithTimeout(ctx, topicsWithin)
	defer cancel()
	var wanted []queue.Topic
	for _, name := range b.topics.all() {
		wanted = append(wanted, queue.Topic{Name: name})
	}
	if err := queue.EnsureTopics(creating, cfg, wanted...); err != nil {
		return nil, fmt.Errorf("make topics for this run: %w", err)
	}
	b.stop = b.deleteTopics
	if err := b.fill(ctx); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

// topicsWithin is how long a broker may take to make topics, or to delete them.
const topicsWithin = 30 * time.Second

// fill publishes the events, as fast as the broker takes them.
func (b *backlog) fill(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.broker), kgo.DefaultProduceTopic(b.topics.Events), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer client.Close()
	var failed sync.Once
	var failure error
	for n := range b.events {
		key, value := event.Encode(wakeOf(n))
		client.Produce(ctx, &kgo.Record{Key: key, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Do(func() { failure = err })
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("publish the backlog: %w", err)
	}
	if failure != nil { // the flush came after every promise
		return fmt.Errorf("publish the backlog: %w", failure)
	}
	return nil
}

// deadEvery is how many devices there are for one whose token is dead.
const deadEvery = 100

// pushes is how many are accepted in the end.
func (b *backlog) pushes() int { return b.events - b.events/deadEvery }

// wakeOf is the event for the n-th device.
func wakeOf(n int) *event.Event {
	token := apnsToken(uint64(n))
	if n%deadEvery == deadEvery-1 {
		token = deadToken(uint64(n))
	}
	return &event.Event{
		ID: "bench-" + strconv.Itoa(n), Tenant: tenant, Device: deviceName(n),
		Provider: providers.APNs, Token: token, PushMagic: magic, PushType: "mdm", Priority: event.Normal,
	}
}

// deviceName is a UUID. A publisher at a rate must not cost what the daemon could have.
func deviceName(n int) string {
	const digits = "0123456789ABCDEF"
	name := []byte("6F9619FF-8B86-D011-B42D-000000000000")
	for i := len(name) - 1; n > 0; i, n = i-1, n>>4 {
		name[i] = digits[n&15]
	}
	return string(name)
}

func (b *backlog) deleteTopics() error {
	ctx, cancel := context.WithTimeout(context.Background(), topicsWithin)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.broker))
	if err != nil {
		return err
	}
	defer client.Close()
	request := kmsg.NewPtrDeleteTopicsRequest()
	request.TimeoutMillis = int32(topicsWithin.Milliseconds())
	request.TopicNames = b.topics.all()
	for _, name := range b.topics.all() {
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic = &name
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("delete the topics of this run: %w", err)
	}
	for _, topic := range response.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return fmt.Errorf("delete topic %s of this run: %w", *topic.Topic, err)
		}
	}
	return nil
}
