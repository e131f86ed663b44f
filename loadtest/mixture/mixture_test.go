package mixture

import (
	"bytes"
	"testing"
	"time"

	"pushd/queue/event"
)

func TestTheSameSeedMakesTheSameMixture(t *testing.T) {
	t.Parallel()
	a, b := New(Config{Events: 2000, Tenants: 7, Seed: 3}), New(Config{Events: 2000, Tenants: 7, Seed: 3})
	if len(a.Records) != 2000 || len(b.Records) != 2000 {
		t.Fatalf("%d and %d records, not 2000", len(a.Records), len(b.Records))
	}
	for i := range a.Records {
		if a.Records[i].ID != b.Records[i].ID || !bytes.Equal(a.Records[i].Key, b.Records[i].Key) {
			t.Fatalf("record %d differs: %s and %s", i, a.Records[i].ID, b.Records[i].ID)
		}
	}
}

func TestEveryRecordIsWhatItIsWantedAs(t *testing.T) {
	t.Parallel()
	m := New(Config{Events: 20_000, Tenants: 50, Seed: 1})
	seen := map[Want]int{}
	for _, r := range m.Records {
		seen[r.Want]++
		e, err := event.Decode(r.Key, r.Value, nil, time.Now())
		if (err != nil) != (r.Want == Garbage) {
			t.Fatalf("%s, wanted as %d: %v", r.ID, r.Want, err)
		}
		if err == nil && (m.Faults[e.Token] == DeadToken) != (r.Want == Dead) && r.Want != Duplicate {
			t.Fatalf("%s is wanted as %d, its token's fault is %d", r.ID, r.Want, m.Faults[e.Token])
		}
	}
	for want := Push; want <= Duplicate; want++ {
		if seen[want] == 0 {
			t.Errorf("no record is wanted as %d", want)
		}
	}
}
