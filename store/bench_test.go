package store

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// cpuTime is the CPU time of the process, user and system: what a flush costs, Pebble's background work included.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkFlush writes flushes of 20,000 outcomes over 10 partitions to a real disk with sync, as often as it can:
// 200 ms of 100,000 outcomes/s each, into a journal that has the outcomes of so many other devices already. cpu-ns/outcome
// is what counts.
func BenchmarkFlush(b *testing.B) {
	for _, known := range []int{0, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprint("known=", known), func(b *testing.B) { benchmarkFlush(b, known) })
	}
}

func benchmarkFlush(b *testing.B, known int) {
	cfg := DefaultConfig()
	cfg.Dir = b.TempDir()
	l, err := Open(cfg, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	w := flushes{ledger: l, random: rand.New(rand.NewPCG(1, 2)), now: time.Now()}
	for n := 0; n < known; n += w.outcomes() {
		w.next()
		w.write(b)
	}
	outcomes := 0
	var spent time.Duration
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		w.next()
		begin := cpuTime(b)
		b.StartTimer()
		w.write(b)
		b.StopTimer()
		outcomes += w.outcomes()
		spent += cpuTime(b) - begin
		b.StartTimer()
	}
	b.StopTimer()
	disk := l.measure(func(m *pebble.Metrics) float64 { return float64(m.DiskSpaceUsage()) })
	begin := cpuTime(b)
	if err := l.Close(); err != nil { // waits for what compacts
		b.Fatal(err)
	}
	spent += cpuTime(b) - begin
	b.ReportMetric(float64(spent.Nanoseconds())/float64(outcomes), "cpu-ns/outcome")
	b.ReportMetric(disk/float64(known+outcomes), "disk-bytes/outcome")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(outcomes), "ns/outcome")
}

// flushes makes and writes flushes of random devices, 200 ms after one another.
type flushes struct {
	ledger *Ledger
	random *rand.Rand
	now    time.Time
	batch  [10]Flush
}

func (w *flushes) outcomes() int { return 2000 * len(w.batch) }

func (w *flushes) next() {
	w.now = w.now.Add(200 * time.Millisecond)
	for p := range w.batch {
		f := &w.batch[p]
		f.Partition, f.Watermark, f.Outcomes = int32(p), 1, f.Outcomes[:0]
		for range 2000 {
			f.Outcomes = append(f.Outcomes, Outcome{Kind: Accepted, Device: Device(w.random.Uint64()), Event: EventID(w.random.Uint64()), At: w.now})
		}
	}
}

func (w *flushes) write(b *testing.B) {
	if err := w.ledger.Write(w.batch[:]); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPartition restores a partition of which the journal has a million outcomes, among as many of nine others.
func BenchmarkPartition(b *testing.B) {
	const flushes, partitions, perPartition = 100, 10, 1000
	cfg := DefaultConfig()
	cfg.Dir = b.TempDir()
	l := open(b, cfg)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range flushes {
		var batch []Flush
		for p := range partitions {
			f := Flush{Partition: int32(p), Watermark: 1}
			for range perPartition * (1 + 9*((partitions-p)/partitions)) { // ten times as many in partition 0
				f.Outcomes = append(f.Outcomes, accepted(Device(random.Uint64()), EventID(random.Uint64()), epoch.Add(time.Duration(n)*time.Second)))
			}
			batch = append(batch, f)
		}
		write(b, l, batch...)
	}
	for b.Loop() {
		if _, events := partition(b, l, 0).Index.Len(); events != flushes*perPartition*partitions {
			b.Fatal(events, "events restored")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*flushes*perPartition*partitions), "ns/outcome")
}

// fill makes an index that knows n devices with an event id each.
func fill(n int, now time.Time) *Index {
	cfg := DefaultConfig()
	cfg.DedupeMaxEntries = 1 << 40
	x := newIndex(cfg, newDedupe(cfg, time.Time{}, prometheus.NewCounter(prometheus.CounterOpts{Name: "evicted"})))
	for i := range uint64(n) {
		x.See(Device(mix(i)), EventID(mix(i+1)), now)
		x.Rest(Device(mix(i)), now)
	}
	return x
}

// BenchmarkIndexMemory reports the bytes that a known device takes, one event id included.
func BenchmarkIndexMemory(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				begin := time.Now()
				x := fill(n, time.Unix(1_800_000_000, 0))
				took := time.Since(begin)
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/float64(n), "bytes/device")
				b.ReportMetric(float64(took.Nanoseconds())/float64(n), "ns/device")
				runtime.KeepAlive(x)
			}
		})
	}
}

// BenchmarkIndex times single operations at two sizes: look-ups of what is known and of what is not, and inserts of
// new ones as time goes on, so that old ones expire.
func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		now := time.Unix(1_800_000_000, 0)
		x := fill(n, now)
		random := rand.New(rand.NewPCG(1, 2))
		b.Run(fmt.Sprintf("Seen-known-%d", n), func(b *testing.B) {
			for b.Loop() {
				i := random.Uint64N(uint64(n))
				if !x.Seen(Device(mix(i)), EventID(mix(i+1)), now) {
					b.Fatal("not seen")
				}
			}
		})
		b.Run(fmt.Sprintf("Seen-unknown-%d", n), func(b *testing.B) {
			for b.Loop() {
				if x.Seen(Device(random.Uint64()), 1, now) {
					b.Fatal("seen")
				}
			}
		})
		b.Run(fmt.Sprintf("RestedAt-known-%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, ok := x.RestedAt(Device(mix(random.Uint64N(uint64(n)))), now); !ok {
					b.Fatal("not resting")
				}
			}
		})
		b.Run(fmt.Sprintf("SeeRest-new-%d", n), func(b *testing.B) {
			step := x.dedupe.bucket * time.Duration(dedupeBuckets) / time.Duration(n) // n in each window
			for b.Loop() {
				now = now.Add(step)
				d := Device(random.Uint64())
				x.See(d, 1, now)
				x.Rest(d, now)
			}
		})
	}
}
