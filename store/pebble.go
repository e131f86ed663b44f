package store

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"
)

// pebbleOptions suit a few large sequential records per flush, read back only at the start and for histories: a large
// write buffer, room before writes have to wait for compactions, and no bloom filters, for nothing asks for single keys.
func pebbleOptions(cfg Config, m *metrics, logger *slog.Logger) *pebble.Options {
	options := &pebble.Options{
		FS:                          cfg.FS,
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   int64(cfg.CacheMB) << 20,
		MemTableSize:                uint64(cfg.MemTableMB) << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		CompactionConcurrencyRange:  func() (int, int) { return 1, runtime.GOMAXPROCS(0) },
		Logger:                      pebbleLogger{logger},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { logger.Error("ledger: background work failed", "error", err) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				logger.Error("ledger: Pebble found damaged data", "path", info.Path, "error", info.Details)
			},
			DiskSlow: func(info pebble.DiskSlowInfo) {
				m.slow.Inc()
				logger.Warn("ledger: the disk is slow", "operation", info.OpType.String(), "duration", info.Duration)
			},
			LowDiskSpace: func(info pebble.LowDiskSpaceInfo) {
				logger.Warn("ledger: the disk is nearly full", "available_bytes", info.AvailBytes, "total_bytes", info.TotalBytes)
			},
			WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
				m.stalls.Inc()
				logger.Warn("ledger: writes wait for compactions", "reason", info.Reason)
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
	p.logger.Debug("ledger: pebble", "line", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (p pebbleLogger) Errorf(format string, args ...any) {
	p.logger.Error("ledger: pebble", "line", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// Fatalf must not return: Pebble calls it where it cannot go on, as when its log cannot be written. What was not
// durable is not committed either, so ending the process here loses nothing.
func (p pebbleLogger) Fatalf(format string, args ...any) {
	line := strings.TrimSpace(fmt.Sprintf(format, args...))
	p.logger.Error("ledger: cannot go on; look at the disk", "line", line)
	panic("store: " + line)
}
