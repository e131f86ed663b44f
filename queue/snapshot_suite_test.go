package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func (p ground) snapshot(t *testing.T) *Snapshot {
	t.Helper()
	s, err := OpenSnapshot(deadline(t), p.cfg, p.cfg.Topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// values reads a snapshot, and checks that offsets go up.
func values(t *testing.T, s *Snapshot) (all []string) {
	t.Helper()
	next := map[int32]int64{}
	err := s.Read(deadline(t), func(r Record) error {
		if r.Offset < next[r.Partition] {
			t.Errorf("partition %d: offset %d comes after %d", r.Partition, r.Offset, next[r.Partition]-1)
		}
		next[r.Partition] = r.Offset + 1
		all = append(all, string(r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func snapshotIsBounded(t *testing.T, p ground) {
	if got := values(t, p.snapshot(t)); len(got) != 0 {
		t.Errorf("an empty topic has %q", got)
	}
	p.cfg.Fetch.MaxBytes = 4096 // many fetches
	p.produce(t, "old", 2000)
	s := p.snapshot(t)
	p.produce(t, "new", 100)
	if got := values(t, s); len(got) != 2000 || s.Offsets() != 2000 {
		t.Errorf("%d records of %d offsets, want the 2000 of the moment it was opened", len(got), s.Offsets())
	}
	part := s.Part(2, 10, 20)
	if got := values(t, part); len(got) != 10 || got[0] != "old-42" {
		t.Errorf("offsets 10 to 20 of partition 2 are %q", got)
	}
	if got := values(t, s.Part(2, 490, 9999)); len(got) != 10 {
		t.Errorf("%d records behind offset 490, want the 10 that there were", len(got))
	}
	if got := values(t, s.Part(17, 0, 9)); len(got) != 0 {
		t.Errorf("a partition that does not exist has %q", got)
	}
	if len(p.committed(t)) != 0 {
		t.Error("a snapshot commits")
	}
}

func snapshotAfterRetention(t *testing.T, p ground) {
	p.produce(t, "v", 100, 0, 1)
	p.deleteRecords(t, 0, 20)
	s := p.snapshot(t)
	if first, end := s.Holds(0); first != 20 || end != 50 {
		t.Errorf("partition 0 holds %d to %d, want 20 to 50", first, end)
	}
	p.deleteRecords(t, 0, 40) // while it is open
	p.deleteRecords(t, 1, 50)
	if got := values(t, s); len(got) != 10 {
		t.Errorf("%d records, want the 10 that retention has left: %q", len(got), got)
	}
}

func snapshotEndsInAMarker(t *testing.T, p ground) {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.Brokers...), kgo.TransactionalID(p.cfg.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(deadline(t), &kgo.Record{Topic: p.cfg.Topic, Value: []byte("in a transaction")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(deadline(t), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	p.awaitEnd(t, 0, 2)
	s := p.snapshot(t)
	if got := values(t, s); len(got) != 1 || s.Offsets() != 2 {
		t.Errorf("%q of %d offsets, want one record and its marker", got, s.Offsets())
	}
}

func snapshotFails(t *testing.T, p ground) {
	_, err := OpenSnapshot(deadline(t), p.cfg, p.cfg.Topic+"-missing")
	if err == nil || !strings.Contains(err.Error(), p.cfg.Topic+"-missing") || !strings.Contains(err.Error(), "create the topic") {
		t.Errorf("of a missing topic it says %v", err)
	}
	p.produce(t, "v", 10)
	s := p.snapshot(t)
	mine := errors.New("mine")
	n := 0
	if err := s.Read(deadline(t), func(Record) error { n++; return mine }); err != mine || n != 1 {
		t.Errorf("after %d records: %v", n, err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(fmt.Errorf("told"))
	if err := s.Read(ctx, func(Record) error { return nil }); err == nil || err.Error() != "told" {
		t.Errorf("when it is told to end: %v", err)
	}
}
