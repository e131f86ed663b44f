package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"pushd/queue/event"
)

func newRegistry() *prometheus.Registry { return prometheus.NewRegistry() }

// publisher starts a Publisher; stop ends it and waits.
func (p ground) publisher(t *testing.T, w *witness) (pub *Publisher, reg *prometheus.Registry, stop func()) {
	t.Helper()
	reg = newRegistry()
	pub, err := NewPublisher(p.cfg, reg, w.logger())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- pub.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return pub, reg, stop
}

// read returns the first n records of the topic, as another client sees them.
func (p ground) read(t *testing.T, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.Brokers...), kgo.ConsumeTopics(p.cfg.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(deadline(t))
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d records read: %v", len(records), n, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

func publishedLikeJava(t *testing.T, p ground) {
	w := newWitness()
	pub, _, _ := p.publisher(t, w)
	acknowledged := make(chan struct{})
	messages := make([]Message, 200)
	for i := range messages {
		messages[i] = Message{Topic: p.cfg.Topic, Key: fmt.Appendf(nil, "tenant-%d/device-%d", i%7, i), Value: []byte("v"),
			Headers: []event.Header{{Key: "h", Value: []byte("x")}}}
	}
	pub.Publish(messages, func() { close(acknowledged) })
	await(t, acknowledged)
	// franz-go's default partitioner is tested against Java's.
	java := kgo.StickyKeyPartitioner(nil).ForTopic(p.cfg.Topic)
	for _, r := range p.read(t, len(messages)) {
		if want := java.Partition(&kgo.Record{Key: r.Key}, 4); int(r.Partition) != want {
			t.Errorf("key %s is in partition %d, want %d", r.Key, r.Partition, want)
		}
		if len(r.Headers) != 1 || r.Headers[0].Key != "h" || string(r.Headers[0].Value) != "x" {
			t.Errorf("key %s has the headers %v", r.Key, r.Headers)
		}
	}
}

func publishedInOrder(t *testing.T, p ground) {
	w := newWitness()
	pub, reg, _ := p.publisher(t, w)
	const calls, keys = 500, 10
	var acknowledged sync.WaitGroup
	acknowledged.Add(calls)
	for i := range calls {
		var messages []Message
		for key := range keys {
			messages = append(messages, Message{Topic: p.cfg.Topic, Key: fmt.Append(nil, key), Value: fmt.Append(nil, i)})
		}
		pub.Publish(messages, acknowledged.Done)
	}
	acknowledged.Wait()
	next := map[string]int{}
	for _, r := range p.read(t, calls*keys) {
		if got, want := string(r.Value), fmt.Sprint(next[string(r.Key)]); got != want {
			t.Fatalf("key %s: %s comes where %s should", r.Key, got, want)
		}
		next[string(r.Key)]++
	}
	if got := metric(t, reg, "pushd_publish_queue_messages"); got != 0 {
		t.Errorf("%v messages are queued when all are acknowledged", got)
	}
}

// A batch that is refused must hold back those behind it: here are three for one partition, and the first is refused once.
func TestWhatIsRefusedIsNotOvertaken(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	refused := make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		close(refused)
		request := r.(*kmsg.ProduceRequest)
		response := request.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range request.Topics {
			to := kmsg.NewProduceResponseTopic()
			to.Topic, to.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = partition.Partition, kerr.NotLeaderForPartition.Code
				to.Partitions = append(to.Partitions, p)
			}
			response.Topics = append(response.Topics, to)
		}
		return response, nil, true
	})
	p := newGround(t, testBroker{addr: cluster.ListenAddrs()[0]})
	pub, _, _ := p.publisher(t, newWitness())
	messages := make([]Message, 3*maxWrite)
	for i := range messages {
		messages[i] = Message{Topic: p.cfg.Topic, Key: []byte("key"), Value: fmt.Append(nil, i)}
	}
	acknowledged := make(chan struct{})
	pub.Publish(messages, func() { close(acknowledged) })
	await(t, refused)
	await(t, acknowledged)
	for i, r := range p.read(t, len(messages)) {
		if want := fmt.Sprint(i); string(r.Value) != want {
			t.Fatalf("%s comes where %s should", r.Value, want)
		}
	}
}

// A topic may take less than brokers do by default: 131072 bytes are the least that the documents allow.
func TestATopicThatTakesSmallBatchesGetsThem(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	p := newGround(t, testBroker{addr: cluster.ListenAddrs()[0]})
	limit := "131072"
	change := kmsg.NewPtrIncrementalAlterConfigsRequest()
	of := kmsg.NewIncrementalAlterConfigsRequestResource()
	of.ResourceType, of.ResourceName = kmsg.ConfigResourceTypeTopic, p.cfg.Topic
	of.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "max.message.bytes", Value: &limit}}
	change.Resources = append(change.Resources, of)
	if _, err := change.RequestWith(deadline(t), p.client); err != nil {
		t.Fatal(err)
	}
	w := newWitness()
	pub, _, _ := p.publisher(t, w)
	messages := make([]Message, 1500)
	for i := range messages {
		messages[i] = Message{Topic: p.cfg.Topic, Key: []byte("key"), Value: fmt.Appendf(make([]byte, 0, 500), "%0500d", i)}
	}
	messages = append(messages, Message{Topic: p.cfg.Topic, Key: []byte("key"), Value: make([]byte, 64<<10)}, Message{Topic: p.cfg.Topic, Key: []byte("key"), Value: make([]byte, 64<<10)})
	acknowledged := make(chan struct{})
	pub.Publish(messages, func() { close(acknowledged) })
	await(t, acknowledged)
	if !w.logged("too_large") {
		t.Error("the first batch was not too large: this test tests nothing")
	}
	for i, r := range p.read(t, len(messages)) {
		if string(r.Value) != string(messages[i].Value) {
			t.Fatalf("message %d is not the one that was published", i)
		}
	}
}

