package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"pushd/queue/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testBroker is a broker that the suite runs against. Other clients' work, such as that of publishers and of Kafka's
// command line, is done with franz-go, so that kafka-go is not its own witness.
type testBroker struct {
	addr    string
	restart func(t *testing.T) // crashes and starts it again; nil where that cannot be done
}

// suite is run against the embedded broker and against Apache Kafka.
func suite(t *testing.T, b testBroker) {
	for name, test := range map[string]func(*testing.T, ground){
		"records are handed over in order and as they were published":   recordsAreHandedOver,
		"a restart goes on exactly where the last run has committed":    restartResumes,
		"two members share the partitions and give them up":             membersShare,
		"a late commit of an ended generation is refused":               lateCommitIsRefused,
		"new partitions are noticed":                                    newPartitionsAreNoticed,
		"an offset beyond the end goes on as configured":                offsetBeyondTheEnd,
		"an offset before the beginning goes on as configured":          offsetBeforeTheBeginning,
		"retention that overtakes a paused partition is noticed":        retentionOvertakes,
		"markers of transactions are not handed over":                   transactions,
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
		"topics are created where they are missing and else left alone": topicsAreCreated,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newGround(t, b))
		})
	}
}

// ground is a test's own topic and group on a broker.
type ground struct {
	cfg    Config
	client *kgo.Client
}

var places atomic.Int64

