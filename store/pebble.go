package store

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"
)

// failuresInARow is how often Pebble's background work may fail, with nothing done between, before that is a fault: Pebble
// tries again without end and without a pause, and lets writes wait for it when there is too much to do.
const failuresInARow = 10

// pebbleOptions suit a few large sequential records per flush, read back only at the start and for histories: a large
// write buffer, room before writes have to wait for compactions, and no bloom filters, for nothing asks for single keys.
//
// Nothing is compacted before opened is 1: where opening fails, Pebble takes away what a compaction works with, which then
// panics.
func (l *Ledger) pebbleOptions(opened *atomic.Int32) *pebble.Options {
	var failures atomic.Int32
	worked := func(err error) {
		if err == nil {
			failures.Store(0)
		}
	}
	options := &pebble.Options{
		FS:                          l.disk,
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   int64(l.cfg.CacheMB) << 20,
		MemTableSize:                uint64(l.cfg.MemTableMB) << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		CompactionConcurrencyRange:  func() (least, most int) { return int(opened.Load()), runtime.GOMAXPROCS(0) },
		Logger:                      pebbleLogger{l.logger},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				if n := failures.Add(1); n <= failuresInARow {
					l.logger.Error("ledger: background work failed", "error", err)
				} else if n == failuresInARow+1 {
					l.disk.fault.happen(fmt.Errorf("background work failed %d times: %w", n, l.found(err)))
				}
			},
			FlushEnd:      func(info pebble.FlushInfo) { worked(info.Err) },
			CompactionEnd: func(info pebble.CompactionInfo) { worked(info.Err) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				l.logger.Error("ledger: Pebble found damaged data", "path", info.Path, "error", info.Details)
			},
			DiskSlow: func(info pebble.DiskSlowInfo) {
				l.metrics.slow.Inc()
				l.logger.Warn("ledger: the disk is slow", "operation", info.OpType.String(), "duration", info.Duration)
			},
			LowDiskSpace: func(info pebble.LowDiskSpaceInfo) {
				l.logger.Warn("ledger: the disk is nearly full", "available_bytes", info.AvailBytes, "total_bytes", info.TotalBytes)
			},
			WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
				l.metrics.stalls.Inc()
				l.logger.Warn("ledger: writes wait for compactions", "reason", info.Reason)
			},
		},
	}
	// Hashes do not compress. What is kept for long is compressed once, for the times and kinds between them.
	options.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		c := pebble.UniformDBCompressionSettings(block.NoCompression)
		c.Levels[len(c.Levels)-1] = block.SnappyCompression
		return c
	})
	return options
}

// pebbleLogger gives Pebble's lines to slog.
type pebbleLogger struct{ logger *slog.Logger }

func (p pebbleLogger) Infof(format string, args ...any) {
	p.logger.Debug("ledger: pebble", "line", pebbleLine(format, args))
}

func (p pebbleLogger) Errorf(format string, args ...any) {
	p.logger.Error("ledger: pebble", "line", pebbleLine(format, args))
}

// Fatalf must not return: Pebble calls it where it finds that it is broken itself. What was not durable is not committed
// either, so that ending the process here loses nothing.
func (p pebbleLogger) Fatalf(format string, args ...any) {
	line := pebbleLine(format, args)
	p.logger.Error("ledger: Pebble cannot go on", "line", line)
	panic("store: " + line)
}

func pebbleLine(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}
