package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Config is what the ledger works with. An operator sets the tagged fields; the wiring gives it the others.
type Config struct {
	Dir         string        `name:"dir" help:"Directory of the ledger, on a disk that outlives the process. One process at a time." default:"/var/lib/pushd/ledger"`
	HistoryKeep time.Duration `name:"history" help:"How long a device's history can be asked for; a settled event takes about 40 bytes of disk. 0s to 8760h." default:"24h"`
	Tombstones  time.Duration `name:"tombstones" help:"How long a dead token is remembered, in whole days. 24h to 8760h." default:"720h"`
	CacheMB     int           `name:"cache_mb" help:"Memory for reading the ledger, in MB; it is read at the start and for histories only. 1 to 65536." default:"64"`

	DedupeWindow     time.Duration `kong:"-"` // how long an event id is remembered; the journal is read back that far
	MergeInterval    time.Duration `kong:"-"` // how long a device rests after an accepted push
	DedupeMaxEntries int           `kong:"-"` // event ids remembered, whole process; 0 means the default
	MemTableMB       int           `kong:"-"` // Pebble's write buffer; 0 means the default
	SetAside         bool          `kong:"-"` // a damaged ledger is set aside and a new one begun, as what waits in it is elsewhere too; without, Open fails
	FS               vfs.FS        `kong:"-"` // nil means the machine's file system; tests have one in memory
}

// DefaultConfig is what the struct tags say, and what the wiring does not have to set.
func DefaultConfig() Config {
	return Config{
		Dir:              "/var/lib/pushd/ledger",
		HistoryKeep:      24 * time.Hour,
		Tombstones:       720 * time.Hour,
		CacheMB:          64,
		DedupeWindow:     10 * time.Minute,
		MergeInterval:    30 * time.Second,
		DedupeMaxEntries: 20_000_000,
		MemTableMB:       64,
	}
}

const year = 8760 * time.Hour

// Validate returns all faults of what an operator sets, each beginning with the key it is about.
func (c Config) Validate() error {
	return errors.Join(
		notEmpty("dir", c.Dir),
		between("history", c.HistoryKeep, 0, year),
		between("tombstones", c.Tombstones, 24*time.Hour, year),
		between("cache_mb", c.CacheMB, 1, 1<<16),
	)
}

// validateWiring returns the faults of the rest.
func (c Config) validateWiring() error {
	return errors.Join(
		between("dedupe window", c.DedupeWindow, time.Second, 24*time.Hour),
		between("merge interval", c.MergeInterval, 0, 24*time.Hour),
		between("dedupe entries", c.DedupeMaxEntries, 1, 1<<40),
		between("memtable_mb", c.MemTableMB, 1, 1<<11),
	)
}

func notEmpty(key, value string) error {
	if value == "" {
		return fmt.Errorf("%s: is empty; name a directory on a disk that outlives the process", key)
	}
	return nil
}

func between[T int | time.Duration](key string, value, low, high T) error {
	if value < low || value > high {
		return fmt.Errorf("%s: %v is not between %v and %v", key, value, low, high)
	}
	return nil
}

// Bucket is how finely the age of an event id is known, and how often Expire has something to do.
func (c Config) Bucket() time.Duration {
	return max(c.DedupeWindow/dedupeBuckets, time.Second)
}

// filled has the defaults in place of what the wiring left out.
func (c Config) filled() Config {
	d := DefaultConfig()
	if c.CacheMB == 0 {
		c.CacheMB = d.CacheMB
	}
	if c.DedupeMaxEntries == 0 {
		c.DedupeMaxEntries = d.DedupeMaxEntries
	}
	if c.MemTableMB == 0 {
		c.MemTableMB = d.MemTableMB
	}
	if c.Tombstones == 0 {
		c.Tombstones = d.Tombstones
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	return c
}
