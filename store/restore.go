package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"
	"weak"

	"github.com/prometheus/client_golang/prometheus"
)

// Restored is what outlived the process of one partition.
type Restored struct {
	Index     *Index
	Waiting   []Waiting
	Watermark int64 // the last that was written; -1: unknown
}

// Partition reads what outlived the process: it rebuilds the index from the journal and lists the waiting wakes. Each
// call makes an index of its own, from what is written until then.
//
// A damaged journal record is logged, counted and skipped: that costs duplicates. A damaged waiting wake or file is an error;
// with Config.SetAside the ledger is set aside when it is opened again.
func (l *Ledger) Partition(p int32) (*Restored, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	r := &Restored{Index: newIndex(l.cfg, l.dedupe), Watermark: -1}
	err := l.readJournal(p, r.Index)
	if err == nil {
		err = l.readTombstones(p, r.Index)
	}
	if err == nil {
		r.Waiting, err = l.readWaiting(p)
	}
	if err == nil {
		r.Watermark, err = l.readProgress(p)
	}
	if err != nil {
		return nil, fmt.Errorf("restore partition %d from the ledger in %s: %w", p, l.cfg.Dir, l.found(err))
	}
	l.indexing.Lock()
	defer l.indexing.Unlock()
	l.indexes[p] = weak.Make(r.Index)
	return r, nil
}

// knownDevices sums over the indexes that are still in use.
func (l *Ledger) knownDevices() int64 {
	l.indexing.Lock()
	defer l.indexing.Unlock()
	n := int64(0)
	for _, w := range l.indexes {
		if x := w.Value(); x != nil {
			n += x.known.Load()
		}
	}
	return n
}

// readJournal rebuilds the index of a partition from the part of the journal that is young enough to matter, counted
// back from when the ledger was last written.
func (l *Ledger) readJournal(p int32, x *Index) error {
	l.writing.Lock()
	newest := l.alive
	l.writing.Unlock()
	if newest.IsZero() {
		return nil
	}
	from := newest.Add(-l.cfg.MergeInterval)
	if back := l.dedupe.back(newest, l.cfg.DedupeWindow); back.Before(from) {
		from = back
	}
	x.today = dayOf(newest)
	return l.eachRecord(from, &p, func(r record) {
		for i := range r.len() {
			x.replay(r.outcome(i))
		}
	})
}

// Rebuild makes the index of a partition from outcomes and tombstones, oldest first, as Partition does from the ledger's. It
// is for who models a ledger, as the simulation of the dispatcher does. resumed is when the last process wrote; zero in a
// new ledger.
func Rebuild(cfg Config, resumed time.Time, outcomes []Outcome, tombstones []Tombstone) *Index {
	cfg = cfg.filled()
	evicted := prometheus.NewCounter(prometheus.CounterOpts{Name: "evicted"})
	x := newIndex(cfg, newDedupe(cfg, resumed, evicted))
	if resumed.IsZero() {
		return x
	}
	x.today = dayOf(resumed)
	for i := range outcomes {
		x.replay(outcomes[i])
	}
	for _, t := range tombstones {
		x.bury(t.Token, t.Since, x.today)
	}
	return x
}

// replay takes an outcome from the journal.
func (x *Index) replay(o Outcome) {
	x.see(o.Device, o.Event, x.dedupe.journaled(o.At))
	switch o.Kind {
	case Accepted:
		x.Rest(o.Device, o.At)
	case Forgotten:
		x.Forget(o.Device)
	}
}

func (l *Ledger) readTombstones(p int32, x *Index) error {
	it, err := l.iterate([]byte{tombstonePrefix}, []byte{tombstonePrefix + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		day, partition, token, err := decodeTombstoneKey(it.Key())
		if err != nil {
			return err
		}
		if partition != p {
			if partition > p {
				day++
			}
			ok = it.SeekGE(appendTombstoneKey(nil, day, p, 0))
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read tombstone %x: %w", it.Key(), err)
		}
		if len(value) == 8 {
			x.bury(token, time.UnixMilli(int64(binary.BigEndian.Uint64(value))), day)
		}
		ok = it.Next()
	}
	return it.Error()
}

func (l *Ledger) readWaiting(p int32) ([]Waiting, error) {
	it, err := l.iterate(appendWaitingKey(nil, p, 0), appendWaitingKey(nil, p+1, 0))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var waiting []Waiting
	for ok := it.First(); ok; ok = it.Next() {
		_, d, err := decodeWaitingKey(it.Key())
		if err != nil {
			return nil, err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, fmt.Errorf("read the waiting wake of device %016x (key %x): %w", uint64(d), it.Key(), err)
		}
		if err := unseal(value); err != nil {
			return nil, damaged("the waiting wake of device %016x (key %x): %v", uint64(d), it.Key(), err)
		}
		waiting = append(waiting, Waiting{Device: d, Data: bytes.Clone(value[sealSize:])})
	}
	return waiting, it.Error()
}

func (l *Ledger) readProgress(p int32) (int64, error) {
	value, err := l.get(appendProgressKey(nil, p), 8)
	if err != nil || value == nil {
		return -1, err
	}
	return int64(binary.BigEndian.Uint64(value)), nil
}
