package promise

import (
	"testing"
	"time"
)

func TestACourseShowsADelayWhereItsEventWasDue(t *testing.T) {
	t.Parallel()
	b := newBook(Device{}, Device{})
	b.Publish(0, 1, at(2), at(2))
	b.Publish(1, 2, at(30), at(30))
	b.Accepted(0, at(20))
	b.Accepted(1, at(31))
	for _, c := range []struct {
		from, to int
		events   int64
		most     time.Duration
	}{
		{2, 3, 1, 18 * time.Second}, {3, 30, 0, 0}, {30, 31, 1, time.Second}, {0, 100, 2, 18 * time.Second}, {100, 200, 0, 0},
	} {
		h := b.Course(c.from, c.to)
		if got := time.Duration(h.Max()) * time.Microsecond; h.TotalCount() != c.events || (got-c.most).Abs() > c.most/50 {
			t.Errorf("steps %d to %d: %d events, the longest %v", c.from, c.to, h.TotalCount(), got)
		}
	}
}

func TestTheStepsOfACourseAreFew(t *testing.T) {
	t.Parallel()
	for run, want := range map[time.Duration]time.Duration{time.Minute: time.Second, 9*time.Minute + 59*time.Second: time.Second, time.Hour: 7 * time.Second, 24 * time.Hour: 145 * time.Second} {
		if got := Step(run); got != want || run/got >= steps {
			t.Errorf("%v: %v", run, got)
		}
	}
}
