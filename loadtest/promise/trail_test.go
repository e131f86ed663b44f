package promise

import (
	"testing"
	"time"
)

func TestAPushIsJustifiedByWhatPushdMayHaveReadLateAndByNothingElse(t *testing.T) {
	t.Parallel()
	const event, push = true, false
	type step struct {
		at   time.Duration
		what bool
	}
	at := func(at time.Duration, what bool) step { return step{at, what} }
	ms, s := time.Millisecond, time.Second
	for name, c := range map[string]struct {
		slowest time.Duration // of another device's pushes, at the begin
		steps   []step
		extra   int
	}{
		"an event read while the push is under way": {0, []step{at(0, event), at(9*ms, event), at(10*ms, push), at(2030*ms, push)}, 0},
		"long after the device was clean":           {0, []step{at(0, event), at(ms, event), at(10*ms, push), at(5*s, push)}, 1},
		"as slow as the others":                     {4 * s, []step{at(0, event), at(ms, event), at(10*ms, push), at(5*s, push)}, 0},
		"as slow as the others were long ago":       {4 * s, []step{at(30*s, event), at(30*s+ms, event), at(30*s+10*ms, push), at(35*s, push)}, 1},
		"two that trail one another":                {0, []step{at(0, event), at(ms, event), at(2*ms, event), at(10*ms, push), at(2030*ms, push), at(4050*ms, push)}, 1},
		"two that trail where reading is slow":      {4 * s, []step{at(0, event), at(ms, event), at(2*ms, event), at(10*ms, push), at(2030*ms, push), at(4050*ms, push)}, 0},
		"a push begun when all was read long ago":   {0, []step{at(0, event), at(ms, event), at(3*s, push), at(5020*ms, push)}, 0}, // the first push says how slow it is
		"an old credit and a new event":             {0, []step{at(0, event), at(ms, event), at(10*ms, push), at(100*s, event), at(100_010*ms, push), at(102_030*ms, push)}, 1},
		"an old credit and new ones":                {0, []step{at(0, event), at(ms, event), at(10*ms, push), at(100*s, event), at(100*s, event), at(100_010*ms, push), at(102_030*ms, push), at(104_050*ms, push)}, 1},
		"an event in the rest, and one in flight":   {0, []step{at(0, event), at(10*ms, push), at(s, event), at(2025*ms, event), at(2030*ms, push), at(4050*ms, push)}, 0},
		"a credit that outlives its trailing push":  {0, []step{at(0, event), at(9*ms, event), at(10*ms, push), at(2025*ms, event), at(2030*ms, push), at(4050*ms, push)}, 0},
		"none without an event":                     {0, []step{at(0, event), at(10*ms, push), at(2030*ms, push)}, 1},
		"none sooner than the rest":                 {0, []step{at(0, event), at(9*ms, event), at(10*ms, push), at(s, push)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := New(Config{Interval: 2 * s, Fleet: []Device{{}, {}}, Classes: 1, Lanes: 1, Longest: time.Minute})
			b.Begin(t0)
			if c.slowest > 0 {
				b.Publish(1, -1, t0, t0)
				b.Accepted(1, t0.Add(c.slowest))
			}
			for i, step := range c.steps {
				when := t0.Add(step.at)
				if step.what == event {
					b.Publish(0, int64(i), when, when)
				} else {
					b.Accepted(0, when)
				}
			}
			if b.Extra() != c.extra || b.Open() != 0 {
				t.Errorf("%d extra, %d open; want %d and 0", b.Extra(), b.Open(), c.extra)
			}
		})
	}
}

func TestHowSlowOneGroupIsJustifiesNothingOfAnother(t *testing.T) {
	t.Parallel()
	b := New(Config{Interval: 2 * time.Second, Fleet: []Device{{}, {Class: 1}}, Classes: 2, Lanes: 1, Longest: time.Minute})
	b.Publish(1, 0, t0, t0)
	b.Accepted(1, at(50))
	b.Publish(0, 1, t0, t0)
	b.Publish(0, 2, t0, t0)
	b.Accepted(0, at(0))
	b.Accepted(0, at(20))
	if b.Extra() != 1 {
		t.Errorf("%d extra, want 1", b.Extra())
	}
}

func TestDoubtsBeyondTheirBoundAreJudgedAtOnce(t *testing.T) {
	t.Parallel()
	var d doubts
	fast := func(doubt) bool { return false }
	slow := func(doubt) bool { return true }
	for range maxDoubts {
		d.add(doubt{need: 2 * readWithin}, fast)
	}
	d.add(doubt{need: 2 * readWithin}, fast)
	d.add(doubt{need: 2 * readWithin}, slow)
	d.add(doubt{need: readWithin}, fast)
	if len(d.all) != maxDoubts || d.unjustified(slow) != 1 || d.unjustified(fast) != maxDoubts+1 {
		t.Errorf("%d doubts, %d and %d unjustified", len(d.all), d.unjustified(slow), d.unjustified(fast))
	}
}
