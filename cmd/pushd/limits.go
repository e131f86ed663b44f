package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// memoryShare is what the Go heap may have of the memory that the process was given; the rest is Pebble's own memory,
// stacks and the kernel's buffers.
const memoryShare = 0.9

// limitProcess fits the process to its surroundings: the garbage collector learns the container's memory limit, and no
// core dump can carry tokens and keys to disk.
func limitProcess(log *slog.Logger) {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		log.Warn("core dumps stay as they are", "error", err)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit, ok := cgroupMemory(os.DirFS("/"))
	if !ok {
		return
	}
	debug.SetMemoryLimit(int64(float64(limit) * memoryShare))
	log.Info("memory limit taken from the control group", "cgroup_bytes", limit, "share", memoryShare)
}

// checkOpenFiles says whether the process may open as many files and connections as it will need. The Go runtime has
// raised the soft limit to the hard one already.
func checkOpenFiles(need uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if limit.Cur < need {
		return fmt.Errorf("%d files and connections are needed and %d allowed; raise LimitNOFILE= of the unit or ulimit -n", need, limit.Cur)
	}
	return nil
}

// cgroupMemory is the memory limit of the control group (version 2) that this process is in: the least of its own and
// of those above it.
func cgroupMemory(root fs.FS) (bytesAllowed int64, ok bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	least := int64(math.MaxInt64)
	for line := range bytes.Lines(groups) {
		group, isV2 := strings.CutPrefix(strings.TrimSpace(string(line)), "0::")
		if !isV2 {
			continue
		}
		for dir := path.Join("sys/fs/cgroup", group); dir != "sys/fs"; dir = path.Dir(dir) {
			content, err := fs.ReadFile(root, path.Join(dir, "memory.max"))
			if err != nil {
				continue
			}
			if limit, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64); err == nil { // or "max"
				least = min(least, limit)
			}
		}
	}
	return least, least < math.MaxInt64
}
