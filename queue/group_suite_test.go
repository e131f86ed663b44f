package queue

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

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
	owner := newWindowOwner(w, "zombie", Assignment{From: At(0)})
	zombie := newGeneration(c, old)
	zombie.partitions = []*partition{{c: c, id: 0, owner: owner, committed: -1}}
	owner.window.Take(99)
	owner.moved()
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
	owner.moved()
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
	if w.logged("cannot fetch partition") {
		t.Error("an owner's failure is told as one of the fetch")
	}
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
				o.settleWhere(func(offset int64) bool { return offset == 0 })
			}
		}
	})
	m.stop()
	if got := p.committed(t)[0]; got != 1 {
		t.Errorf("committed up to %d, want 1: only the first was settled", got)
	}
}
