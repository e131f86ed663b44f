package http2

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestStreamsAreAMap holds the table against a map, through openings, closings in any order, and shrinking.
func TestStreamsAreAMap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		table, model := streams{next: 1}, make(map[uint32]int)
		most := 1 + r.IntN(300)
		before := uint32(0)
		for n := range 3000 {
			switch {
			case len(model) < most && r.IntN(2) == 0:
				st := table.open(job{Request: &Request{N: n}}, 0, 7)
				if st.id%2 == 0 || st.id <= before || st.window != 7 || st.sent != 0 || st.status != 0 {
					t.Fatalf("seed %d: stream %+v after %d", seed, st, before)
				}
				before = st.id
				model[st.id] = n
			case len(model) > 0:
				ids := slices.Sorted(maps.Keys(model))
				id := ids[len(ids)-1]
				if r.IntN(4) != 0 { // the eldest last for long, as those do that are not answered
					id = ids[len(ids)/2+r.IntN(len(ids)-len(ids)/2)]
				}
				table.close(table.find(id))
				delete(model, id)
			default:
				table.shrink()
			}
			if table.n != len(model) || len(table.places) > 4*max(most, minPlaces) {
				t.Fatalf("seed %d: %d streams in %d places, want %d", seed, table.n, len(table.places), len(model))
			}
			if n%50 == 0 {
				table.matches(t, model)
			}
		}
		table.matches(t, model)
	}
}

// matches demands the streams of a map, and no others.
func (s *streams) matches(t *testing.T, model map[uint32]int) {
	t.Helper()
	for id, n := range model {
		if st := s.find(id); st == nil || st.id != id || st.N != n {
			t.Fatalf("stream %d is %+v", id, st)
		}
	}
	for id := uint32(0); id < s.next+2; id++ {
		if _, open := model[id]; !open && s.find(id) != nil {
			t.Fatalf("stream %d is there", id)
		}
	}
}

// TestFewIdsAreLeftOut although some streams last: the table is at most half full.
func TestFewIdsAreLeftOut(t *testing.T) {
	t.Parallel()
	table := streams{next: 1}
	for range 100 { // that last
		table.open(job{}, 0, 0)
	}
	const opened = 100_000
	for range opened {
		table.close(table.open(job{}, 0, 0))
	}
	if used := int(table.next / 2); used > 2*opened {
		t.Errorf("%d ids are used for %d streams", used, opened)
	}
}

// TestTheRingIsAQueue holds it against a slice.
func TestTheRingIsAQueue(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		var ring ring
		var model []int
		for n := range 5000 {
			burst := 1 + r.IntN(1+n%40)
			switch r.IntN(4) {
			case 0:
				for range burst {
					ring.push(job{tries: n})
					model = append(model, n)
				}
			case 1:
				ring.shrink()
				ring.pushFront(job{tries: n})
				model = slices.Insert(model, 0, n)
			default:
				for range min(burst, len(model)) {
					front := ring.front().tries
					if j := ring.pop(); j.tries != model[0] || front != model[0] {
						t.Fatalf("seed %d: %d and %d are in front, want %d", seed, front, j.tries, model[0])
					}
					model = model[1:]
				}
			}
			if ring.n != len(model) {
				t.Fatalf("seed %d: %d jobs, want %d", seed, ring.n, len(model))
			}
		}
		for range model {
			ring.pop()
		}
		if len(ring.jobs) > ringKept {
			t.Errorf("an empty ring keeps %d places", len(ring.jobs))
		}
		for _, j := range ring.jobs {
			if j != (job{}) {
				t.Fatal("an empty ring holds a job")
			}
		}
	}
}
