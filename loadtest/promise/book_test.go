package promise

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pushd/loadtest/audit"
	"pushd/loadtest/mixture"
	"pushd/queue/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

func newBook(devices ...Device) *Book {
	b := New(Config{Interval: 30 * time.Second, Fleet: devices, Classes: 2, Lanes: 2, Longest: time.Minute})
	b.Begin(t0)
	return b
}

func TestOnlyAPushAfterTheEventKeepsItsPromise(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pushes []int // seconds; the events are at 0 and 10
		open   int
		extra  int
	}{
		"no push":                    {nil, 2, 0},
		"between the events":         {[]int{5}, 1, 0},
		"after both":                 {[]int{11}, 0, 0},
		"one for each":               {[]int{5, 40}, 0, 0},
		"too soon after one another": {[]int{5, 11}, 0, 1},
		"more pushes than events":    {[]int{5, 40, 80}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBook(Device{})
			for second := range 100 {
				if second == 0 || second == 10 {
					b.Publish(0, int64(second), at(second), at(second))
				}
				if slices.Contains(c.pushes, second) {
					b.Accepted(0, at(second))
				}
			}
			if b.Open() != c.open || b.Extra() != c.extra || len(b.Lost()) != c.open {
				t.Errorf("%d open, %v lost, %d extra; want %d, %d", b.Open(), b.Lost(), b.Extra(), c.open, c.extra)
			}
		})
	}
}

func TestAPushBeforeItsEventIsTooMuch(t *testing.T) {
	t.Parallel()
	b := newBook(Device{})
	b.Accepted(0, at(0))
	b.Publish(0, 1, at(1), at(1))
	if b.Open() != 1 || b.Extra() != 1 {
		t.Errorf("%d open, %d extra, want 1 and 1", b.Open(), b.Extra())
	}
}

func TestAPushIsToldWhenItIsAnsweredAndCountsFromWhenItWasReceived(t *testing.T) {
	t.Parallel()
	b := newBook(Device{})
	b.Publish(0, 1, at(0), at(0))
	b.Publish(0, 2, at(5), at(5))
	b.Accepted(0, at(4)) // told at 6
	if lost := b.Lost(); !slices.Equal(lost, []int64{2}) {
		t.Errorf("%v lost, want 2", lost)
	}
}

func TestADeadTokenIsToBeReportedAfterItsEvent(t *testing.T) {
	t.Parallel()
	b := newBook(Device{Dead: true}, Device{})
	for n := range 2 {
		b.Publish(n, int64(n), at(10), at(10))
	}
	b.Dead(0, at(9)) // of an earlier event
	if b.Open() != 2 || b.FalselyDead() != 0 {
		t.Fatalf("%d open, %d falsely dead; want 2, 0", b.Open(), b.FalselyDead())
	}
	b.Dead(0, at(11))
	if b.Open() != 1 {
		t.Errorf("%d open, want 1", b.Open())
	}
	b.Dead(1, at(11)) // its token is not dead
	if b.Open() != 1 || b.FalselyDead() != 1 {
		t.Errorf("%d open, %d falsely dead; want 1 and 1", b.Open(), b.FalselyDead())
	}
}

func TestAPromiseIsWithdrawnWithItsEvent(t *testing.T) {
	t.Parallel()
	b := newBook(Device{})
	b.Publish(0, 1, at(0), at(0))
	b.Publish(0, 2, at(1), at(1))
	b.Withdraw(0, 1)
	b.Withdraw(0, 1)
	if lost := b.Lost(); !slices.Equal(lost, []int64{2}) || b.Open() != 1 {
		t.Errorf("%v lost, %d open", lost, b.Open())
	}
}

func TestLatencyCountsFromTheIntendedTimeOrFromTheEndOfTheRest(t *testing.T) {
	t.Parallel()
	b := newBook(Device{Class: 1})
	for _, c := range []struct{ due, at, pushed, want int }{ // each takes longer than the ones before
		{0, 3, 4, 4},        // the publisher was late
		{10, 10, 40, 6},     // it rested until 34
		{41, 41, 120, 50},   // it rested until 70, and trails far too late
		{200, 200, 260, 60}, // it rested no more
	} {
		b.Publish(0, int64(c.at), at(c.due), at(c.at))
		b.Accepted(0, at(c.pushed))
		h := b.Latency(func(class int) bool { return class == 1 })
		if got := (time.Duration(h.Max()) * time.Microsecond).Round(100 * time.Millisecond); got != time.Duration(c.want)*time.Second {
			t.Errorf("published at %d, pushed at %d: it took %v, want %d s", c.at, c.pushed, got, c.want)
		}
	}
	if h := b.Latency(func(class int) bool { return class == 0 }); h.TotalCount() != 0 {
		t.Error("it counts for another class")
	}
}

