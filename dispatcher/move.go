package dispatcher

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"pushd/queue"
	"pushd/store"
)

// Where retry.durability was switched, the wakes that wait are moved at the start, before anything else can change them:
// first they are stored in the new place, then taken out of the old one. A process that ends in between leaves them in both,
// and the next one moves them again.

// moveOut brings wakes that the ledger has, from a time when retry.durability was local, to the topic of parked wakes. They
// have no position of their own; theirs has no topic, and their hash for an offset.
func (e *Engine) moveOut(ctx context.Context) error {
	partitions, err := e.deps.Ledger.Partitions()
	if err != nil {
		return fmt.Errorf("list the partitions with waiting wakes: %w", err)
	}
	for _, p := range partitions {
		restored, err := e.deps.Ledger.Partition(p)
		if err != nil {
			return fmt.Errorf("read what the ledger kept of partition %d: %w", p, err)
		}
		messages := make([]queue.Message, len(restored.Waiting))
		moved := store.Flush{Partition: p, Watermark: -1}
		for i, w := range restored.Waiting {
			at := queue.Position{Partition: p, Offset: int64(w.Device >> 1)}
			messages[i] = queue.Message{Topic: e.cfg.Retry.Topic, Partition: &p, Key: []byte(at.String()), Value: sealRecord(w.Data)}
			moved.Delete = append(moved.Delete, w.Device)
		}
		if err := e.published(ctx, messages); err != nil {
			return fmt.Errorf("move %d waiting wakes of partition %d to %s: %w", len(messages), p, e.cfg.Retry.Topic, err)
		}
		if err := e.deps.Ledger.Write([]store.Flush{moved}); err != nil {
			return err
		}
		e.deps.Logger.Info("waiting wakes were moved from the ledger to the topic of parked wakes", "partition", p, "wakes", len(messages))
	}
	return nil
}

// moveIn brings wakes that the topic of parked wakes has, from a time when retry.durability was replicated, to the ledger. Where
// the topic cannot be read that is no reason to stand still: this user may have no right to a topic that was never used.
func (e *Engine) moveIn(ctx context.Context) error {
	if e.deps.Left == nil {
		return nil
	}
	records, err := e.deps.Left(ctx)
	if err != nil {
		e.deps.Logger.Warn("it cannot be seen whether wakes are parked in the topic of a time when retry.durability was replicated; if so they wait until the next start",
			"topic", e.cfg.Retry.Topic, "error", err, "mend", "if that was ever so, let this user Read and Write the topic and start again; else delete it")
		return nil
	}
	left := make(map[int32][]queue.Record)
	for _, r := range records {
		left[r.Partition] = append(left[r.Partition], r)
	}
	for _, p := range slices.Sorted(maps.Keys(left)) {
		if err := e.moveInOf(ctx, p, storedIn(left[p])); err != nil {
			return fmt.Errorf("move %d waiting wakes of partition %d from %s to the ledger: %w", len(left[p]), p, e.cfg.Retry.Topic, err)
		}
	}
	return nil
}

// moveInOf moves the wakes of one partition. Of a device that has more than one record, or a wake in the ledger too, the one
// with the newest event stands for all.
func (e *Engine) moveInOf(ctx context.Context, p int32, records []Stored) error {
	restored, err := e.deps.Ledger.Partition(p)
	if err != nil {
		return err
	}
	have := make(map[store.Device]parkedWake)
	for _, w := range restored.Waiting {
		if have[w.Device], err = decodeParked(w.Data); err != nil {
			return fmt.Errorf("waiting wake %016x: %w", w.Device, err)
		}
	}
	newest := make(map[store.Device][]byte)
	var tombstones []queue.Message
	for _, r := range records {
		w, err := openRecord(r.Data)
		if err != nil {
			e.deps.Logger.Error("a record of a parked wake cannot be read; it stays in the topic", "topic", e.cfg.Retry.Topic, "error", &damagedRecord{r.At, err})
			continue
		}
		d := e.env.Identify.Device(w.Tenant, w.Device)
		other, known := have[d]
		for known && (other.Tenant != w.Tenant || other.Device != w.Device) { // of the same identity, as in core.device
			d++
			other, known = have[d]
		}
		if !known || w.Newest.After(other.Newest) {
			have[d], newest[d] = w, r.Data[recordSum:]
		}
		tombstones = append(tombstones, queue.Message{Topic: e.cfg.Retry.Topic, Partition: &p, Key: []byte(r.At.String())})
	}
	moved := store.Flush{Partition: p, Watermark: -1}
	for _, d := range slices.Sorted(maps.Keys(newest)) {
		moved.Put = append(moved.Put, store.Waiting{Device: d, Data: newest[d]})
	}
	if err := e.deps.Ledger.Write([]store.Flush{moved}); err != nil {
		return err
	}
	if err := e.published(ctx, tombstones); err != nil {
		return err
	}
	e.deps.Logger.Info("parked wakes were moved from their topic to the ledger", "partition", p, "wakes", len(moved.Put))
	return nil
}

// published publishes messages and waits until they are acknowledged, or ctx ends.
func (e *Engine) published(ctx context.Context, messages []queue.Message) error {
	if len(messages) == 0 {
		return nil
	}
	done := make(chan struct{})
	e.publisher.Publish(messages, func() { close(done) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
