package promise

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// courseDigits is the precision of a course, a percent: enough for a plot, and an eighth of the memory of three digits.
	courseDigits = 2
	// steps is how many a course has at most, as many as a plot can show.
	steps = 600
)

// Step is how long the steps of a run's course are: a second or, in a long run, several.
func Step(longest time.Duration) time.Duration {
	return (longest / steps).Truncate(time.Second) + time.Second
}

// course is the latencies over the time of the run. An event counts where it was due, not where its push came: a stall shows
// where it began, and as long as it was.
type course struct {
	begin func() time.Time
	step  time.Duration

	mu    sync.Mutex // guards steps
	steps []*hdrhistogram.Histogram
}

func newCourse(begin func() time.Time, longest time.Duration) *course {
	step := Step(longest)
	return &course{begin: begin, step: step, steps: make([]*hdrhistogram.Histogram, int(longest/step)+1)}
}

func (c *course) record(due time.Time, latency time.Duration) {
	n := int(max(0, due.Sub(c.begin())) / c.step)
	if n >= len(c.steps) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.steps[n] == nil {
		c.steps[n] = hdrhistogram.New(1, longest.Microseconds(), courseDigits)
	}
	Record(c.steps[n], latency)
}

// Course is the latencies of the events that were due from one step to before another.
func (c *course) Course(from, to int) *hdrhistogram.Histogram {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := hdrhistogram.New(1, longest.Microseconds(), courseDigits)
	for _, h := range c.steps[min(from, len(c.steps)):min(to, len(c.steps))] {
		if h != nil {
			sum.Merge(h)
		}
	}
	return sum
}
