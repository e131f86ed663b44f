package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a file system of its own, and a file that fills it.
type smallDisk struct {
	t      *testing.T
	dir    string
	filler string
}

func mountSmallDisk(t *testing.T, dir string) *smallDisk {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m,mode=0700"); errors.Is(err, syscall.EPERM) {
		t.Skip("a file system can only be mounted by root: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return &smallDisk{t, dir, filepath.Join(dir, "lost+found")} // a name that a ledger's directory may have
}

// fill leaves so many bytes.
func (d *smallDisk) fill(left int64) {
	d.t.Helper()
	var usage syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &usage); err != nil {
		d.t.Fatal(err)
	}
	f, err := os.Create(d.filler)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := errors.Join(syscall.Fallocate(int(f.Fd()), 0, 0, int64(usage.Bavail)*usage.Bsize-left), f.Close()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *smallDisk) free() {
	d.t.Helper()
	if err := os.Truncate(d.filler, 0); err != nil {
		d.t.Fatal(err)
	}
}

// TestAFullDiskPausesTheDaemonAndThenEndsItAndLosesNothing fills the ledger's disk twice: once there is room again in time,
// once the daemon has to end and be started again.
func TestAFullDiskPausesTheDaemonAndThenEndsItAndLosesNothing(t *testing.T) {
	t.Parallel()
	const (
		rate    = 500
		waits   = 5 * time.Second  // store.roomPatience
		goesOn  = 10 * time.Second // from when there is room
		repeats = int(rate * (waits + answersAfter + flushes + writes + 50*time.Millisecond) / time.Second)
	)
	p := embeddedPlay(t, 5000, 6)
	disk := mountSmallDisk(t, p.ledger("daemon"))
	daemon := p.daemon("daemon", "--rates.total=500", "--kafka.revoke_drain=1s") // what is not in the ledger then never will be
	daemon.ready(t)
	disk.fill(32 << 10)
	p.publish(p.load.Records, 0)
	p.eventually("the disk is full", func() bool { return daemon.said("its disk is full") != "" })
	p.accepted(1)
	disk.free()
	p.wentOn(daemon, "in the same process", goesOn)

	disk.fill(32 << 10)
	if code := daemon.exit(t); code != exitFailed || daemon.said("make room on its disk") == "" {
		t.Errorf("exit code %d, want %d, and a word of how to go on", code, exitFailed)
	}
	p.daemons = nil // it ended by itself, and was to
	disk.free()
	daemon = p.daemon("daemon", "--rates.total=500")
	p.wentOn(daemon, "in the next process", goesOn)
	p.settled(len(p.load.Records))
	p.balanced(daemon)
	p.judge(repeats)
	daemon.stop(t)
}

// wentOn waits until the daemon writes its ledger once more, and says how long that took.
func (p *play) wentOn(daemon *child, where string, within time.Duration) {
	p.t.Helper()
	const flushed = "pushd_ledger_flush_duration_seconds_count"
	began, before := time.Now(), daemon.metric(p.t, flushed)
	p.eventually("the ledger is written again "+where, func() bool { return daemon.metric(p.t, flushed) > before })
	p.t.Logf("%v after there was room the ledger was written again %s", time.Since(began).Round(time.Millisecond), where)
	if took := time.Since(began); took > within {
		p.t.Errorf("it took %v", took)
	}
}
