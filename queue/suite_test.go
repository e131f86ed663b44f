package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
	"pushd/queue/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

// suite is run against the embedded broker and against Apache Kafka.
func suite(t *testing.T, b testBroker) {
	for name, test := range map[string]func(*testing.T, ground){
		"records are handed over in order and as they were published":   recordsAreHandedOver,
		"of a record larger than any event the beginning is read":       largeRecordsAreCut,
		"a restart goes on exactly where the last run has committed":    restartResumes,
		"a takeover hands over only what was not done":                  takeoverSkipsWhatIsDone,
		"a takeover believes no metadata but its own log's":             takeoverDistrusts,
		"two members share the partitions and give them up":             membersShare,
		"a late commit of an ended generation is refused":               lateCommitIsRefused,
		"new partitions are noticed":                                    newPartitionsAreNoticed,
		"an offset beyond the end goes on as configured":                offsetBeyondTheEnd,
		"an offset before the beginning goes on as configured":          offsetBeforeTheBeginning,
		"retention that overtakes a paused partition is noticed":        retentionOvertakes,
		"the lag of a paused partition grows with its log":              lagOfAPause,
		"of transactions is handed over what was committed":             transactionsAreObeyed,
		"start=latest is remembered before anything is read":            latestIsRemembered,
		"a topic that is created again is read from its beginning":      topicIsReplaced,
		"a missing topic is waited for":                                 topicIsAwaited,
		"an owner that fails is replaced and nothing is lost":           ownersFail,
		"a shutdown waits for what is under way and commits it":         shutdownDrains,
		"a shutdown does not wait for ever":                             shutdownIsBounded,
		"a message is published to the partition that Java chooses":     publishedLikeJava,
		"messages of one key are published in order":                    publishedInOrder,
		"done is called once all messages are acknowledged":             doneOnceAll,
		"a topic that is missing holds up no other":                     missingTopic,
		"a message that is too large is cut and published":              tooLargeIsCut,
		"of a compacted topic the newest of each key is read":           compactedIsRead,
		"a topic gets as many partitions as the one that it is like":    topicsGrowAlike,
		"a snapshot has what there was when it was opened":              snapshotIsBounded,
		"a snapshot leaves out what retention deletes":                  snapshotAfterRetention,
		"a snapshot that ends in a marker ends":                         snapshotEndsInAMarker,
		"a snapshot that fails says why":                                snapshotFails,
		"topics are created where they are missing and else left alone": topicsAreCreated,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newGround(t, b))
		})
	}
}