func newGround(t *testing.T, b testBroker) ground {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Brokers = []string{b.addr}
	cfg.Topic = fmt.Sprintf("checkin-%d-%d", time.Now().UnixNano(), places.Add(1))
	cfg.Group = "group-of-" + cfg.Topic
	cfg.Fetch.MaxWait = 100 * time.Millisecond
	cfg.Member.Session = 6 * time.Second // the brokers' minimum
	cfg.Member.Heartbeat = 100 * time.Millisecond
	cfg.Member.JoinBackoff = 50 * time.Millisecond
	cfg.Member.PartitionWatch = 200 * time.Millisecond
	cfg.CommitInterval = 50 * time.Millisecond
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.ProducerLinger(0), kgo.MetadataMinAge(50*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p := ground{cfg, client}
	p.create(t, cfg.Topic, 4)
	return p
}

func (p ground) create(t *testing.T, topic string, partitions int) {
	t.Helper()
	if err := EnsureTopics(deadline(t), p.cfg, Topic{Name: topic, Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// produce publishes values named prefix-0 and on, to the partitions in turn.
func (p ground) produce(t *testing.T, prefix string, n int, partitions ...int32) {
	t.Helper()
	if len(partitions) == 0 {
		partitions = []int32{0, 1, 2, 3}
	}
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: p.cfg.Topic, Partition: partitions[i%len(partitions)], Value: fmt.Appendf(nil, "%s-%d", prefix, i)}
	}
	if err := p.client.ProduceSync(deadline(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// committed returns the committed offset of each partition that has one.
func (p ground) committed(t *testing.T) map[int32]int64 {
	t.Helper()
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Group = p.cfg.Group
	topic := kmsg.NewOffsetFetchRequestTopic()
	topic.Topic = p.cfg.Topic
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = p.cfg.Group
	groupTopic := kmsg.NewOffsetFetchRequestGroupTopic()
	groupTopic.Topic = p.cfg.Topic
	for id := range int32(8) {
		topic.Partitions = append(topic.Partitions, id)
		groupTopic.Partitions = append(groupTopic.Partitions, id)
	}
	request.Topics = append(request.Topics, topic)
	group.Topics = append(group.Topics, groupTopic)
	request.Groups = append(request.Groups, group)
	response, err := request.RequestWith(deadline(t), p.client)
	if err != nil {
		t.Fatal(err)
	}
	offsets := map[int32]int64{}
	for _, topic := range response.Topics {
		for _, partition := range topic.Partitions {
			if partition.Offset >= 0 {
				offsets[partition.Partition] = partition.Offset
			}
		}
	}
	for _, group := range response.Groups {
		for _, topic := range group.Topics {
			for _, partition := range topic.Partitions {
				if partition.Offset >= 0 {
					offsets[partition.Partition] = partition.Offset
				}
			}
		}
	}
	return offsets
}

// commit commits as Kafka's command line does, outside of any generation.
func (p ground) commit(t *testing.T, partition int32, offset int64) {
	t.Helper()
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group = p.cfg.Group
	request.Generation = -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = p.cfg.Topic
	id, err := p.topicID(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	topic.TopicID = id
	commit := kmsg.NewOffsetCommitRequestTopicPartition()
	commit.Partition, commit.Offset = partition, offset
	topic.Partitions = append(topic.Partitions, commit)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(deadline(t), p.client)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

func (p ground) topicID(ctx context.Context) (id [16]byte, err error) {
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(p.cfg.Topic)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, p.client)
	if err != nil {
		return id, err
	}
	return response.Topics[0].TopicID, nil
}

// deleteRecords does what retention does.
func (p ground) deleteRecords(t *testing.T, partition int32, before int64) {
	t.Helper()
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.TimeoutMillis = 10_000
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = p.cfg.Topic
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = partition, before
	topic.Partitions = append(topic.Partitions, part)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(deadline(t), p.client)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
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

// membersShare has two members come and go while records are published, and watches what is committed.
func membersShare(t *testing.T, p ground) {
	w := newWitness()
	a := w.run(t, "a", p.cfg)
	w.await(t, "a owns all", func() bool { return len(w.current("a")) == 4 })

	watching, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		last := map[int32]int64{}
		for {
			for id, offset := range p.committed(t) {
				if offset < last[id] {
					t.Errorf("partition %d: the committed offset went from %d back to %d", id, last[id], offset)
				}
				last[id] = offset
			}
			select {
			case <-watching:
				return
			default:
			}
		}
	}()
	p.produce(t, "alone", 1000)

	b := w.run(t, "b", p.cfg)
	p.produce(t, "joining", 1000)
	w.await(t, "each owns two", func() bool { return len(w.current("a")) == 2 && len(w.current("b")) == 2 })
	p.produce(t, "both", 1000)

	a.stop()
	p.produce(t, "leaving", 1000)
	w.await(t, "b owns all", func() bool { return len(w.current("b")) == 4 })
	p.produce(t, "alone again", 1000)
	w.await(t, "all records are taken", func() bool { return len(w.times()) == 5000 })
	b.stop()
	close(watching)
	<-watched

	if len(w.records) != 5000 {
		t.Errorf("%d records were taken, want each of 5000 once: all owners could settle before they released", len(w.records))
	}
	for _, v := range w.violations() {
		t.Error(v)
	}
	for id, offset := range p.committed(t) {
		if offset != 1250 {
			t.Errorf("partition %d is committed up to %d, want 1250", id, offset)
		}
	}
	if got := metric(t, a.reg, "pushd_rebalances_total"); got < 2 {
		t.Errorf("a has seen %v generations end, want one when b came and one when it left", got)
	}
}

// lateCommitIsRefused ends a generation behind the back of its owner, as when a process was stopped for longer than its
// session, and has it commit then.
func lateCommitIsRefused(t *testing.T, p ground) {
	p.produce(t, "x", 400, 0)
	w := newWitness()
	c, err := NewConsumer(p.cfg, w.assign("zombie"), newRegistry(), w.logger())
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.close()
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: p.cfg.Group, Brokers: p.cfg.Brokers, Topics: []string{p.cfg.Topic},
		HeartbeatInterval: 100 * time.Millisecond, SessionTimeout: 6 * time.Second, JoinGroupBackoff: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	var old *kafka.Generation
	for old == nil {
		if old, err = group.Next(deadline(t)); err != nil && deadline(t).Err() != nil {
			t.Fatal(err)
		}
	}
	owner := &windowOwner{w: w, member: "zombie", window: NewWindow(0)}
	zombie := newGeneration(c, old)
	zombie.partitions = []*partition{{c: c, id: 0, owner: owner, committed: -1}}
	owner.window.Take(99)
	zombie.commit()
	if got := p.committed(t)[0]; got != 99 {
		t.Fatalf("committed up to %d, want 99: a living generation can commit", got)
	}
	group.Close() // it leaves; the generation's number is worth nothing any more

	m := w.run(t, "b", p.cfg)
	w.await(t, "b has taken what the zombie had not committed", func() bool { return len(w.records) == 301 })
	m.stop()
	if got := p.committed(t)[0]; got != 400 {
		t.Fatalf("committed up to %d, want 400", got)
	}
	owner.window.Take(149)
	zombie.commit()
	if got := p.committed(t)[0]; got != 400 {
		t.Errorf("a late commit took the committed offset from 400 to %d", got)
	}

	// The same request again, but over a connection that lives: the coordinator itself refuses it.
	client := &kafka.Client{Addr: kafka.TCP(p.cfg.Brokers...), Transport: c.conn.transport}
	response, err := client.OffsetCommit(deadline(t), &kafka.OffsetCommitRequest{
		GroupID: p.cfg.Group, GenerationID: int(old.ID), MemberID: old.MemberID,
		Topics: map[string][]kafka.OffsetCommit{p.cfg.Topic: {{Partition: 0, Offset: 149}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Topics[p.cfg.Topic][0].Error; troubleOf(err) != fenced {
		t.Errorf("the coordinator answers a late commit with %v", err)
	}
	if got := p.committed(t)[0]; got != 400 {
		t.Errorf("a late commit took the committed offset from 400 to %d", got)
	}
}

func newPartitionsAreNoticed(t *testing.T, p ground) {
	w := newWitness()
	w.run(t, "a", p.cfg)
	w.await(t, "four partitions are owned", func() bool { return len(w.current("a")) == 4 })
	request := kmsg.NewPtrCreatePartitionsRequest()
	request.TimeoutMillis = 10_000
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = p.cfg.Topic, 6
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(deadline(t), p.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.await(t, "six partitions are owned", func() bool { return len(w.current("a")) == 6 })
	for _, v := range w.violations() {
		t.Error(v)
	}
}

// resets runs a consumer for each policy against a committed offset that does not exist, and publishes afterwards.
func resets(t *testing.T, p ground, committed int64, want map[Reset]string) {
	for policy, first := range want {
		cfg := p.cfg
		cfg.Group += "-" + string(policy)
		cfg.OutOfRange = policy
		ground{cfg, p.client}.commit(t, 0, committed)
		w := newWitness()
		m := w.run(t, "a", cfg)
		w.await(t, "it is noticed", func() bool { return w.logged("offset is out of range") })
		if metric(t, m.reg, "pushd_offset_out_of_range_total") == 0 {
			t.Errorf("%s: it is not counted", policy)
		}
		if policy == Stop {
			w.await(t, "the others are owned", func() bool { return len(w.current("a")) == 3 && w.logged("partitions assigned") })
			if ready, why := m.Ready(); ready || !strings.Contains(why, "[0]") {
				t.Errorf("stop: ready %v, %q", ready, why)
			}
			m.stop()
			if got := (ground{cfg, p.client}).committed(t)[0]; got != committed {
				t.Errorf("stop: the committed offset has become %d", got)
			}
			continue
		}
		w.await(t, "four partitions are owned", func() bool { return len(w.current("a")) == 4 })
		p.produce(t, "after "+string(policy), 1, 0)
		w.await(t, "a record is taken", func() bool { return len(w.records) > 0 })
		m.stop()
		if got := string(w.records[0].Value); got != first {
			t.Errorf("%s: goes on at %s, want %s", policy, got, first)
		}
		for _, o := range w.owners {
			if got := (ground{cfg, p.client}).committed(t)[o.Partition]; got != o.window.Next() {
				t.Errorf("%s: partition %d is committed up to %d, want %d", policy, o.Partition, got, o.window.Next())
			}
		}
	}
}

func offsetBeyondTheEnd(t *testing.T, p ground) {
	p.produce(t, "old", 10, 0)
	resets(t, p, 1000, map[Reset]string{Earliest: "old-0", Latest: "after latest-0", Stop: ""})
}

func offsetBeforeTheBeginning(t *testing.T, p ground) {
	p.produce(t, "old", 10, 0)
	p.deleteRecords(t, 0, 5)
	resets(t, p, 2, map[Reset]string{Earliest: "old-5", Latest: "after latest-0", Stop: ""})
}

func retentionOvertakes(t *testing.T, p ground) {
	p.cfg.Fetch.MaxBytes = 4096
	const n, deleted = 6000, 5900
	for range n / 500 { // in many batches, of which a fetch has few
		p.produce(t, "x", 500, 0)
	}
	w := newWitness()
	w.paused[0] = true
	m := w.run(t, "a", p.cfg)
	w.await(t, "the partition is owned", func() bool { return len(w.current("a")) == 4 })
	p.deleteRecords(t, 0, deleted)
	w.update(func() { w.paused[0] = false })
	w.await(t, "the last record is taken", func() bool {
		return len(w.records) > 0 && w.records[len(w.records)-1].Offset == n-1
	})
	m.stop()
	if got := metric(t, m.reg, "pushd_offset_out_of_range_total"); got != 1 {
		t.Errorf("out of range %v times, want once", got)
	}
	if read, skipped := len(w.records), metric(t, m.reg, "pushd_events_skipped_total"); float64(read)+skipped != n {
		t.Errorf("%d records read and %v counted as skipped; there were %d", read, skipped, n)
	}
	if got := p.committed(t)[0]; got != n {
		t.Errorf("committed up to %d, want %d", got, n)
	}
}

func transactions(t *testing.T, p ground) {
	producer, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.Brokers...), kgo.TransactionalID(p.cfg.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	w := newWitness()
	m := w.run(t, "a", p.cfg)
	for i := range 3 {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r := &kgo.Record{Topic: p.cfg.Topic, Partition: 0, Value: fmt.Appendf(nil, "in transaction %d", i)}
		if err := producer.ProduceSync(deadline(t), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := producer.EndTransaction(deadline(t), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	p.produce(t, "outside", 1, 0)
	w.await(t, "the record behind the transactions is taken", func() bool { return w.times()["outside-0"] == 1 })
	m.stop()
	if len(w.records) != 4 {
		t.Errorf("%d records were taken, want 4", len(w.records))
	}
	if got := p.committed(t)[0]; got != 7 {
		t.Errorf("committed up to %d, want 7: four records and three markers", got)
	}
}

func latestIsRemembered(t *testing.T, p ground) {
	p.cfg.Start = Latest
	p.produce(t, "old", 40)
	w := newWitness()
	m := w.run(t, "a", p.cfg)
	w.await(t, "the partitions are owned", func() bool { return len(w.current("a")) == 4 })
	m.stop()
	p.produce(t, "meanwhile", 40)
	m = w.run(t, "b", p.cfg)
	w.await(t, "records are taken", func() bool { return len(w.records) == 40 })
	m.stop()
	if w.times()["meanwhile-0"] != 1 || w.times()["old-0"] != 0 {
		t.Errorf("taken: %v", w.times())
	}
}

func topicIsAwaited(t *testing.T, p ground) {
	p.cfg.Topic += "-missing"
	w := newWitness()
	m := w.run(t, "a", p.cfg)
	w.await(t, "it is logged", func() bool { return w.logged("cannot find the topic") })
	if ready, why := m.Ready(); ready || !strings.Contains(why, p.cfg.Topic) || !strings.Contains(why, unknownTopic.mend()) {
		t.Errorf("ready %v, %q", ready, why)
	}
	p.create(t, p.cfg.Topic, 4)
	w.await(t, "its partitions are owned", func() bool { return len(w.current("a")) == 4 })
	if got := metric(t, m.reg, "pushd_rebalances_total"); got != 0 {
		t.Errorf("%v generations ended while the topic was missing", got)
	}
}

func topicIsReplaced(t *testing.T, p ground) {
	p.produce(t, "old", 40)
	w := newWitness()
	m := w.run(t, "a", p.cfg)
	w.await(t, "the old records are taken", func() bool { return len(w.records) == 40 })

	request := kmsg.NewPtrDeleteTopicsRequest()
	request.TimeoutMillis = 10_000
	request.TopicNames = []string{p.cfg.Topic}
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = kmsg.StringPtr(p.cfg.Topic)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(deadline(t), p.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.await(t, "the partitions are given up", func() bool { return len(w.current("a")) == 0 })
	p.create(t, p.cfg.Topic, 4)
	p.client.PurgeTopicsFromClient(p.cfg.Topic)
	p.produce(t, "new", 400) // beyond where the old ones ended
	w.await(t, "all new records are taken", func() bool { return len(w.times()) == 440 })
	m.stop()
	for id, offset := range p.committed(t) {
		if offset != 100 {
			t.Errorf("partition %d is committed up to %d, want 100", id, offset)
		}
	}
}

func ownersFail(t *testing.T, p ground) {
	w := newWitness()
	w.refuse = errors.New("the ledger cannot be read")
	m := w.run(t, "a", p.cfg)
	w.await(t, "the failure is logged", func() bool { return w.logged("the ledger cannot be read") })
	w.await(t, "the partitions are owned after all", func() bool { return len(w.current("a")) == 4 })
	w.update(func() { w.choke = errors.New("the shard is broken") })
	p.produce(t, "x", 100)
	w.await(t, "the failure is logged", func() bool { return w.logged("the shard is broken") })
	w.await(t, "all records are taken", func() bool { return len(w.times()) == 100 })
	m.stop()
	for id, offset := range p.committed(t) {
		if offset != 25 {
			t.Errorf("partition %d is committed up to %d, want 25", id, offset)
		}
	}
	for _, v := range w.violations() {
		t.Error(v)
	}
}

func shutdownDrains(t *testing.T, p ground) {
	p.produce(t, "x", 100, 0)
	w := newWitness()
	w.holding[0] = true
	m := w.run(t, "a", p.cfg)
	w.await(t, "the records are under way", func() bool { return len(w.records) == 100 })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.stop()
	}()
	w.await(t, "the others are released", func() bool { return len(w.current("a")) == 1 })
	select {
	case <-ended:
		t.Fatal("Run has returned while records were under way")
	default:
	}
	if got := p.committed(t)[0]; got != 0 {
		t.Errorf("committed up to %d while nothing was settled", got)
	}
	w.update(func() { w.current("a")[0].settle() })
	<-ended
	if got := p.committed(t)[0]; got != 100 {
		t.Errorf("committed up to %d, want 100", got)
	}
}

func shutdownIsBounded(t *testing.T, p ground) {
	p.cfg.ShutdownDrain = 100 * time.Millisecond
	p.produce(t, "x", 100, 0)
	w := newWitness()
	w.holding[0] = true
	m := w.run(t, "a", p.cfg)
	w.await(t, "the records are under way", func() bool { return len(w.records) == 100 })
	w.update(func() {
		for _, o := range w.current("a") {
			if o.Partition == 0 {
				o.window.Done(0)
				o.open = o.open[1:]
			}
		}
	})
	m.stop()
	if got := p.committed(t)[0]; got != 1 {
		t.Errorf("committed up to %d, want 1: only the first was settled", got)
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