func TestTheTimelineHasEachSecondOfEachLane(t *testing.T) {
	t.Parallel()
	b := newBook(Device{Lane: 1})
	for _, second := range []int{-1, 0, 5, 5, 59, 500} {
		b.Accepted(0, at(second))
	}
	for _, c := range []struct{ lane, from, to, want int }{
		{1, 0, 1, 1}, {1, 5, 6, 2}, {1, 0, 60, 4}, {1, 0, 1000, 4}, {0, 0, 60, 0}, {1, 6, 59, 0},
	} {
		if got := b.Pushes(c.lane, c.from, c.to); got != c.want {
			t.Errorf("lane %d, %d to %d: %d pushes, want %d", c.lane, c.from, c.to, got, c.want)
		}
	}
}

func TestTheBookFindsLostWhatTheAuditFindsLost(t *testing.T) {
	t.Parallel()
	losses := 0
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		devices := []Device{{}, {}, {Dead: true}}
		b, a := newBook(devices...), audit.New()
		pushes := make(map[string][]time.Time)
		for second := range 60 {
			n := rng.IntN(len(devices))
			token := strconv.Itoa(n)
			switch {
			case rng.IntN(2) == 0:
				want := mixture.Push
				if devices[n].Dead {
					want = mixture.Dead
				}
				b.Publish(n, int64(second), at(second), at(second))
				a.Publish([]mixture.Record{{Want: want, ID: strconv.Itoa(second), Device: "a/" + token, Token: token}}, at(second))
			case devices[n].Dead:
				b.Dead(n, at(second))
				a.Feedback(event.Feedback{Outcome: event.TokenDead, Tenant: "a", Device: token, ObservedAt: at(second)})
			default:
				b.Accepted(n, at(second))
				pushes[token] = append(pushes[token], at(second))
			}
		}
		v := a.Check(func(token string) []time.Time { return pushes[token] }, 30*time.Second)
		var lost []string
		for _, number := range b.Lost() {
			lost = append(lost, fmt.Sprint(number))
		}
		slices.Sort(lost)
		slices.Sort(v.Lost)
		if !slices.Equal(lost, v.Lost) || len(lost) != b.Open() {
			t.Fatalf("seed %d: lost %v, open %d; the audit says %v", seed, lost, b.Open(), v.Lost)
		}
		losses += len(lost)
	}
	if losses == 0 {
		t.Error("nothing was lost in any history: they prove nothing")
	}
}

func TestWhatWasPublishedBeforeTheRunWaitsFromItsBegin(t *testing.T) {
	t.Parallel()
	b := New(Config{Interval: time.Second, Fleet: []Device{{}}, Classes: 1, Lanes: 1, Longest: time.Minute})
	b.Publish(0, 1, at(0), at(0))
	b.Publish(0, 2, at(0), at(0))
	b.Begin(at(100))
	b.Accepted(0, at(103))
	b.Accepted(0, at(107)) // it trails by the second event, and is no later than the others are slow
	h := b.Latency(func(int) bool { return true })
	if got := time.Duration(h.Max()) * time.Microsecond; got.Round(100*time.Millisecond) != 3*time.Second || b.Course(0, 1).TotalCount() != 2 || b.Open() != 0 || b.Extra() != 0 {
		t.Errorf("%v, %d in the first step, %d open, %d extra", got, b.Course(0, 1).TotalCount(), b.Open(), b.Extra())
	}
}

func TestALatencyFromTheAcknowledgementLeavesOutTheBrokersPart(t *testing.T) {
	t.Parallel()
	b := newBook(Device{}, Device{})
	for n := range 2 {
		b.Publish(n, int64(n), at(0), at(0))
	}
	b.Acknowledged(0, 0, at(3))
	b.Accepted(0, at(5))
	b.Accepted(1, at(5)) // before the news of its acknowledgement
	b.Acknowledged(1, 1, at(6))
	h := b.Settled()
	if h.TotalCount() != 2 || h.Min() > 1 || h.Max() < 1_990_000 || h.Max() > 2_010_000 {
		t.Errorf("%d latencies from %d to %d us, not one of none and one of 2 s", h.TotalCount(), h.Min(), h.Max())
	}
}
