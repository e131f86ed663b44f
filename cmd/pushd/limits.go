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

	"pushd/providers/apns"
	"pushd/providers/fcm"
)

// memoryShare is what the Go heap may have of the memory that the process was given; the rest is Pebble's own memory,
// stacks and the kernel's buffers.
const memoryShare = 0.9

// limitProcess fits the process to its surroundings: the garbage collector learns the container's memory limit, no core
// dump can carry tokens and keys to disk, and a configuration that needs more memory than there is is told at the start.
func limitProcess(cfg *Config, log *slog.Logger) {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		log.Warn("core dumps stay as they are", "error", err)
	}
	if limit, ok := cgroupMemory(os.DirFS("/")); ok && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(float64(limit) * memoryShare))
	}
	limit, need := debug.SetMemoryLimit(-1), memoryNeed(cfg) // -1 only asks
	if need > limit {
		log.Warn("the configuration's bounds are above the memory limit: where they fill up, the garbage collector will slow everything",
			"need_bytes", need, "limit_bytes", limit, "mend", "lower dedupe.max_entries, merge.max_waiting or store.cache_mb, or give more memory")
	}
}

// Bytes that one entry of a bounded index takes, as the help of its setting says.
const (
	bytesPerEventID = 20
	bytesPerWaiting = 1200
)

// memoryNeed is the memory that is in use, in bytes, when the large bounds of the configuration are full.
func memoryNeed(cfg *Config) int64 {
	return int64(cfg.Engine.Dedupe.MaxEntries)*bytesPerEventID +
		int64(cfg.Engine.Merge.MaxWaiting)*bytesPerWaiting +
		int64(cfg.Store.CacheMB+cfg.Store.MemTableMB)<<20
}

// filesBeside is how many files are open beside the providers' connections: the ledger's, Kafka's, the admin listener's.
const filesBeside = 512

// checkOpenFiles says whether the process may open as many connections as the tenants can come to need, at the start and
// not at the worst time. The Go runtime has raised the soft limit to the hard one already.
func checkOpenFiles(cfg *Config, tenants int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	need := uint64(filesBeside) +
		mostConnections(tenants, cfg.APNs.Connections, cfg.APNs.Connection.Total, cfg.APNs.Sender == apns.Pipelined) +
		mostConnections(tenants, cfg.FCM.Connections, cfg.FCM.Connection.Total, cfg.FCM.Sender == fcm.Pipelined)
	if limit.Cur < need {
		return fmt.Errorf("%d tenants can need %d open files, and %d are allowed; raise LimitNOFILE= of the unit (ulimit -n) or lower connections or connections_total under providers.apns and providers.fcm",
			tenants, need, limit.Cur)
	}
	return nil
}

// mostConnections is how many connections all tenants together can come to have to a provider. Pipelined senders have one
// more each, for suspect tokens, where the total that they share allows it; each may exceed that by its first.
func mostConnections(tenants, each, total int, pipelined bool) uint64 {
	if pipelined {
		return uint64(min(tenants*(each+1), max(total, tenants)))
	}
	return uint64(tenants * each)
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
