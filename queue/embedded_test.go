package queue

import (
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"pushd/queue/embedded"
)

func TestAgainstTheEmbeddedBroker(t *testing.T) {
	t.Parallel()
	broker, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0", Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	suite(t, testBroker{addr: broker.Addr()})
}

// TestAgainstSeveralBrokers is the suite with the partitions of a topic on three brokers.
func TestAgainstSeveralBrokers(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.DefaultNumPartitions(4))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	suite(t, testBroker{addr: cluster.ListenAddrs()[0]})
}

// TestLeadersMove publishes in order, and reads, while the partitions change their brokers.
func TestLeadersMove(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	p := newGround(t, testBroker{addr: cluster.ListenAddrs()[0]})
	pub, _, _ := p.publisher(t, newWitness())
	w := newWitness()
	w.run(t, "a", p.cfg)
	const moves, keys = 3, 40
	for move := range moves {
		acknowledged := make(chan struct{})
		var messages []Message
		for key := range keys {
			messages = append(messages, Message{Topic: p.cfg.Topic, Key: fmt.Append(nil, key), Value: fmt.Append(nil, move)})
		}
		pub.Publish(messages, func() { close(acknowledged) })
		await(t, acknowledged)
		for partition := range int32(4) {
			if err := cluster.MoveTopicPartition(p.cfg.Topic, partition, int32(move+int(partition))%3); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.await(t, "all records are taken", func() bool { return len(w.records) >= moves*keys })
	w.mu.Lock()
	defer w.mu.Unlock()
	next := map[string]int{}
	for _, r := range w.records {
		if got, want := string(r.Value), fmt.Sprint(next[string(r.Key)]); got != want {
			t.Fatalf("key %s: %s comes where %s should", r.Key, got, want)
		}
		next[string(r.Key)]++
	}
}

func TestTheEmbeddedBrokerRestarts(t *testing.T) {
	t.Parallel()
	cfg := embedded.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Partitions: 4}
	broker, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = broker.Addr()
	stop := sync.OnceFunc(func() { broker.Close() })
	t.Cleanup(func() { stop() })
	outage(t, testBroker{addr: broker.Addr(), restart: func(t *testing.T) {
		stop()
		again, err := embedded.Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		stop = sync.OnceFunc(again.Close)
	}})
}
