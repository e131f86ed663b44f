package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A crash is a copy of the disk at one moment, with all that was synced and some of what was not.
type crash struct {
	disk  *vfs.MemFS
	acked int64 // flushes that Write had returned from before the copy was made
	begun int64 // flushes that it was called for after
}

const crashPartitions = 3

// crashFlush is flush n, from 1: for each partition some outcomes, and one of five devices whose wake waits or is done.
func crashFlush(n int64) []Flush {
	flushes := make([]Flush, crashPartitions)
	for p := range flushes {
		f := Flush{Partition: int32(p), Watermark: n}
		at := epoch.Add(time.Duration(n) * 100 * time.Millisecond)
		for i := range int64(20) {
			f.Outcomes = append(f.Outcomes, accepted(Device(i), EventID(n), at))
		}
		if w := crashWake(n, int32(p)); w.Data == nil {
			f.Delete = append(f.Delete, w.Device)
		} else {
			f.Put = append(f.Put, w)
		}
		f.Tombstones = append(f.Tombstones, Tombstone{Token(n), at})
		flushes[p] = f
	}
	return flushes
}

// crashWake is the wake that flush n puts into a partition, or deletes where it has no data.
func crashWake(n int64, p int32) Waiting {
	if n%3 == 0 {
		return Waiting{Device: Device(n % 5)}
	}
	return Waiting{Device(n % 5), fmt.Appendf(nil, "wake %d of %d%4000s", n, p, "")} // long, so that tables are written soon
}

// TestACrashLosesNoFlushThatReturnedAndLeavesNoneHalf copies the disk at many of the file operations of a ledger that is
// made, written, expired, closed and opened again, and looks what a ledger opened on each copy knows.
func TestACrashLosesNoFlushThatReturnedAndLeavesNoneHalf(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			for i, c := range crashes(t, seed) {
				checkCrash(t, fmt.Sprintf("crash %d, after flush %d", i, c.acked), c)
			}
		})
	}
}

func crashes(t *testing.T, seed uint64) []crash {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	disk := vfs.NewCrashableMem()
	var acked, begun atomic.Int64
	var mu sync.Mutex // guards random and taken: Pebble works in the background
	var taken []crash
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(40) == 0 || acked.Load() == 0 && random.IntN(3) == 0 {
			c := crash{acked: acked.Load()}
			c.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[random.IntN(3)], RNG: random})
			c.begun = begun.Load()
			taken = append(taken, c)
		}
		return nil
	}))
	cfg := memConfig()
	cfg.FS, cfg.MemTableMB = fs, 1 // so that tables are written too
	n := int64(0)
	for range 2 {
		l := open(t, cfg)
		for range 150 {
			n++
			begun.Store(n)
			write(t, l, crashFlush(n)...)
			acked.Store(n)
			if n%20 == 0 {
				if err := l.Expire(epoch); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(taken) < 20 {
		t.Fatalf("only %d crashes", len(taken))
	}
	return taken
}

func checkCrash(t *testing.T, name string, c crash) {
	t.Helper()
	cfg := memConfig()
	cfg.FS = c.disk
	l, err := Open(cfg, nil, quiet)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer l.Close()
	n := max(partition(t, l, 0).Watermark, 0) // the last flush that it knows
	if n < c.acked || n > c.begun {
		t.Errorf("%s: flush %d is the last that it knows, and %d was begun", name, n, c.begun)
	}
	history, err := l.History(1, epoch, epoch.Add(time.Hour))
	if err != nil || int64(len(history)) != n*crashPartitions {
		t.Errorf("%s: %d outcomes of a device, want %d (%v)", name, len(history), n*crashPartitions, err)
	}
	for p := range int32(crashPartitions) {
		r := partition(t, l, p)
		if max(r.Watermark, 0) != n {
			t.Errorf("%s: partition %d knows flush %d, partition 0 flush %d", name, p, r.Watermark, n)
		}
		if want := crashWaiting(n, p); !slices.EqualFunc(r.Waiting, want, func(a, b Waiting) bool {
			return a.Device == b.Device && string(a.Data) == string(b.Data)
		}) {
			t.Errorf("%s: in partition %d wait %v, want %v", name, p, r.Waiting, want)
		}
		now := epoch.Add(time.Minute)
		for e := int64(1); e <= c.begun; e++ {
			_, dead := r.Index.DeadSince(Token(e))
			if seen := r.Index.Seen(7, EventID(e), now); seen != (e <= n) || dead != (e <= n) {
				t.Errorf("%s: event %d of %d: seen %v, token dead %v", name, e, n, seen, dead)
			}
		}
	}
	write(t, l, crashFlush(c.begun+1)...) // and it goes on
}

// crashWaiting is what waits in a partition after flush n.
func crashWaiting(n int64, p int32) []Waiting {
	waiting := map[Device]Waiting{}
	for i := int64(1); i <= n; i++ {
		w := crashWake(i, p)
		waiting[w.Device] = w
	}
	var sorted []Waiting
	for d := range Device(5) {
		if w := waiting[d]; w.Data != nil {
			sorted = append(sorted, w)
		}
	}
	return sorted
}
