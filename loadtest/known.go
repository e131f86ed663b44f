package main

import (
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/store"
)

const (
	// maxKnown is how many devices a daemon may know at the start.
	maxKnown = 20_000_000
	// knownFlush is how many outcomes of a partition are written at a time.
	knownFlush = 20_000
)

// know writes the ledger of a daemon that has woken so many devices just now, so that nobody has to wait until it has: each is
// remembered by its last push, and by the id of the event that it was for. They are nobody's of the fleet, so none of the
// fleet's rests, but they take the memory that devices take.
func (r *run) know(devices int) (err error) {
	cfg := store.DefaultConfig()
	cfg.Dir, cfg.MergeInterval = r.ledger(), r.scenario.Interval
	ledger, err := store.Open(cfg, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		return fmt.Errorf("--known-devices: %w", err)
	}
	defer func() {
		if closing := ledger.Close(); err == nil {
			err = closing
		}
	}()
	partitions := r.scenario.Partitions
	for n := 0; n < devices; {
		flushes := make([]store.Flush, partitions)
		for p := range flushes {
			flushes[p] = store.Flush{Partition: int32(p), Watermark: -1}
			for ; len(flushes[p].Outcomes) < knownFlush && n < devices; n++ {
				name := strconv.Itoa(n)
				d := ledger.Device("known", name)
				flushes[p].Outcomes = append(flushes[p].Outcomes, store.Outcome{Device: d, Event: ledger.EventID(d, name), Kind: store.Accepted, At: time.Now()})
			}
		}
		if err := ledger.Write(flushes); err != nil {
			return fmt.Errorf("--known-devices: %w", err)
		}
	}
	return nil
}
