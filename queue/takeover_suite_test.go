package queue

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// takeoverSkipsWhatIsDone has a member end with every third offset open. The next one is given those and no others.
func takeoverSkipsWhatIsDone(t *testing.T, p ground) {
	const n = 3000
	p.cfg.ShutdownDrain = 0
	p.produce(t, "x", n, 0)
	w := newWitness()
	w.holding[0] = true
	a := w.run(t, "a", p.cfg)
	w.await(t, "all is taken", func() bool { return len(w.records) == n })
	w.update(func() {
		for _, o := range w.current("a") {
			o.settleWhere(func(offset int64) bool { return offset%3 != 1 })
		}
	})
	a.stop()
	if got := p.committed(t)[0]; got != 1 {
		t.Fatalf("committed up to %d, want 1: the second record is open", got)
	}

	w = newWitness()
	b := w.run(t, "b", p.cfg)
	w.await(t, "what was open is taken", func() bool { return len(w.records) >= n/3 })
	p.produce(t, "new", 1, 0)
	w.await(t, "a new record is taken", func() bool { return w.times()["new-0"] == 1 })
	b.stop()
	if len(w.records) != n/3+1 {
		t.Errorf("%d records were taken, want %d that were open and one new", len(w.records), n/3)
	}
	for i := range n {
		want := 0
		if i%3 == 1 {
			want = 1
		}
		if got := w.times()[fmt.Sprintf("x-%d", i)]; got != want {
			t.Errorf("record %d was taken %d times, want %d", i, got, want)
		}
	}
	if got := p.committed(t)[0]; got != n+1 {
		t.Errorf("committed up to %d, want %d", got, n+1)
	}
	if got := labelled(t, b.reg, "pushd_commit_metadata_total", "restored"); got != 1 {
		t.Errorf("metadata was restored %v times, want once", got)
	}
}

// takeoverDistrusts puts every kind of wrong metadata beside committed offsets. Each time all is read again.
func takeoverDistrusts(t *testing.T, p ground) {
	p.produce(t, "x", 40)
	id, err := p.topicID(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	of := lineage{topic: id}
	all := NewWindow(At(0))
	for range 10 {
		all.Take(all.Next())
	}
	for offset := range int64(9) {
		all.Done(offset + 1)
	}
	done := all.Progress()
	whole := encodeMetadata(&done, of)
	other, later := of, of
	other.topic[0]++
	later.epoch += 1000
	moved := done
	moved.Watermark++
	for partition, metadata := range []string{
		encodeMetadata(&done, other), encodeMetadata(&done, later), encodeMetadata(&moved, of), whole[:len(whole)-1] + "!",
	} {
		p.commitWith(t, int32(partition), 0, metadata)
	}
	w := newWitness()
	m := w.run(t, "a", p.cfg)
	w.await(t, "all is taken", func() bool { return len(w.times()) == 40 })
	m.stop()
	for found, want := range map[string]float64{"foreign": 3, "undecodable": 1, "restored": 0} {
		if got := labelled(t, m.reg, "pushd_commit_metadata_total", found); got != want {
			t.Errorf("%v are %s, want %v", got, found, want)
		}
	}
	if !w.logged("what is done beyond the committed offset is not known") {
		t.Error("it is not logged")
	}
}

// commitWith commits as a program that has the group to itself.
func (p ground) commitWith(t *testing.T, partition int32, offset int64, metadata string) {
	t.Helper()
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.Generation = p.cfg.Group, -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = p.cfg.Topic
	id, err := p.topicID(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	topic.TopicID = id
	commit := kmsg.NewOffsetCommitRequestTopicPartition()
	commit.Partition, commit.Offset, commit.Metadata = partition, offset, &metadata
	topic.Partitions = append(topic.Partitions, commit)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(deadline(t), p.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// labelled is one of the values of a counter.
func labelled(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestATrackKnowsUnderWhichLineageAWindowWasRead(t *testing.T) {
	t.Parallel()
	first, second := lineage{TopicID{1}, 4}, lineage{TopicID{1}, 5}
	var k track
	k.heard(first)
	if got := k.at(100); got != (lineage{}) {
		t.Errorf("%v before anything is fetched", got)
	}
	k.fetching(100)
	if got := k.at(100); got != first {
		t.Errorf("%v after the first fetch", got)
	}
	k.heard(second) // a fetch from 180 on is under way
	if got := k.at(150); got != first {
		t.Errorf("%v while the window may have records of before", got)
	}
	k.fetching(200)
	if got := k.at(199); got != first {
		t.Errorf("%v at 199: it was read before", got)
	}
	if got := k.at(200); got != second {
		t.Errorf("%v at 200", got)
	}
}
