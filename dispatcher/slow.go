package dispatcher

import (
	"sync/atomic"
	"time"

	"pushd/queue"
)

// slowFor is for how long a lane, or a gate, counts as slow after it last was found so; and how long it takes to find out.
const slowFor = time.Second

// slow tells a lane that is held back (by a limit, a wait that the provider asked for, or answers that take long) from one
// that goes as fast as this machine does. Only the first can crowd others out of a window: of the second, working off a
// backlog, the sooner all is sent the better, and parking would only cost.
//
// The goroutine of the gate writes it; shards ask.
type slow struct {
	last atomic.Int64 // when it last was; nanoseconds since 1970
	full atomic.Int64 // since when as many pushes are under way as may be; 0 where fewer are

	answers  int // since measured
	measured time.Time
}

// hold notes that the lane, or the gate, is held back until then.
func (s *slow) hold(until time.Time) { s.last.Store(until.UnixNano()) }

// slowBelow is how many answers a second bring a full lane on, a quarter of a window: with fewer, who is behind it waits for
// seconds, and parking its wakes costs less than that.
const slowBelow = queue.WindowSize / 4

// fill notes that as many pushes are under way as may be. That is slow where the answers come slowly.
func (s *slow) fill(now time.Time) {
	s.full.CompareAndSwap(0, now.UnixNano())
	past := now.Sub(s.measured)
	if past < slowFor {
		return
	}
	if float64(s.answers) < slowBelow*past.Seconds() && !s.measured.IsZero() {
		s.hold(now)
	}
	s.answers, s.measured = 0, now
}

// answered takes the number of answers that came.
func (s *slow) answered(n int) {
	s.answers += n
	s.full.Store(0)
}

// isFull says whether as many pushes are under way as may be.
func (s *slow) isFull() bool { return s.full.Load() != 0 }

// is says whether it is so now.
func (s *slow) is(now time.Time) bool {
	full := s.full.Load()
	return now.UnixNano()-s.last.Load() < int64(slowFor) || full != 0 && now.UnixNano()-full >= int64(slowFor)
}
