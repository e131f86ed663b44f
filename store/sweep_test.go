package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// sweepOps is how many file operations the run has at least. Each of them fails once in the whole sweep.
const sweepOps = 2000

const sweepFlushes = 280 // of each of the two processes

// TestEachFileOperationMayFail lets one file operation after the other fail in a ledger's run, with EIO or ENOSPC, once or
// from then on. The ledger must go on or refuse, and have all it acknowledged when it is opened again on what is left.
func TestEachFileOperationMayFail(t *testing.T) {
	t.Parallel()
	ops := sweepRun(t, math.MaxInt, 0).ops
	if ops < sweepOps {
		t.Fatalf("a run has only %d file operations, not %d", ops, sweepOps)
	}
	seed, every := rand.Uint64N(1000), form(50, 10, 1) // every how many-th operation fails
	var failed, refused, overcome, late, lost atomic.Int64
	next := make(chan int)
	var runs sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		runs.Go(func() {
			for op := range next {
				r := sweepRun(t, op, seed)
				name := fmt.Sprintf("seed %d, operation %d, %s", seed, op, r.failed)
				switch {
				case r.failed == "":
					late.Add(1) // this run had fewer: Pebble's background work differs
				case r.err == nil:
					overcome.Add(1)
				default:
					refused.Add(1)
					checkRefusal(t, name, r.err)
				}
				failed.Add(1)
				if checkCrash(t, name, r.left) < r.left.acked {
					lost.Add(1)
				}
			}
		})
	}
	for op := 1 + int(seed)%every; op <= ops; op += every {
		next <- op
	}
	close(next)
	runs.Wait()
	t.Logf("seed %d: a run of %d file operations, of which %d failed, one in each run: %d refused, %d went through, %d ended before; acknowledged flushes were missing after %d",
		seed, ops, failed.Load(), refused.Load(), overcome.Load(), late.Load(), lost.Load())
	if refused.Load() == 0 || overcome.Load() == 0 {
		t.Error("nothing was refused, or nothing overcome: the faults are not where they should be")
	}
}

// checkRefusal: an error says of what it is, and what the disk said.
func checkRefusal(t *testing.T, name string, err error) {
	t.Helper()
	text := err.Error()
	if !strings.Contains(text, "ledger") || !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%s: refused with %q, which does not say why", name, text)
	}
}

// sweep is a run in which an operation failed, or none.
type sweep struct {
	ops    int
	failed string // the operation
	err    error  // what the ledger said, if it did not go through
	left   crash
}

// sweepRun runs a ledger: made, written, expired, closed, opened again. Whether operation number op fails once or all that
// write do from then on, and with which error, follows from op and seed.
func sweepRun(t *testing.T, op int, seed uint64) sweep {
	t.Helper()
	disk := vfs.NewCrashableMem()
	random := rand.New(rand.NewPCG(seed, uint64(op)))
	errno, lasting := []syscall.Errno{syscall.EIO, syscall.ENOSPC}[random.IntN(2)], random.IntN(2) == 0
	var r sweep
	var ops, acked, begun atomic.Int64
	var failed atomic.Pointer[string]
	cfg := memConfig()
	cfg.MemTableMB, cfg.CacheMB = 1, 1
	cfg.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(func(o errorfs.Op) error {
		if o.Kind == errorfs.OpCreate && strings.Contains(o.Path, "marker.") {
			keepNames(t, disk)
		}
		n := int(ops.Add(1))
		reads := o.Kind.ReadOrWrite() == errorfs.OpIsRead
		if n < op || n > op && (!lasting || reads) {
			return nil
		}
		if n == op {
			text := fmt.Sprintf("%v of %s (kind %d), lasting %v", errno, o.Path, o.Kind, lasting)
			failed.Store(&text)
		}
		if reads {
			return &fs.PathError{Op: "read", Path: o.Path, Err: syscall.EIO}
		}
		return &fs.PathError{Op: "write", Path: o.Path, Err: errno}
	}))
	r.err = useLedger(cfg, &begun, &acked)
	r.ops = int(ops.Load())
	if text := failed.Load(); text != nil {
		r.failed = *text
	}
	r.left = crash{acked: acked.Load()}
	r.left.disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(3) * 50, RNG: random})
	r.left.begun = begun.Load()
	return r
}

// useLedger is the run. It ends with the first error, as the engine does, but once the first write was refused it tries
// another: what that one acknowledges has to be there too.
func useLedger(cfg Config, begun, acked *atomic.Int64) error {
	flush := func(l *Ledger) error {
		n := begun.Add(1)
		err := l.Write(crashFlush(n))
		if err == nil {
			acked.Store(n)
		}
		return err
	}
	for range crashProcesses {
		l, err := Open(cfg, nil, quiet)
		if err != nil {
			return err
		}
		if _, err := l.Partition(0); err != nil {
			return errors.Join(err, l.Close())
		}
		for n := range sweepFlushes {
			if err := flush(l); err != nil {
				flush(l)
				return errors.Join(err, l.Close())
			}
			if n%50 == 0 {
				if err := l.Expire(epoch); err != nil {
					return errors.Join(err, l.Close())
				}
			}
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}