func TestWhatOnePartitionRefusesIsNotInTheWayOfOthers(t *testing.T) {
	t.Parallel()
	pub, err := NewPublisher(DefaultConfig(), newRegistry(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	refused, other := int32(1), int32(2)
	for range 200 {
		pub.Publish([]Message{{Topic: "dead", Partition: &refused, Value: make([]byte, 64<<10)}}, func() {})
	}
	pub.Publish([]Message{{Topic: "dead", Partition: &other, Value: []byte("small")}}, func() {})
	batch, bytes := pub.take(pub.topics["dead"], numbers(12)), 0
	if last := batch[len(batch)-1]; last.partition != other {
		t.Errorf("%d messages are taken, none of them for partition %d", len(batch), other)
	}
	for _, m := range batch {
		bytes += m.size
	}
	if bytes > maxMessage+1000 {
		t.Errorf("%d bytes are taken for two partitions, and %d in a batch are allowed", bytes, maxMessage)
	}
}

func doneOnceAll(t *testing.T, p ground) {
	w := newWitness()
	other := p.cfg.Topic + "-other"
	p.create(t, other, 1)
	pub, _, stop := p.publisher(t, w)
	const calls = 100
	done := make(chan int, 2*calls)
	for i := range calls {
		pub.Publish([]Message{
			{Topic: p.cfg.Topic, Value: fmt.Append(nil, i)},
			{Topic: other, Value: fmt.Append(nil, i)},
			{Topic: p.cfg.Topic, Value: fmt.Append(nil, -i)},
		}, func() { done <- i })
	}
	stop() // it publishes what waits
	close(done)
	times := map[int]int{}
	for i := range done {
		times[i]++
	}
	for i := range calls {
		if times[i] != 1 {
			t.Errorf("done of call %d was called %d times", i, times[i])
		}
	}
	p.read(t, 2*calls)
}

func missingTopic(t *testing.T, p ground) {
	p.cfg.Publish.Flush = 100 * time.Millisecond
	w := newWitness()
	pub, reg, stop := p.publisher(t, w)
	missing := p.cfg.Topic + "-missing"
	late := make(chan struct{})
	pub.Publish([]Message{{Topic: missing, Value: []byte("v")}}, func() { close(late) })
	w.await(t, "the missing topic is logged", func() bool { return w.logged(missing) && w.logged("unknown_topic") })
	acknowledged := make(chan struct{})
	pub.Publish([]Message{{Topic: p.cfg.Topic, Value: []byte("v")}}, func() { close(acknowledged) })
	await(t, acknowledged)
	select {
	case <-late:
		t.Fatal("a message to a topic that does not exist counts as published")
	default:
	}
	if metric(t, reg, "pushd_feedback_publish_failures_total") == 0 {
		t.Error("the failure is not counted")
	}
	p.create(t, missing, 1)
	await(t, late)
	pub.Publish([]Message{{Topic: missing + "-too", Value: []byte("v")}}, func() { t.Error("published to nowhere") })
	stop() // it does not wait for ever
	if !w.logged("messages were not published in time") {
		t.Error("what was left behind is not logged")
	}
}

func tooLargeIsCut(t *testing.T, p ground) {
	w := newWitness()
	pub, reg, _ := p.publisher(t, w)
	acknowledged := make(chan struct{})
	pub.Publish([]Message{
		{Topic: p.cfg.Topic, Key: []byte("large"), Value: []byte(strings.Repeat("x", 2_000_000))},
		{Topic: p.cfg.Topic, Key: []byte("just fits"), Value: []byte(strings.Repeat("x", maxMessage-200))},
		{Topic: p.cfg.Topic, Key: []byte(strings.Repeat("k", 2_000_000)), Value: []byte("v"), Headers: []event.Header{{Key: "h", Value: []byte("x")}}},
		{Topic: p.cfg.Topic, Key: []byte("small"), Value: []byte("v")},
	}, func() { close(acknowledged) })
	await(t, acknowledged)
	for _, r := range p.read(t, 4) {
		cut := len(r.Headers) > 0 && r.Headers[len(r.Headers)-1].Key == CutHeader
		switch string(r.Key) {
		case "large":
			if len(r.Value) < 900_000 || !cut || string(r.Headers[0].Value) != "2000000" {
				t.Errorf("value of %d bytes, headers %v", len(r.Value), r.Headers)
			}
		case "just fits", "small":
			if cut {
				t.Errorf("%s was cut", r.Key)
			}
		default:
			if !cut || len(r.Key) < 900_000 {
				t.Errorf("key of %d bytes, headers %v", len(r.Key), r.Headers)
			}
		}
	}
	if got := metric(t, reg, "pushd_publish_cut_total"); got != 2 {
		t.Errorf("%v messages count as cut, want 2", got)
	}
}

func await(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-deadline(t).Done():
		t.Fatal("waited in vain")
	}
}
