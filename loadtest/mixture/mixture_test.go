package mixture

import (
	"bytes"
	"slices"
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

func TestOnceIsOneCommandForEachDevice(t *testing.T) {
	t.Parallel()
	commands := map[string]int{}
	for _, r := range New(Config{Events: 2000, Tenants: 7, Seed: 3, Once: true}).Records {
		if r.Want != Duplicate {
			commands[r.Device]++
		}
	}
	for device, n := range commands {
		if n != 1 {
			t.Errorf("%s gets %d commands", device, n)
		}
	}
}

func TestEveryRecordIsWhatItIsWantedAs(t *testing.T) {
	t.Parallel()
	m := New(Config{Events: 20_000, Tenants: 50, Seed: 1, Noise: .4})
	seen := map[Want]int{}
	for _, r := range slices.Concat(m.Records, slices.Concat(m.Bursts...)) {
		seen[r.Want]++
		e, err := event.Decode(r.Key, r.Value, nil, time.Now())
		if (err != nil) != (r.Want == Garbage) {
			t.Fatalf("%s, wanted as %d: %v", r.ID, r.Want, err)
		}
		if err == nil && (e.Tenant != r.Tenant() || e.Provider != r.Provider) {
			t.Fatalf("%s is of %s at %s, not of %s at %s", r.ID, e.Tenant, e.Provider, r.Tenant(), r.Provider)
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

func TestTheNoisyTenantPublishesItsPartInBurstsForAFleetOfItsOwn(t *testing.T) {
	t.Parallel()
	m := New(Config{Events: 20_000, Tenants: 50, Seed: 1, Noise: .4})
	quiet := New(Config{Events: 12_000, Tenants: 50, Seed: 1})
	if len(m.Records) != 12_000 || len(m.Bursts) != 2 || len(m.Bursts[0]) != 4000 || len(m.Bursts[1]) != 4000 {
		t.Fatalf("%d records, and %d bursts", len(m.Records), len(m.Bursts))
	}
	others := map[string]bool{}
	for i, r := range m.Records {
		others[r.Device] = true
		if r.ID != quiet.Records[i].ID {
			t.Fatalf("record %d is %s, without the noise it is %s", i, r.ID, quiet.Records[i].ID)
		}
	}
	ids := map[string]bool{}
	for _, r := range slices.Concat(m.Bursts...) {
		if r.Tenant() != m.Tenants[0].Name || others[r.Device] || ids[r.ID] {
			t.Fatalf("%s, of %s, is not the noisy tenant's, or not new", r.ID, r.Device)
		}
		ids[r.ID] = true
	}
}
