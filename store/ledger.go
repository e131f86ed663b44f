package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

// Ledger is the open ledger.
type Ledger struct {
	cfg     Config
	logger  *slog.Logger
	metrics *metrics
	dedupe  *dedupe
	seed    uint64
	hashing []byte // the key of TokenHash
	fresh   bool   // made by this process
	db      *pebble.DB
	lock    *pebble.Lock
	disk    *disk

	using  sync.RWMutex // guards closed; held for reading while db is used
	closed bool

	writing  sync.Mutex // guards what is below
	sequence uint64     // of the next journal record
	alive    time.Time  // the newest time known; that of the process before until this one writes
	wrote    bool       // this process has written
	places   []place    // scratch

	journalFrom, tombstonesFrom uint32 // the minute and the day before which Expire has deleted

	indexing sync.Mutex // guards indexes
	indexes  map[int32]weak.Pointer[Index]
}

// Open opens the ledger in cfg.Dir, or makes one there if the directory is empty or missing. It never deletes anything.
//
// It fails with ErrLocked where another process has the ledger open, and with an error that says what to do where the
// directory is of something else, of another format or damaged. With cfg.SetAside a damaged ledger gets another name
// instead, which is logged, and a new one is begun. A registry of nil leaves the metrics unregistered.
func Open(cfg Config, reg prometheus.Registerer, logger *slog.Logger) (*Ledger, error) {
	cfg = cfg.filled()
	if err := errors.Join(cfg.Validate(), cfg.validateWiring()); err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	l, err := openLocked(cfg, reg, logger)
	if errors.Is(err, errDamaged) && cfg.SetAside {
		var to string
		damage := err
		if to, err = setAside(cfg.FS, cfg.Dir); err == nil {
			logger.Error("ledger: it is damaged and was set aside; a new one is begun", "dir", cfg.Dir, "aside", to, "error", damage)
			if l, err = openLocked(cfg, reg, logger); err == nil {
				l.metrics.aside.Inc()
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the ledger in %s: %w", cfg.Dir, err)
	}
	return l, nil
}

// openLocked locks the directory and opens what is in it.
func openLocked(cfg Config, reg prometheus.Registerer, logger *slog.Logger) (*Ledger, error) {
	lock, err := openDirectory(cfg.FS, cfg.Dir, logger)
	if err != nil {
		return nil, err
	}
	l := &Ledger{cfg: cfg, logger: logger, lock: lock, indexes: make(map[int32]weak.Pointer[Index])}
	l.disk = newDisk(vfs.OnDiskFull(cfg.FS, l.awaitRoom), newFault())
	if err := l.open(reg); err != nil {
		_ = l.Close() // what else is wrong follows from that
		return nil, err
	}
	return l, nil
}

// open does what Close undoes.
func (l *Ledger) open(reg prometheus.Registerer) error {
	var err error
	if l.metrics, err = newMetrics(reg); err != nil {
		return err
	}
	if err := checkCondemned(l.disk, l.cfg.Dir); err != nil {
		return err
	}
	if l.disk.written, err = openWritten(l.disk, l.cfg.Dir); err != nil {
		return err
	}
	var opened atomic.Int32
	options := l.pebbleOptions(&opened)
	options.Lock = l.lock
	err = l.disk.fault.call(func() (err error) {
		l.db, err = pebble.Open(l.cfg.Dir, options)
		return err
	})
	if err != nil {
		return judged(err)
	}
	opened.Store(1)
	resumed, err := l.readMeta()
	if err != nil {
		return judged(err)
	}
	l.alive = resumed
	l.dedupe = newDedupe(l.cfg, resumed, l.metrics.evicted)
	return l.metrics.observe(l)
}

// readMeta reads the seed and where the process before stopped, or makes the seed of a new ledger.
func (l *Ledger) readMeta() (resumed time.Time, err error) {
	seed, err := l.get(seedKey, 8)
	if err != nil {
		return time.Time{}, err
	}
	if seed == nil {
		return time.Time{}, errors.Join(l.makeSeed(), l.readHashKey())
	}
	l.seed = binary.BigEndian.Uint64(seed)
	if err := l.readHashKey(); err != nil {
		return time.Time{}, err
	}
	last, err := l.get(lastKey, 16)
	if err != nil {
		return time.Time{}, err
	}
	if last != nil {
		l.sequence = binary.BigEndian.Uint64(last)
		resumed = time.UnixMilli(int64(binary.BigEndian.Uint64(last[8:])))
	}
	if written := l.disk.written.sequence; l.sequence < written {
		return time.Time{}, damaged("it ends before its flush %d, and %d were written: its log was cut, or a file put back alone", l.sequence, written)
	}
	return resumed, nil
}

// makeSeed gives a new ledger the key of its identities. A ledger that has anything but no seed is damaged: with a new
// one it would know no device again.
func (l *Ledger) makeSeed() error {
	it, err := l.db.NewIter(nil)
	if err != nil {
		return err
	}
	empty := !it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return err
	}
	if !empty {
		return damaged("its key \"seed\" is missing")
	}
	l.fresh = true
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails
	l.seed = binary.BigEndian.Uint64(seed[:])
	return l.disk.fault.call(func() error { return l.db.Set(seedKey, seed[:], pebble.Sync) })
}

// readHashKey reads the key of token hashes, or makes it: older ledgers have none, and nothing hangs on it but what a token
// is called.
func (l *Ledger) readHashKey() (err error) {
	if l.hashing, err = l.get(hashKey, sha256.Size); err != nil || l.hashing != nil {
		return err
	}
	l.hashing = make([]byte, sha256.Size)
	_, _ = rand.Read(l.hashing) // never fails
	return l.db.Set(hashKey, l.hashing, pebble.Sync)
}

// get returns the value of a key, of the given size, or nil.
func (l *Ledger) get(key []byte, size int) ([]byte, error) {
	value, closer, err := l.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read key %q: %w", key, err)
	}
	defer closer.Close()
	if len(value) != size {
		return nil, damaged("its key %q has %d bytes instead of %d", key, len(value), size)
	}
	return append([]byte(nil), value...), nil
}

