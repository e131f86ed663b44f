package audit

import (
	"testing"
	"time"

	"pushd/loadtest/mixture"
	"pushd/queue/event"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

func TestOnlyAPushAfterTheEventSatisfiesIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		receipts []time.Time
		lost     int
		extra    int
	}{
		"no push":                    {nil, 2, 0},
		"only before":                {[]time.Time{at(-1)}, 2, 0},
		"between the events":         {[]time.Time{at(5)}, 1, 0},
		"after both":                 {[]time.Time{at(11)}, 0, 0},
		"one for each":               {[]time.Time{at(5), at(40)}, 0, 0},
		"too soon after one another": {[]time.Time{at(5), at(11)}, 0, 1},
		"more pushes than events":    {[]time.Time{at(5), at(40), at(80)}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := New()
			a.Publish([]mixture.Record{{Want: mixture.Push, ID: "1", Device: "a/d", Token: "t"}}, at(0))
			a.Publish([]mixture.Record{{Want: mixture.Push, ID: "2", Device: "a/d", Token: "t"}}, at(10))
			v := a.Check(func(string) []time.Time { return c.receipts }, 30*time.Second)
			if len(v.Lost) != c.lost || v.Extra != c.extra {
				t.Errorf("lost %v, extra %d; want %d, %d", v.Lost, v.Extra, c.lost, c.extra)
			}
			if pending := a.Pending(func(string) []time.Time { return c.receipts }); pending != c.lost {
				t.Errorf("%d pending, want %d", pending, c.lost)
			}
		})
	}
}

func TestFeedbackAndDeadLettersSatisfyOnlyWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	none := func(string) []time.Time { return nil }
	a := New()
	a.Publish([]mixture.Record{
		{Want: mixture.Dead, ID: "dead", Device: "a/d1", Token: "t1"},
		{Want: mixture.Expired, ID: "expired", Device: "a/d2", Token: "t2"},
		{Want: mixture.Garbage, ID: "garbage", Device: "a/g", Key: []byte("a/g")},
		{Want: mixture.Duplicate, ID: "dead", Device: "a/d1", Token: "t1"},
	}, at(10))
	a.Feedback(event.Feedback{Outcome: event.TokenDead, Tenant: "a", Device: "d1", ObservedAt: at(9)}) // of an earlier event
	a.Feedback(event.Feedback{Outcome: event.TokenDead, Tenant: "a", Device: "d2", ObservedAt: at(11)})
	if n := a.Pending(none); n != 3 {
		t.Fatalf("%d pending, want 3", n)
	}
	a.Feedback(event.Feedback{Outcome: event.TokenDead, Tenant: "a", Device: "d1", ObservedAt: at(11)})
	a.Feedback(event.Feedback{Outcome: event.Expired, Tenant: "a", Device: "d2", ObservedAt: at(11)})
	a.DeadLetter([]byte("a/g"))
	if v := a.Check(none, time.Second); len(v.Lost) != 0 || v.Feedbacks != 4 || v.Letters != 1 {
		t.Fatalf("%+v", v)
	}
}
