package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
		for i := range int64(8) {
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
	return Waiting{Device(n % 5), fmt.Appendf(nil, "wake %d of %d%2000s", n, p, "")} // long, so that tables are written soon
}

// crashRun is what becomes of a ledger that is made, written, expired, closed and opened again.
const (
	crashProcesses = 2
	crashFlushes   = 150 // of each
)

// crashPoints is how many crashes the seeds together must have had.
const crashPoints = 1000

// TestACrashLosesNoFlushThatReturnedAndLeavesNoneHalf copies the disk at most of the file operations of a ledger that is
// made, written, expired, closed and opened again, and looks what a ledger opened on each copy knows.
func TestACrashLosesNoFlushThatReturnedAndLeavesNoneHalf(t *testing.T) {
	t.Parallel()
	var taken, lost, unacked atomic.Int64
	seeds := uint64(form(1, 3, 30))
	t.Run("seeds", func(t *testing.T) {
		for seed := range seeds {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				eachCrash(t, seed, func(c crash) {
					name := fmt.Sprintf("crash %d, after flush %d", taken.Add(1), c.acked)
					switch n := checkCrash(t, name, c); {
					case n < c.acked:
						lost.Add(1)
					case n > c.acked:
						unacked.Add(1)
					}
				})
			})
		}
	})
	t.Logf("seeds 0 to %d: %d crash points; acknowledged flushes were missing after %d; the flush that had not returned was there, whole, after %d",
		seeds-1, taken.Load(), lost.Load(), unacked.Load())
	if want := form(crashPoints/4, crashPoints, crashPoints); taken.Load() < int64(want) {
		t.Errorf("only %d crash points, not %d", taken.Load(), want)
	}
}

// eachCrash runs a ledger and has its crashes checked beside it.
func eachCrash(t *testing.T, seed uint64, check func(crash)) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	disk := vfs.NewCrashableMem()
	crashes := make(chan crash)
	var checker sync.WaitGroup
	checker.Go(func() {
		for c := range crashes {
			check(c)
		}
	})
	var acked, begun atomic.Int64
	var mu sync.Mutex // guards random: Pebble works in the background
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if op.Kind == errorfs.OpCreate && strings.Contains(op.Path, "marker.") {
			keepNames(t, disk)
		}
		if random.IntN(3) > 0 {
			return nil
		}
		c := crash{acked: acked.Load()}
		c.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(5) * 25, RNG: random})
		c.begun = begun.Load()
		crashes <- c
		return nil
	}))
	cfg := memConfig()
	cfg.FS, cfg.MemTableMB = fs, 1 // so that tables are written too
	for n := int64(1); n <= crashProcesses*crashFlushes; {
		l := open(t, cfg)
		for end := n + crashFlushes; n < end; n++ {
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
	close(crashes)
	checker.Wait()
}

// keepNames makes the names durable of what was made in the ledger's directory. Linux's file systems keep the name of a new
// file that was synced, which MemFS forgets; Pebble relies on it between a new manifest and the marker that names it.
func keepNames(t *testing.T, disk *vfs.MemFS) {
	if err := syncDirectory(disk, memConfig().Dir); err != nil {
		t.Error(err)
	}
}

// checkCrash returns the last flush that the ledger on the copy knows.
func checkCrash(t *testing.T, name string, c crash) (n int64) {
	t.Helper()
	cfg := memConfig()
	cfg.FS, cfg.MemTableMB, cfg.CacheMB = c.disk, 1, 1
	l, err := Open(cfg, nil, quiet)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return 0
	}
	defer l.Close()
	n, err = recall(l, c.begun)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if n < c.acked || n > c.begun {
		t.Errorf("%s: flush %d is the last that it knows, and %d was begun", name, n, c.begun)
	}
	if err := l.Write(crashFlush(c.begun + 1)); err != nil {
		t.Errorf("%s: it does not go on: %v", name, err)
	}
	return n
}

// recall reads all that the ledger knows, and returns the last flush: all of it and of those before has to be there, and
// nothing of the begun ones after it.
func recall(l *Ledger, begun int64) (n int64, err error) {
	history, err := l.History(1, epoch, epoch.Add(time.Hour))
	if err != nil {
		return 0, err
	}
	n = int64(len(history)) / crashPartitions
	if int64(len(history)) != n*crashPartitions {
		return n, fmt.Errorf("%d outcomes of a device in %d partitions: a flush is there by half", len(history), crashPartitions)
	}
	for p := range int32(crashPartitions) {
		r, err := l.Partition(p)
		if err != nil {
			return n, err
		}
		if max(r.Watermark, 0) != n {
			return n, fmt.Errorf("partition %d has the watermark of flush %d, the journal ends with %d", p, r.Watermark, n)
		}
		if want := crashWaiting(n, p); !slices.EqualFunc(r.Waiting, want, func(a, b Waiting) bool {
			return a.Device == b.Device && string(a.Data) == string(b.Data)
		}) {
			return n, fmt.Errorf("in partition %d other wakes wait after flush %d: %d, not %d", p, n, len(r.Waiting), len(want))
		}
		now := epoch.Add(time.Minute)
		for e := int64(1); e <= begun; e++ {
			_, dead := r.Index.DeadSince(Token(e))
			if seen := r.Index.Seen(7, EventID(e), now); seen != (e <= n) || dead != (e <= n) {
				return n, fmt.Errorf("event %d of %d: seen %v, token dead %v", e, n, seen, dead)
			}
		}
	}
	return n, nil
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
