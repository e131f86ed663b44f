package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Write makes the flushes durable: one batch, one sync for all of them. When it returns an error it is not known
// whether they are durable, and after ErrBroken nothing can be written any more.
func (l *Ledger) Write(flushes []Flush) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	l.writing.Lock()
	defer l.writing.Unlock()

	start := time.Now()
	batch := l.db.NewBatch()
	defer batch.Close()
	for i := range flushes {
		if err := l.add(batch, &flushes[i]); err != nil {
			return fmt.Errorf("flush partition %d: %w", flushes[i].Partition, err)
		}
	}
	if batch.Empty() {
		return nil
	}
	l.wrote = true
	l.sequence++ // so that one without outcomes counts too
	if err := l.setLast(batch); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if err := l.commit(batch, pebble.Sync); err != nil {
		return fmt.Errorf("flush %d partitions: %w", len(flushes), err)
	}
	l.metrics.flush.Observe(time.Since(start).Seconds())
	l.count(flushes)
	return nil
}

// commit makes a batch durable if it syncs, and says so on the disk.
func (l *Ledger) commit(batch *pebble.Batch, o *pebble.WriteOptions) error {
	return l.disk.fault.call(func() error {
		if err := batch.Commit(o); err != nil || !o.Sync {
			return err
		}
		return l.disk.written.reached(l.sequence)
	})
}

// add puts one partition's flush into the batch.
func (l *Ledger) add(b *pebble.Batch, f *Flush) error {
	if len(f.Outcomes) > 0 {
		if err := l.addRecord(b, f.Partition, f.Outcomes); err != nil {
			return err
		}
	}
	for _, d := range f.Delete {
		op := b.DeleteDeferred(waitingKeySize)
		appendWaitingKey(op.Key[:0], f.Partition, d)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	for _, w := range f.Put {
		op := b.SetDeferred(waitingKeySize, sealSize+len(w.Data))
		appendWaitingKey(op.Key[:0], f.Partition, w.Device)
		copy(op.Value[sealSize:], w.Data)
		seal(op.Value)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	for _, t := range f.Tombstones {
		day := dayOf(l.alive)
		if l.alive.IsZero() {
			day = dayOf(t.Since)
		}
		op := b.SetDeferred(tombstoneKeySize, 8)
		appendTombstoneKey(op.Key[:0], day, f.Partition, t.Token)
		binary.BigEndian.PutUint64(op.Value, uint64(t.Since.UnixMilli()))
		if err := op.Finish(); err != nil {
			return err
		}
	}
	if f.Watermark < 0 {
		return nil
	}
	op := b.SetDeferred(progressKeySize, 8)
	appendProgressKey(op.Key[:0], f.Partition)
	binary.BigEndian.PutUint64(op.Value, uint64(f.Watermark))
	return op.Finish()
}

// addRecord puts one partition's outcomes into the batch, as one record.
func (l *Ledger) addRecord(b *pebble.Batch, partition int32, outcomes []Outcome) error {
	newest := outcomes[0].At
	for i := range outcomes {
		if outcomes[i].At.After(newest) {
			newest = outcomes[i].At
		}
	}
	l.dedupe.pass(newest)
	if !l.wrote || newest.After(l.alive) {
		l.alive = newest
	}
	l.wrote = true
	l.places = sortPlaces(l.places, outcomes)
	op := b.SetDeferred(journalKeySize, recordSize(len(outcomes)))
	appendJournalKey(op.Key[:0], minuteOf(newest), partition, l.sequence)
	encodeRecord(op.Value, outcomes, l.places)
	l.sequence++
	return op.Finish()
}

// setLast writes where a process that opens the ledger next goes on.
func (l *Ledger) setLast(b *pebble.Batch) error {
	op := b.SetDeferred(len(lastKey), 16)
	copy(op.Key, lastKey)
	binary.BigEndian.PutUint64(op.Value, l.sequence)
	binary.BigEndian.PutUint64(op.Value[8:], uint64(l.alive.UnixMilli()))
	return op.Finish()
}

func (l *Ledger) count(flushes []Flush) {
	var n [kinds]int
	for i := range flushes {
		for j := range flushes[i].Outcomes {
			if k := flushes[i].Outcomes[j].Kind; k < kinds {
				n[k]++
			}
		}
	}
	for k := Accepted; k < kinds; k++ {
		l.metrics.outcomes[k].Add(float64(n[k]))
	}
}
