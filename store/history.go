package store

import (
	"fmt"
	"slices"
	"time"
)

// History is what became of a device's events from since to until, in the order of time. It reads the journal of all
// partitions from since on, and finds the device in each record by binary search.
func (l *Ledger) History(d Device, since, until time.Time) ([]Outcome, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	var history []Outcome
	err := l.eachRecord(since, nil, func(r record) {
		if r.oldest().After(until) {
			return
		}
		for i := r.find(d); i < r.len() && r.device(i) == d; i++ {
			if o := r.outcome(i); !o.At.Before(since) && !o.At.After(until) {
				history = append(history, o)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read the history of device %016x from the ledger in %s: %w", uint64(d), l.cfg.Dir, l.found(err))
	}
	slices.SortStableFunc(history, func(a, b Outcome) int { return a.At.Compare(b.At) })
	return history, nil
}

// eachRecord reads the journal from the minute of a time on: all partitions, or one. Damaged records are passed over.
func (l *Ledger) eachRecord(from time.Time, only *int32, read func(record)) error {
	it, err := l.iterate([]byte{journalPrefix}, []byte{journalPrefix + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	first := int32(0)
	if only != nil {
		first = *only
	}
	for ok := it.SeekGE(appendJournalKey(nil, minuteOf(from), first, 0)); ok; {
		minute, partition, sequence, err := decodeJournalKey(it.Key())
		if err != nil {
			return err
		}
		if only != nil && partition != *only { // on to its next minute
			if partition > *only {
				minute++
			}
			ok = it.SeekGE(appendJournalKey(nil, minute, *only, 0))
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read journal record %x: %w", it.Key(), err)
		}
		if r, err := openRecord(value); err != nil {
			l.metrics.corrupt.Inc()
			l.logger.Error("ledger: a journal record is damaged and passed over; its events may be pushed again",
				"partition", partition, "sequence", sequence, "error", err)
		} else {
			read(r)
		}
		ok = it.Next()
	}
	return it.Error()
}
