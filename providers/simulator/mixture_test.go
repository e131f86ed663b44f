package simulator

import (
	"math"
	"strconv"
	"testing"
)

func TestMixtureKeepsItsSharesAndItsWord(t *testing.T) {
	t.Parallel()
	m := Mixture{
		Seed: 7, DeadShare: 0.1, Dead: Answer{Reason: "Unregistered"},
		Faults: []Fault{{0.2, Answer{Reason: "ServiceUnavailable"}}, {0.05, Answer{Silent: true}}},
	}
	const n = 100_000
	seen := map[string]int{}
	for i := range n {
		r := Request{Token: strconv.Itoa(i)}
		first := m.Answer(r)
		if again := m.Answer(r); again.String() != first.String() {
			t.Fatal("the same request got another answer")
		}
		if dead := first.Reason == "Unregistered"; dead != m.IsDead(r.Token) {
			t.Fatal("IsDead is not what Answer does")
		}
		seen[first.String()]++
	}
	for name, share := range map[string]float64{
		"0 Unregistered": 0.1, "0 ServiceUnavailable": 0.9 * 0.2, "silent": 0.9 * 0.05, "0": 0.9 * 0.75,
	} {
		if got := float64(seen[name]) / n; math.Abs(got-share) > 0.01 {
			t.Errorf("%s: share %.3f, want %.3f (%v)", name, got, share, seen)
		}
	}
	later := 0
	for i := range n {
		r := Request{Token: strconv.Itoa(i)}
		first := m.Answer(r)
		r.Attempt = 1
		if first.Reason == "ServiceUnavailable" && m.Answer(r).Reason == "" {
			later++
		}
	}
	if later == 0 {
		t.Error("a second attempt never fares better")
	}
}
