package queue

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// BenchmarkPublish publishes messages of 300 bytes to four partitions of a broker in the same process; all wait from the
// beginning, as after an outage.
func BenchmarkPublish(b *testing.B) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "pushd.feedback"))
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	cfg := DefaultConfig()
	cfg.Brokers = cluster.ListenAddrs()
	p, err := NewPublisher(cfg, newRegistry(), quiet())
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 300)
	var acknowledged sync.WaitGroup
	acknowledged.Add(b.N)
	for i := range b.N {
		p.Publish([]Message{{Topic: "pushd.feedback", Key: fmt.Appendf(nil, "tenant/%d", i), Value: value}}, acknowledged.Done)
	}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { ended <- p.Run(ctx) }()
	acknowledged.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	end()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
