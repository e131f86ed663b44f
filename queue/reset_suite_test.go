package queue

import (
	"strings"
	"testing"
	"time"
)

// resets runs a consumer for each policy against a committed offset that does not exist, and publishes afterwards.
func resets(t *testing.T, p ground, committed int64, want map[Reset]string) {
	for policy, first := range want {
		cfg := p.cfg
		cfg.Group += "-" + string(policy)
		cfg.OutOfRange = policy
		ground{cfg, p.client}.commit(t, 0, committed)
		w := newWitness()
		m := w.run(t, "a", cfg)
		w.await(t, "it is noticed", func() bool { return w.logged("offset is out of range") })
		if metric(t, m.reg, "pushd_offset_out_of_range_total") == 0 {
			t.Errorf("%s: it is not counted", policy)
		}
		if policy == Stop {
			w.await(t, "the others are owned", func() bool { return len(w.current("a")) == 3 && w.logged("partitions assigned") })
			if ready, why := m.Ready(); ready || !strings.Contains(why, "[0]") {
				t.Errorf("stop: ready %v, %q", ready, why)
			}
			m.stop()
			if got := (ground{cfg, p.client}).committed(t)[0]; got != committed {
				t.Errorf("stop: the committed offset has become %d", got)
			}
			continue
		}
		w.await(t, "four partitions are owned", func() bool { return len(w.current("a")) == 4 })
		p.produce(t, "after "+string(policy), 1, 0)
		w.await(t, "a record is taken", func() bool { return len(w.records) > 0 })
		m.stop()
		if got := string(w.records[0].Value); got != first {
			t.Errorf("%s: goes on at %s, want %s", policy, got, first)
		}
		for _, o := range w.owners {
			if got := (ground{cfg, p.client}).committed(t)[o.Partition]; got != o.window.Next() {
				t.Errorf("%s: partition %d is committed up to %d, want %d", policy, o.Partition, got, o.window.Next())
			}
		}
	}
}

func offsetBeyondTheEnd(t *testing.T, p ground) {
	p.produce(t, "old", 10, 0)
	resets(t, p, 1000, map[Reset]string{Earliest: "old-0", Latest: "after latest-0", Stop: ""})
}

func offsetBeforeTheBeginning(t *testing.T, p ground) {
	p.produce(t, "old", 10, 0)
	p.deleteRecords(t, 0, 5)
	resets(t, p, 2, map[Reset]string{Earliest: "old-5", Latest: "after latest-0", Stop: ""})
}

func retentionOvertakes(t *testing.T, p ground) {
	p.cfg.Fetch.MaxBytes = 4096
	const n, deleted = 6000, 5900
	for range n / 500 { // in many batches, of which a fetch has few
		p.produce(t, "x", 500, 0)
	}
	w := newWitness()
	w.paused[0] = true
	m := w.run(t, "a", p.cfg)
	w.await(t, "the partition is owned", func() bool { return len(w.current("a")) == 4 })
	p.deleteRecords(t, 0, deleted)
	w.update(func() { w.paused[0] = false })
	w.await(t, "the last record is taken", func() bool {
		return len(w.records) > 0 && w.records[len(w.records)-1].Offset == n-1
	})
	m.stop()
	if got := metric(t, m.reg, "pushd_offset_out_of_range_total"); got != 1 {
		t.Errorf("out of range %v times, want once", got)
	}
	if read, skipped := len(w.records), metric(t, m.reg, "pushd_events_skipped_total"); float64(read)+skipped != n {
		t.Errorf("%d records read and %v counted as skipped; there were %d", read, skipped, n)
	}
	if got := p.committed(t)[0]; got != n {
		t.Errorf("committed up to %d, want %d", got, n)
	}
}

func lagOfAPause(t *testing.T, p ground) {
	const n = maxBatch
	p.produce(t, "x", n, 0)
	w := newWitness()
	w.paused[0] = true
	m := w.run(t, "a", p.cfg)
	w.await(t, "the partition is owned", func() bool { return len(w.current("a")) == 4 })
	const more = 5000
	p.produce(t, "y", more, 0)
	for limit := deadline(t); metric(t, m.reg, "pushd_consumer_lag_events") != n+more; {
		select {
		case <-limit.Done():
			t.Fatalf("the lag is %v, and %d events were published before the pause and in it", metric(t, m.reg, "pushd_consumer_lag_events"), n+more)
		case <-time.After(50 * time.Millisecond): // a gauge tells nobody when it changes
		}
	}
	w.update(func() { w.paused[0] = false })
	w.await(t, "all is taken", func() bool { return len(w.records) == n+more })
	m.stop()
}

func latestIsRemembered(t *testing.T, p ground) {
	p.cfg.Start = Latest
	p.produce(t, "old", 40)
	w := newWitness()
	m := w.run(t, "a", p.cfg)
	w.await(t, "the partitions are owned", func() bool { return len(w.current("a")) == 4 })
	m.stop()
	p.produce(t, "meanwhile", 40)
	m = w.run(t, "b", p.cfg)
	w.await(t, "records are taken", func() bool { return len(w.records) == 40 })
	m.stop()
	if w.times()["meanwhile-0"] != 1 || w.times()["old-0"] != 0 {
		t.Errorf("taken: %v", w.times())
	}
}
