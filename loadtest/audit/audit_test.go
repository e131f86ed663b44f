package audit

import (
	"fmt"
	"slices"
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
			if last := len(c.receipts) - 1; c.extra > 0 && !slices.Equal(v.ExtraAt, c.receipts[last:]) {
				t.Errorf("too many at %v, want %v", v.ExtraAt, c.receipts[last:])
			}
			if pending := a.Pending(func(string) []time.Time { return c.receipts }); pending != c.lost {
				t.Errorf("%d pending, want %d", pending, c.lost)
			}
		})
	}
}

func TestAPushIsDueWhenItsEventIsPublishedOrTheDevicesRestIsOver(t *testing.T) {
	t.Parallel()
	a := New()
	for _, published := range []int{0, 10, 50, 100} {
		a.Publish([]mixture.Record{{Want: mixture.Push, ID: fmt.Sprint("published at ", published), Token: "t"}}, at(published))
	}
	// What came at 10 rested until 33, what came at 50 until 65. What came at 100 was pushed too soon, and is not late.
	receipts := []time.Time{at(3), at(35), at(99), at(101)}
	want := []time.Duration{3 * time.Second, 2 * time.Second, 34 * time.Second, 0}
	v := a.Check(func(string) []time.Time { return receipts }, 30*time.Second)
	if len(v.Latencies) != len(want) || !v.Last.Equal(at(101)) {
		t.Fatalf("%d latencies, the last push at %v", len(v.Latencies), v.Last)
	}
	for i, l := range v.Latencies {
		if took := l.Took(); took != want[i] {
			t.Errorf("what was %s took %v, want %v", l.ID, took, want[i])
		}
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
	if reason := a.Refused("a"); reason != "" {
		t.Fatalf("a credential is refused: %s", reason)
	}
	a.Feedback(event.Feedback{Outcome: event.CredentialRefused, Tenant: "a", Device: "d2", Reason: "BadCertificate", ObservedAt: at(11)})
	if reason := a.Refused("a"); reason != "BadCertificate" {
		t.Fatalf("a credential is refused: %q", reason)
	}
	a.DeadLetter([]byte("a/g"))
	if v := a.Check(none, time.Second); len(v.Lost) != 0 || v.Feedbacks != 5 || v.Letters != 1 {
		t.Fatalf("%+v", v)
	}
}
