package promise

import (
	"slices"
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

	mu    sync.Mutex // guards what stands below
	steps []*hdrhistogram.Histogram
	worst [][]time.Duration // by class and step
}

func newCourse(begin func() time.Time, classes int, longest time.Duration) *course {
	step := Step(longest)
	c := &course{begin: begin, step: step, steps: make([]*hdrhistogram.Histogram, int(longest/step)+1)}
	for range classes {
		c.worst = append(c.worst, make([]time.Duration, len(c.steps)))
	}
	return c
}

func (c *course) record(class int, due time.Time, latency time.Duration) {
	n := c.of(due.Sub(c.begin()))
	if n >= len(c.steps) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.worst[class][n] = max(c.worst[class][n], latency)
	if c.steps[n] == nil {
		c.steps[n] = hdrhistogram.New(1, longest.Microseconds(), courseDigits)
	}
	Record(c.steps[n], latency)
}

// of is the step of a time of the run; what was before it is in the first one.
func (c *course) of(at time.Duration) int { return int(max(0, at) / c.step) }

// slowest is the longest latency of a class, of the events that were due from one time to another, to the length of a step.
func (c *course) slowest(class int, from, to time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, end := min(c.of(from), len(c.steps)), min(c.of(to)+1, len(c.steps))
	if first == end {
		return 0
	}
	return slices.Max(c.worst[class][first:end])
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
