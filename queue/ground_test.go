package queue

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// testBroker is a broker that the suite runs against. Other clients' work, such as that of publishers and of Kafka's
// command line, is done with franz-go, so that kafka-go is not its own witness.
type testBroker struct {
	addr    string
	restart func(t *testing.T) // crashes and starts it again; nil where that cannot be done
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
	until := deadline(t)
	response, err := request.RequestWith(until, p.client)
	for errors.Is(err, kerr.CoordinatorNotAvailable) && until.Err() == nil { // the broker makes its topic of offsets when the first asks; the client pauses
		response, err = request.RequestWith(until, p.client)
	}
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
	p.commitWith(t, partition, offset, "")
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

// awaitEnd waits until a partition's log ends at an offset: a transaction is over before its markers are written.
func (p ground) awaitEnd(t *testing.T, partition int32, offset int64) {
	t.Helper()
	for ctx := deadline(t); ; {
		s, err := OpenSnapshot(ctx, p.cfg, p.cfg.Topic)
		if err != nil {
			t.Fatalf("partition %d does not end at %d: %v", partition, offset, err)
		}
		_, end := s.Holds(partition)
		s.Close()
		if end >= offset {
			return
		}
	}
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
