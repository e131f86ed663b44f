package queue

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// counter is an Owner that settles at once, and ends the benchmark when it has seen enough.
type counter struct {
	window *Window
	seen   *atomic.Int64
	most   *atomic.Uint64 // of the heap in use, in bytes, the broker's included
	enough int64
	end    context.CancelFunc
	done   atomic.Pointer[Progress]
}

func (c *counter) Take(_ context.Context, batch []Record) error {
	for _, r := range batch {
		c.window.Take(r.Offset)
		c.window.Done(r.Offset)
	}
	done := c.window.Progress()
	c.done.Store(&done)
	if c.seen.Add(int64(len(batch))) >= c.enough {
		c.end()
	}
	for now, most := heapInUse(), c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	return nil
}

// heapInUse is what objects take that are alive or not yet collected.
func heapInUse() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func (c *counter) Release(context.Context) {}

func (c *counter) Progress() *Progress { return c.done.Load() }

// BenchmarkConsume reads records of 300 bytes from four partitions of a broker in the same process that makes them up, in
// batches of many records and of one.
func BenchmarkConsume(b *testing.B) {
	b.Run("batches=1MB", func(b *testing.B) { consume(b, 0) })
	b.Run("batches=1", func(b *testing.B) { consume(b, 1) })
}

func consume(b *testing.B, batch int) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "pushd.checkin"),
		kfake.SyntheticFetch(kfake.SyntheticBatch{RecordBytes: 300, Records: batch}))
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	cfg := DefaultConfig()
	cfg.Brokers = cluster.ListenAddrs()
	ctx, end := context.WithCancel(context.Background())
	var seen atomic.Int64
	var most atomic.Uint64
	runtime.GC() // or the case before would be counted too
	c, err := NewConsumer(cfg, func(_ context.Context, a Assignment) (Owner, error) {
		c := &counter{window: NewWindow(a.From), seen: &seen, most: &most, enough: int64(b.N), end: end}
		c.done.Store(&a.From)
		return c, nil
	}, newRegistry(), quiet())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if err := c.Run(ctx); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(most.Load())/(1<<20), "MB-heap")
	b.ReportMetric(float64(seen.Load())/b.Elapsed().Seconds(), "records/s")
}
