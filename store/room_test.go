package store

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// fullDisk is a disk in memory without room, from when full is set.
func fullDisk() (fs vfs.FS, fill, free func()) {
	mem := vfs.NewMem()
	var full atomic.Bool
	fs = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
			return syscall.ENOSPC
		}
		return nil
	}))
	use := func(is bool, available uint64) func() {
		return func() {
			mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: available, TotalBytes: 1 << 30, UsedBytes: 1<<30 - available})
			full.Store(is)
		}
	}
	return fs, use(true, roomEnough-1), use(false, roomEnough)
}

func TestAFullDiskIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := damageConfig(nil)
		var fill, free func()
		cfg.FS, fill, free = fullDisk()
		l := open(t, cfg)
		write(t, l, crashFlush(1)...)
		for n := int64(2); n < 5; n++ {
			fill()
			began := time.Now()
			time.AfterFunc(roomPatience-time.Second, free)
			write(t, l, crashFlush(n)...)
			if took := time.Since(began); took < roomPatience-time.Second || took > roomPatience-time.Second+roomLook {
				t.Errorf("it went on after %v", took)
			}
		}
		l = reopen(t, l)
		if n, err := recall(l, 4); n != 4 || err != nil {
			t.Errorf("flush %d of 4 is the last that is there: %v", n, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestADiskThatStaysFullEndsTheLedgerAndTheNextOneGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := damageConfig(nil)
		var fill, free func()
		cfg.FS, fill, free = fullDisk()
		l, err := Open(cfg, nil, quiet)
		if err != nil {
			t.Fatal(err)
		}
		write(t, l, crashFlush(1)...)
		fill()
		began := time.Now()
		if err := l.Write(crashFlush(2)); !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room") {
			t.Errorf("a write on a full disk: %v", err)
		}
		if took := time.Since(began); took != roomPatience {
			t.Errorf("it was waited for room for %v", took)
		}
		if n := counted(t, l.metrics.full); n != 1 {
			t.Errorf("counted %v times", n)
		}
		if err := l.Close(); !errors.Is(err, ErrBroken) {
			t.Errorf("closing it: %v", err)
		}
		if _, err := Open(cfg, nil, quiet); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("the next process finds the disk full, and says %v", err)
		}
		free()
		l = open(t, cfg)
		if n, err := recall(l, 2); n < 1 || err != nil {
			t.Errorf("flush %d is the last that is there: %v", n, err)
		}
		write(t, l, crashFlush(3)...)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
