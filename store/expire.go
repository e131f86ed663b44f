package store

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Expire forgets what is too old: journal records, by whole minutes, and dead tokens, by whole days. It scans nothing.
// Call it about once per Config.Bucket; it also notes that the process is alive.
//
// The journal is kept for the longest of HistoryKeep, MergeInterval and DedupeWindow of uptime, counted back from now
// or, where that is earlier, from the newest outcome that this process wrote. Before the first Write it does nothing:
// the process may have been down for longer than all of them.
func (l *Ledger) Expire(now time.Time) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	l.writing.Lock()
	defer l.writing.Unlock()
	if !l.wrote || l.alive.IsZero() {
		return nil
	}
	newest := l.alive
	if now.Before(newest) {
		newest = now
	}
	keep := newest.Add(-max(l.cfg.HistoryKeep, l.cfg.MergeInterval))
	if back := l.dedupe.back(newest, l.cfg.DedupeWindow); back.Before(keep) {
		keep = back
	}
	if now.After(l.alive) {
		l.alive = now
		l.dedupe.pass(now)
	}
	if err := l.expire(minuteOf(keep), dayOf(newest)-min(dayOf(newest), tombstoneDays(l.cfg))); err != nil {
		return fmt.Errorf("expire what is old in the ledger: %w", err)
	}
	return nil
}

// expire deletes the journal before a minute and the dead tokens before a day. It does not sync: what a crash brings
// back goes with the next Expire.
func (l *Ledger) expire(minute, day uint32) error {
	batch := l.db.NewBatch()
	defer batch.Close()
	if minute > l.journalFrom {
		l.journalFrom = minute
		if err := batch.DeleteRange([]byte{journalPrefix}, appendJournalKey(nil, minute, 0, 0), nil); err != nil {
			return err
		}
	}
	if day > l.tombstonesFrom {
		l.tombstonesFrom = day
		if err := batch.DeleteRange([]byte{tombstonePrefix}, appendTombstoneKey(nil, day, 0, 0), nil); err != nil {
			return err
		}
	}
	if err := l.setLast(batch); err != nil {
		return err
	}
	return l.commit(batch, pebble.NoSync)
}

// tombstoneDays is how many days a dead token is remembered after the day on which it was found dead.
func tombstoneDays(cfg Config) uint32 {
	const day = 24 * time.Hour
	return uint32((cfg.Tombstones + day - 1) / day)
}