// Close ends the use of the ledger, when those who use it now are done.
func (l *Ledger) Close() error {
	l.using.Lock()
	defer l.using.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var err error
	if l.db != nil {
		err = l.closePebble()
	}
	if l.disk.written != nil {
		err = errors.Join(err, l.disk.written.close())
	}
	if l.metrics != nil {
		l.metrics.unregister()
	}
	if err = errors.Join(err, l.lock.Close()); err != nil {
		return fmt.Errorf("close the ledger in %s: %w", l.cfg.Dir, err)
	}
	return nil
}

// closePebble closes the database, a broken one too.
func (l *Ledger) closePebble() error {
	if broken := l.disk.fault.err(); broken != nil {
		return errors.Join(broken, newFault().call(l.db.Close))
	}
	return l.disk.fault.call(l.db.Close)
}

var errClosed = errors.New("the ledger is closed")

// enter begins a use of the database; leave ends it.
func (l *Ledger) enter() error {
	l.using.RLock()
	if l.closed {
		l.using.RUnlock()
		return errClosed
	}
	return nil
}

func (l *Ledger) leave() { l.using.RUnlock() }

// Fresh says whether this process made the ledger: there was none in its directory.
func (l *Ledger) Fresh() bool { return l.fresh }

// Partitions are those that have waiting wakes, in order. They are served even when they are not assigned.
func (l *Ledger) Partitions() ([]int32, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	it, err := l.iterate([]byte{waitingPrefix}, []byte{waitingPrefix + 1})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var partitions []int32
	for ok := it.First(); ok; {
		p, _, err := decodeWaitingKey(it.Key())
		if err != nil {
			return nil, err
		}
		partitions = append(partitions, p)
		ok = it.SeekGE(appendWaitingKey(nil, p+1, 0))
	}
	return partitions, it.Error()
}

func (l *Ledger) iterate(from, to []byte) (*pebble.Iterator, error) {
	return l.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
}
