package promise

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// timeline is how many pushes were accepted, by lane and second.
type timeline struct {
	start   atomic.Int64 // of second 0, in nanoseconds since 1970; 0 until it is known
	seconds int
	lanes   []atomic.Uint32 // seconds of lane 0, seconds of lane 1, …
}

func newTimeline(lanes int, longest time.Duration) *timeline {
	seconds := secondsOf(longest)
	return &timeline{seconds: seconds, lanes: make([]atomic.Uint32, lanes*seconds)}
}

func secondsOf(longest time.Duration) int { return int(longest/time.Second) + 1 }

// TimelineBytes is the memory that the timeline of a Book takes. Its maker has to bound it: a rate is expected from one second
// to another, so seconds cannot be put together where there are many.
func TimelineBytes(lanes int, longest time.Duration) int {
	return lanes * secondsOf(longest) * int(unsafe.Sizeof(atomic.Uint32{}))
}

// Begin says when second 0 begins.
func (t *timeline) Begin(at time.Time) { t.start.Store(at.UnixNano()) }

func (t *timeline) begin() time.Time { return time.Unix(0, t.start.Load()) }

func (t *timeline) count(lane int, at time.Time) {
	if second := int(time.Duration(at.UnixNano()-t.start.Load()) / time.Second); second >= 0 && second < t.seconds {
		t.lanes[lane*t.seconds+second].Add(1)
	}
}

// Pushes is how many pushes of a lane were accepted from one second to before another.
func (t *timeline) Pushes(lane, from, to int) int {
	sum := 0
	for second := max(0, from); second < min(to, t.seconds); second++ {
		sum += int(t.lanes[lane*t.seconds+second].Load())
	}
	return sum
}