func recordsAreHandedOver(t *testing.T, p ground) {
	published := time.Now().Truncate(time.Millisecond)
	special := []*kgo.Record{
		{Key: []byte("tenant/device"), Value: []byte(`{"a":1}`), Headers: []kgo.RecordHeader{{Key: "one", Value: []byte("1")}, {Key: "one", Value: nil}, {Key: "two", Value: []byte("2")}}},
		{Key: []byte("tombstone"), Value: nil},
		{Key: nil, Value: []byte{}},
	}
	for _, r := range special {
		r.Topic, r.Partition, r.Timestamp = p.cfg.Topic, 0, published
	}
	if err := p.client.ProduceSync(deadline(t), special...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	const n = 5000
	p.produce(t, "more", n)

	w := newWitness()
	m := w.run(t, "a", p.cfg)
	w.await(t, "all records are taken", func() bool { return len(w.records) == n+len(special) })
	if ready, why := m.Ready(); !ready {
		t.Errorf("not ready: %s", why)
	}
	m.stop()

	next := map[int32]int64{}
	for _, r := range w.records {
		if r.Offset != next[r.Partition] {
			t.Fatalf("partition %d: offset %d comes after %d", r.Partition, r.Offset, next[r.Partition]-1)
		}
		next[r.Partition]++
	}
	first := slices.DeleteFunc(slices.Clone(w.records), func(r Record) bool { return r.Partition != 0 })[:len(special)]
	headers := []event.Header{{Key: "one", Value: []byte("1")}, {Key: "one"}, {Key: "two", Value: []byte("2")}}
	if !slices.EqualFunc(first[0].Headers, headers, func(a, b event.Header) bool {
		return a.Key == b.Key && string(a.Value) == string(b.Value)
	}) {
		t.Errorf("headers %q, want %q", first[0].Headers, headers)
	}
	if string(first[0].Key) != "tenant/device" || string(first[0].Value) != `{"a":1}` || !first[0].Time.Equal(published) {
		t.Errorf("key %q, value %q, time %v", first[0].Key, first[0].Value, first[0].Time)
	}
	if first[1].Value != nil {
		t.Errorf("a tombstone has the value %q", first[1].Value)
	}
	if first[2].Key != nil || first[2].Value == nil || len(first[2].Value) != 0 {
		t.Errorf("no key and an empty value have become %q and %q", first[2].Key, first[2].Value)
	}
}

func largeRecordsAreCut(t *testing.T, p ground) {
	large := func(n int) []byte { return []byte(strings.Repeat("x", n)) }
	many := make([]kgo.RecordHeader, 10_000)
	for i := range many {
		many[i] = kgo.RecordHeader{Key: "h", Value: []byte("v")}
	}
	for _, r := range []*kgo.Record{
		{Value: large(event.MaxValue)}, {Value: large(event.MaxValue + 1)}, {Value: large(900_000)},
		{Key: large(900_000), Value: []byte("v")}, {Value: nil, Headers: many},
		{Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "h", Value: large(500_000)}, {Key: "small", Value: []byte("s")}}},
	} {
		r.Topic = p.cfg.Topic
		if err := p.client.ProduceSync(deadline(t), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	w := newWitness()
	w.run(t, "a", p.cfg)
	w.await(t, "all records are taken", func() bool { return len(w.records) == 6 })
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, want := range []struct {
		cut                 event.Cut
		key, value, headers int
	}{
		{event.Cut{}, 0, event.MaxValue, 0},
		{event.Cut{Value: event.MaxValue + 1}, 0, event.MaxValue, 0},
		{event.Cut{Value: 900_000}, 0, event.MaxValue, 0},
		{event.Cut{Key: 900_000}, event.MaxKeptKey, 1, 0},
		{event.Cut{Headers: 20_000}, 0, 0, event.MaxHeaders},
		{event.Cut{Headers: 500_007}, 0, 1, 1},
	} {
		r := w.records[i]
		if r.Cut != want.cut || len(r.Key) != want.key || len(r.Value) != want.value || len(r.Headers) != want.headers {
			t.Errorf("record %d: %+v, %d bytes of key, %d of value, %d headers; want %+v", i, r.Cut, len(r.Key), len(r.Value), len(r.Headers), want)
		}
	}
}

func restartResumes(t *testing.T, p ground) {
	p.produce(t, "first", 2000)
	w := newWitness()
	m := w.run(t, "a", p.cfg)
	w.await(t, "the first records are taken", func() bool { return len(w.records) == 2000 })
	m.stop()
	for id, offset := range p.committed(t) {
		if offset != 500 {
			t.Errorf("partition %d is committed up to %d, want 500", id, offset)
		}
	}
	if got := metric(t, m.reg, "pushd_assigned_partitions"); got != 0 {
		t.Errorf("%v partitions are assigned after the end", got)
	}

	p.produce(t, "second", 1000)
	w = newWitness()
	m = w.run(t, "b", p.cfg)
	w.await(t, "the second records are taken", func() bool { return len(w.records) == 1000 })
	m.stop()
	for value, times := range w.times() {
		if times != 1 || !strings.HasPrefix(value, "second") {
			t.Errorf("%s was taken %d times", value, times)
		}
	}
}

func transactionsAreObeyed(t *testing.T, p ground) {
	producer, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.Brokers...), kgo.TransactionalID(p.cfg.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	w := newWitness()
	m := w.run(t, "a", p.cfg)
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r := &kgo.Record{Topic: p.cfg.Topic, Partition: 0, Value: fmt.Appendf(nil, "in transaction %d", i)}
		if err := producer.ProduceSync(deadline(t), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := producer.EndTransaction(deadline(t), end); err != nil {
			t.Fatal(err)
		}
	}
	p.awaitEnd(t, 0, 10)
	p.produce(t, "outside", 1, 0)
	w.await(t, "the record behind the transactions is taken", func() bool { return w.times()["outside-0"] == 1 })
	m.stop()
	if len(w.records) != 4 {
		t.Errorf("%d records were taken, want 4", len(w.records))
	}
	if got := p.committed(t)[0]; got != 11 {
		t.Errorf("committed up to %d, want 11: six records and five markers", got)
	}
}

func topicsAreCreated(t *testing.T, p ground) {
	name := p.cfg.Topic + "-feedback"
	compacted := Topic{Name: name, Partitions: 3, Configs: map[string]string{"cleanup.policy": "compact"}}
	for range 2 {
		if err := EnsureTopics(deadline(t), p.cfg, compacted, Topic{Name: p.cfg.Topic, Partitions: 9}); err != nil {
			t.Fatal(err)
		}
	}
	client := &kafka.Client{Addr: kafka.TCP(p.cfg.Brokers...), Transport: &kafka.Transport{}}
	defer client.Transport.(*kafka.Transport).CloseIdleConnections()
	metadata, err := client.Metadata(deadline(t), &kafka.MetadataRequest{Topics: []string{name, p.cfg.Topic}})
	if err != nil {
		t.Fatal(err)
	}
	partitions := map[string]int{}
	for _, topic := range metadata.Topics {
		partitions[topic.Name] = len(topic.Partitions)
	}
	if partitions[name] != 3 || partitions[p.cfg.Topic] != 4 {
		t.Errorf("partitions: %v, want 3 of the new one and still 4 of the old one", partitions)
	}
	configs, err := client.DescribeConfigs(deadline(t), &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: name, ConfigNames: []string{"cleanup.policy"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := configs.Resources[0].ConfigEntries[0].ConfigValue; got != "compact" {
		t.Errorf("cleanup.policy is %q", got)
	}
}

// outage restarts the broker under a consumer and a publisher. Nothing is lost, and neither gives up.
func outage(t *testing.T, b testBroker) {
	p := newGround(t, b)
	w := newWitness()
	m := w.run(t, "a", p.cfg)
	pub, _, stop := p.publisher(t, w)
	publish := func(prefix string, n int) <-chan struct{} {
		acknowledged := make(chan struct{})
		messages := make([]Message, n)
		for i := range messages {
			messages[i] = Message{Topic: p.cfg.Topic, Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "%s-%d", prefix, i)}
		}
		pub.Publish(messages, func() { close(acknowledged) })
		return acknowledged
	}
	await(t, publish("before", 100))
	w.await(t, "the first records are taken", func() bool { return len(w.times()) == 100 })

	b.restart(t)
	await(t, publish("after", 100))
	w.await(t, "the other records are taken", func() bool { return len(w.times()) == 200 })
	m.stop()
	stop()
	sum := int64(0)
	for _, offset := range p.committed(t) {
		sum += offset
	}
	if sum < 200 { // a message whose acknowledgement was lost is there twice
		t.Errorf("the committed offsets sum up to %d, want 200 at least", sum)
	}
	for _, v := range w.violations() {
		t.Error(v)
	}
}
