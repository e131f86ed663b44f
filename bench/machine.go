package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// machine is where was measured, and what.
type machine struct {
	CPU    string  `json:"cpu"`
	Cores  int     `json:"cores"`
	Memory float64 `json:"memory_gb"`
	Kernel string  `json:"kernel"`
	Go     string  `json:"go"`
	Commit string  `json:"commit"`
	Load   float64 `json:"load_before"` // mean of the minute before; well below 1 where nobody else is at work
}

// thisMachine describes it. Called before anything is measured.
func thisMachine(ctx context.Context) (machine, error) {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Commit: commit(ctx)}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return m, err
	}
	cpus, err := fs.CPUInfo()
	if err != nil {
		return m, fmt.Errorf("describe the CPU: %w", err)
	}
	if len(cpus) > 0 {
		m.CPU = fmt.Sprintf("%s, %.0f MHz", cpus[0].ModelName, cpus[0].CPUMHz)
	}
	memory, err := fs.Meminfo()
	if err != nil {
		return m, fmt.Errorf("describe the memory: %w", err)
	}
	if memory.MemTotalBytes != nil {
		m.Memory = round(float64(*memory.MemTotalBytes)/1e9, 1)
	}
	load, err := fs.LoadAvg()
	if err != nil {
		return m, fmt.Errorf("read the load: %w", err)
	}
	m.Load = load.Load1
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, fmt.Errorf("describe the kernel: %w", err)
	}
	m.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	return m, nil
}

// commit is what is checked out, or empty where that is not known.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// lines describe the machine on a page.
func (m *machine) lines() []string {
	lines := []string{
		fmt.Sprintf("CPU: %s; %d cores for everything, simulators and brokers included", m.CPU, m.Cores),
		fmt.Sprintf("Memory: %g GB", m.Memory),
		fmt.Sprintf("Kernel: %s", m.Kernel),
		fmt.Sprintf("Go: %s", m.Go),
		fmt.Sprintf("Load of the minute before: %.2f; above 0.2 somebody else was at work", m.Load),
	}
	if m.Commit != "" {
		lines = append(lines, "pushd: commit "+m.Commit)
	}
	return lines
}
