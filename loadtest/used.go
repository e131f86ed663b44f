package main

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// used is the CPU time that was used until a moment, and the most memory that was resident of the daemon. The memory is not
// the getrusage of a child that has ended: that begins with the memory of the process that forked it, which is this one.
type used struct {
	at           time.Time
	daemon, self time.Duration
	machine      time.Duration // all of it
	resident     uint64
	peak         uint64
}

// cores is how many cores were used between two moments.
type cores struct{ daemon, self, others float64 }

func (r *run) used() (used, error) {
	u := used{at: time.Now()}
	status, err := r.daemon.Proc.NewStatus()
	if err != nil {
		return u, fmt.Errorf("memory of pushd: %w", err)
	}
	u.resident, u.peak = status.VmRSS, status.VmHWM
	if u.daemon, err = cpuOf(r.daemon.Proc); err != nil {
		return u, fmt.Errorf("CPU time of pushd: %w", err)
	}
	self, err := procfs.Self()
	if err != nil {
		return u, err
	}
	if u.self, err = cpuOf(self); err != nil {
		return u, fmt.Errorf("CPU time of the load test: %w", err)
	}
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return u, err
	}
	stat, err := proc.Stat()
	if err != nil {
		return u, fmt.Errorf("CPU time of the machine: %w", err)
	}
	c := stat.CPUTotal
	u.machine = time.Duration((c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal) * float64(time.Second))
	return u, nil
}

func cpuOf(p procfs.Proc) (time.Duration, error) {
	stat, err := p.Stat()
	return time.Duration(stat.CPUTime() * float64(time.Second)), err
}

// cores is what was used since another moment, by the second.
func (u used) cores(since used) cores {
	seconds := max(1e-3, u.at.Sub(since.at).Seconds())
	daemon, self := (u.daemon - since.daemon).Seconds(), (u.self - since.self).Seconds()
	others := (u.machine - since.machine).Seconds() - daemon - self
	return cores{daemon / seconds, self / seconds, max(0, others) / seconds}
}
