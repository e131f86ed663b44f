package store

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func encoded(outcomes []Outcome) []byte {
	value := make([]byte, recordSize(len(outcomes)))
	encodeRecord(value, outcomes, sortPlaces(nil, outcomes))
	return value
}

func randomOutcomes(random *rand.Rand, n int) []Outcome {
	outcomes := make([]Outcome, n)
	for i := range outcomes {
		outcomes[i] = Outcome{
			Device: Device(random.Uint64N(uint64(n)/2 + 1)), Event: EventID(random.Uint64()), // several of one device
			Kind: Kind(random.IntN(int(kinds))), At: time.UnixMilli(random.Int64N(1<<50) - 1<<49),
		}
	}
	return outcomes
}

func TestEveryKindHasANameOfItsOwn(t *testing.T) {
	t.Parallel()
	names := map[string]Kind{}
	for k := Kind(1); k < kinds; k++ {
		name := k.String()
		if other, twice := names[name]; twice || name == "" || name == "unknown" || name != strings.ToLower(name) {
			t.Errorf("kind %d is %q, kind %d too", k, name, other)
		}
		names[name] = k
	}
	if Kind(0).String() != "unknown" || kinds.String() != "unknown" || Kind(255).String() != "unknown" {
		t.Error("a kind that is none has a name")
	}
}

func TestARecordGivesBackItsOutcomesByDeviceInTheirOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 100, 3000} {
		outcomes := randomOutcomes(random, n)
		r, err := openRecord(encoded(outcomes))
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(outcomes)
		slices.SortStableFunc(want, func(a, b Outcome) int { return int(a.Device) - int(b.Device) })
		oldest := want[0].At
		for i := range want {
			if got := r.outcome(i); got != want[i] {
				t.Fatalf("row %d of %d: %v, want %v", i, n, got, want[i])
			}
			if want[i].At.Before(oldest) {
				oldest = want[i].At
			}
		}
		if r.len() != n || !r.oldest().Equal(oldest) {
			t.Errorf("%d rows, oldest %v; want %d and %v", r.len(), r.oldest(), n, oldest)
		}
		for d := range Device(n) + 2 {
			first := slices.IndexFunc(want, func(o Outcome) bool { return o.Device >= d })
			if first < 0 {
				first = n
			}
			if got := r.find(d); got != first {
				t.Fatalf("device %d found at %d of %d, want %d", d, got, n, first)
			}
		}
	}
}

func TestADamagedRecordIsNoticedWhereverTheDamageIs(t *testing.T) {
	t.Parallel()
	value := encoded(randomOutcomes(rand.New(rand.NewPCG(3, 4)), 3))
	for i := range value {
		for _, flip := range []byte{1, 0x80, 0xff} {
			bad := bytes.Clone(value)
			bad[i] ^= flip
			if _, err := openRecord(bad); err == nil {
				t.Errorf("byte %d with %#x flipped passes", i, flip)
			}
		}
	}
	for n := range value {
		if _, err := openRecord(value[:n]); err == nil {
			t.Errorf("cut to %d bytes it passes", n)
		}
	}
}

func FuzzOpenRecord(f *testing.F) {
	random := rand.New(rand.NewPCG(5, 6))
	for n := 1; n < 4; n++ {
		f.Add(encoded(randomOutcomes(random, n)), false)
	}
	f.Add([]byte{}, true)
	f.Add(make([]byte, recordHeader+1), true)
	f.Fuzz(func(t *testing.T, value []byte, sealed bool) {
		if sealed && len(value) >= sealSize { // past the checksum, into what it guards
			value = bytes.Clone(value)
			seal(value)
		}
		r, err := openRecord(value)
		if err != nil {
			return
		}
		outcomes := make([]Outcome, r.len())
		for i := range outcomes {
			outcomes[i] = r.outcome(i)
			r.find(outcomes[i].Device)
		}
		r.find(1 << 63)
		if len(outcomes) == 0 || !slices.IsSortedFunc(outcomes, func(a, b Outcome) int {
			if a.Device < b.Device {
				return -1
			}
			return min(1, int(a.Device-b.Device))
		}) {
			return
		}
		again, err := openRecord(encoded(outcomes))
		if err != nil || !bytes.Equal(again[recordHeader:], r[recordHeader:]) {
			t.Fatalf("rows changed on the way: %x, then %x (%v)", r, again, err)
		}
	})
}

func TestKeysDecodeToWhatTheyWereAndSortByIt(t *testing.T) {
	t.Parallel()
	var before []byte
	for _, minute := range []uint32{0, 1, 255, 256, 1 << 31, 1<<32 - 1} {
		for _, partition := range []int32{0, 1, 256, 1<<31 - 1} {
			for _, sequence := range []uint64{0, 255, 1<<64 - 1} {
				key := appendJournalKey(nil, minute, partition, sequence)
				m, p, s, err := decodeJournalKey(key)
				if err != nil || m != minute || p != partition || s != sequence {
					t.Errorf("journal key of %d, %d, %d is of %d, %d, %d: %v", minute, partition, sequence, m, p, s, err)
				}
				if bytes.Compare(before, key) >= 0 {
					t.Errorf("%x is not before %x", before, key)
				}
				before = key
				day, p, token, err := decodeTombstoneKey(appendTombstoneKey(nil, minute, partition, Token(sequence)))
				if err != nil || day != minute || p != partition || token != Token(sequence) {
					t.Errorf("tombstone key of %d, %d, %d is of %d, %d, %d: %v", minute, partition, sequence, day, p, token, err)
				}
				p, d, err := decodeWaitingKey(appendWaitingKey(nil, partition, Device(sequence)))
				if err != nil || p != partition || d != Device(sequence) {
					t.Errorf("waiting key of %d, %d is of %d, %d: %v", partition, sequence, p, d, err)
				}
			}
		}
	}
	for _, bad := range [][]byte{nil, {journalPrefix}, make([]byte, journalKeySize), appendProgressKey(nil, 1)} {
		_, _, _, errJournal := decodeJournalKey(bad)
		_, _, _, errTombstone := decodeTombstoneKey(bad)
		_, _, errWaiting := decodeWaitingKey(bad)
		if errJournal == nil || errTombstone == nil || errWaiting == nil {
			t.Errorf("%x is taken for a key", bad)
		}
	}
}
