package dispatcher

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

// agreeable accepts every push, in another goroutine than it was sent from, as many at a time as have come meanwhile.
type agreeable struct {
	mu      sync.Mutex // guards results and done
	results []providers.Result
	done    func([]providers.Result)
	bell    chan struct{} // capacity 1; closed by Close
}

func (a *agreeable) Send(pushes []providers.Push, done func([]providers.Result)) {
	a.mu.Lock()
	for i := range pushes {
		a.results = append(a.results, providers.Result{Ref: pushes[i].Ref, Outcome: providers.Accepted, Status: 200})
	}
	a.done = done
	a.mu.Unlock()
	ring(a.bell)
}

func (a *agreeable) run() {
	var spare []providers.Result
	for range a.bell {
		a.mu.Lock()
		results, done := a.results, a.done
		a.results = spare[:0]
		a.mu.Unlock()
		if len(results) > 0 {
			done(results)
		}
		clear(results)
		spare = results
	}
}

func (a *agreeable) Close() { close(a.bell) }

// BenchmarkWake is what a wake costs between Kafka and the sender, in all goroutines: read, merged, given its turn, answered,
// journaled and its offset done. cpu-ns/op is the process's CPU time, which tells more than the clock where others use the machine.
func BenchmarkWake(b *testing.B) {
	for _, tenants := range []int{1, 100} {
		b.Run(fmt.Sprintf("tenants=%d", tenants), func(b *testing.B) { benchmarkWake(b, tenants) })
	}
}

func benchmarkWake(b *testing.B, tenants int) {
	const partitions, devices, batch = 4, 400_000, 100
	cfg := localConfig()
	cfg.Merge.Interval = time.Nanosecond // a device that comes again is woken again
	ledger, err := store.Open(store.Config{
		Dir: "ledger", FS: vfs.NewMem(), DedupeWindow: cfg.Dedupe.Window, DedupeMaxEntries: cfg.Dedupe.MaxEntries,
		MergeInterval: time.Hour, Tombstones: 720 * time.Hour, MemTableMB: 16, CacheMB: 1,
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer ledger.Close()
	engine := New(cfg, Deps{
		Ledger: ledger, Publisher: &kafka{}, Topic: "pushd.checkin", Topics: Topics{Feedback: "pushd.feedback", Dead: "pushd.dead"},
		Open: func(string, string) (Credential, bool) {
			a := &agreeable{bell: make(chan struct{}, 1)}
			go a.run()
			return Credential{Sender: a, InFlight: 1000}, true
		},
		Fail: func(err error) { b.Error(err) }, Logger: slog.New(slog.DiscardHandler),
	})
	if err := engine.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	engine.Share(1, 1)
	stop, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer engine.Stop(stop)

	owners := make([]queue.Owner, partitions)
	records := make([][]queue.Record, partitions)
	for p := range owners {
		if owners[p], err = engine.Assign(b.Context(), queue.Assignment{Partition: int32(p)}); err != nil {
			b.Fatal(err)
		}
		for i := range devices / partitions {
			e := event.Event{
				Tenant: fmt.Sprintf("tenant-%d", i%tenants), Device: fmt.Sprintf("device-%d-%d", p, i), Provider: providers.APNs,
				Token: fmt.Sprintf("%064x", i), PushMagic: "0A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9", PushType: "mdm",
				Priority: event.Normal, Time: epoch,
			}
			key, value := event.Encode(&e)
			records[p] = append(records[p], queue.Record{Partition: int32(p), Key: key, Value: value, Time: epoch})
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime(b)
	var feeding sync.WaitGroup
	for p, owner := range owners {
		feeding.Go(func() {
			given := make([]queue.Record, 0, batch)
			for offset, last := int64(0), int64(b.N/partitions+1); offset < last; {
				given = given[:0]
				for ; offset < last && len(given) < batch; offset++ {
					r := records[p][offset%int64(len(records[p]))]
					r.Offset = offset
					given = append(given, r)
				}
				if err := owner.Take(b.Context(), given); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	feeding.Wait()
	for _, owner := range owners {
		owner.Release(b.Context())
	}
	b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
