package queue

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestSharingOutARound(t *testing.T) {
	t.Parallel()
	var all []int32
	for i := range int32(2*mostTogether + 1) {
		all = append(all, i)
	}
	one := func(leader int32, partitions ...int32) map[int32]int32 {
		leaders := map[int32]int32{}
		for _, p := range partitions {
			leaders[p] = leader
		}
		return leaders
	}
	for name, test := range map[string]struct {
		round   []int32
		leaders map[int32]int32
		want    [][]int32
	}{
		"one leader":       {[]int32{3, 1, 2}, one(7, 1, 2, 3), [][]int32{{1, 2, 3}}},
		"two leaders":      {[]int32{0, 1, 2, 3}, map[int32]int32{0: 1, 1: 2, 2: 1, 3: 2}, [][]int32{{0, 2}, {1, 3}}},
		"some have none":   {[]int32{0, 1, 2, 3}, one(0, 0, 3), [][]int32{{0, 3}, {1}, {2}}},
		"nothing is known": {[]int32{1, 0}, nil, [][]int32{{0}, {1}}},
		"more than go together": {all, one(1, all...),
			[][]int32{all[:mostTogether], all[mostTogether : 2*mostTogether], all[2*mostTogether:]}},
	} {
		t.Run(name, func(t *testing.T) {
			var round []*ask
			for _, p := range test.round {
				round = append(round, &ask{partition: p})
			}
			var got [][]int32
			for _, asks := range share(round, test.leaders) {
				var partitions []int32
				for _, a := range asks {
					partitions = append(partitions, a.partition)
				}
				got = append(got, partitions)
			}
			if !slices.EqualFunc(got, test.want, slices.Equal[[]int32]) {
				t.Errorf("requests about %v, want %v", got, test.want)
			}
		})
	}
}

func TestWhoAsksIsTornAwayWhenItsGenerationEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRounds(nil, "topic", FetchConfig{Gather: time.Hour})
		ctx, end := context.WithCancel(t.Context())
		var got answer
		done := make(chan struct{})
		go func() {
			got = r.together(ctx, &ask{answer: make(chan answer, 1)})
			close(done)
		}()
		ran := make(chan struct{})
		go func() { r.run(ctx); close(ran) }()
		synctest.Wait()
		end()
		<-done
		<-ran
		if got.err == nil {
			t.Error("there is an answer, and nobody was asked")
		}
	})
}

// TestWhatABrokerHasForAPartitionByItselfIsRead has a broker that keeps a batch back that is larger than what was asked for,
// as of several partitions each does but for the first that has records (KIP-74).
func TestWhatABrokerHasForAPartitionByItselfIsRead(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "pushd.checkin"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	const records = 40
	cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked := request.(*kmsg.FetchRequest).Topics[0]
		if len(asked.Partitions) == 1 {
			return nil, nil, false // as ever
		}
		response := request.ResponseKind().(*kmsg.FetchResponse)
		topic := kmsg.FetchResponseTopic{Topic: asked.Topic}
		for _, p := range asked.Partitions {
			has := kmsg.NewFetchResponseTopicPartition()
			has.Partition, has.HighWatermark, has.LastStableOffset = p.Partition, records/4, records/4
			topic.Partitions = append(topic.Partitions, has)
		}
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	p := newGround(t, testBroker{addr: cluster.ListenAddrs()[0]})
	p.cfg.Topic = "pushd.checkin"
	p.produce(t, "kept back", records)
	w := newWitness()
	w.run(t, "a", p.cfg)
	w.await(t, "all records are taken", func() bool { return len(w.records) == records })
}

// TestAPartitionThatCannotBeReadStarvesNoOther has a batch with a wrong checksum at the beginning of partition 0.
func TestAPartitionThatCannotBeReadStarvesNoOther(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "pushd.checkin"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	p := newGround(t, testBroker{addr: cluster.ListenAddrs()[0]})
	p.cfg.Topic = "pushd.checkin"
	const records = 30
	p.produce(t, "fine", records, 1, 2, 3)
	p.cfg.Fetch.Gather = time.Second // so that all that ask together are asked about together
	var asking, beside atomic.Int64  // requests about partition 0, and those about others too
	again := make(chan struct{})     // closed at the fourth of them
	cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked := request.(*kmsg.FetchRequest).Topics[0]
		if !slices.ContainsFunc(asked.Partitions, func(p kmsg.FetchRequestTopicPartition) bool { return p.Partition == 0 }) {
			return nil, nil, false // as ever
		}
		if asking.Add(1) == 4 {
			close(again)
		}
		if len(asked.Partitions) > 1 {
			beside.Add(1)
		}
		response := request.ResponseKind().(*kmsg.FetchResponse)
		topic := kmsg.FetchResponseTopic{Topic: asked.Topic}
		for _, p := range asked.Partitions {
			has := kmsg.NewFetchResponseTopicPartition()
			has.Partition, has.HighWatermark, has.LastStableOffset = p.Partition, 1, 1
			if p.Partition == 0 {
				batch := kmsg.RecordBatch{Length: 49, Magic: 2, CRC: 1, NumRecords: 1}
				has.RecordBatches = batch.AppendTo(nil)
			}
			topic.Partitions = append(topic.Partitions, has)
		}
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	w := newWitness()
	w.run(t, "a", p.cfg)
	w.await(t, "the other partitions are read", func() bool { return len(w.records) == records })
	await(t, again)
	if !w.logged("checksum mismatch") || beside.Load() != 1 {
		t.Errorf("it was asked about %d times beside others, want once; log: %q", beside.Load(), w.logs)
	}
}
