package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

// sample is one measurement of one that takes part.
type sample struct {
	Pushes    int64
	Took      time.Duration
	CPU       time.Duration // of the process that pushes
	Simulator time.Duration // CPU of the simulators meanwhile
	RSS       int64         // bytes, the most that the process had; 0 where that was not measured

	// nil where that was not measured.
	Ahead       *float64 // events acknowledged to the publisher and not pushed yet, in the median; where it had no rate
	PushLatency *inTime  // where it had one
	AckLatency  *inTime
}

func (s sample) rate() float64      { return float64(s.Pushes) / s.Took.Seconds() }
func (s sample) cpuMicros() float64 { return micros(s.CPU) / float64(s.Pushes) }
func (s sample) simMicros() float64 { return micros(s.Simulator) / float64(s.Pushes) }
func (s sample) megabytes() float64 { return float64(s.RSS) / 1e6 }

// queued says whether it was measured how many events wait, and timed how long they take.
func (s sample) queued() bool { return s.Ahead != nil }
func (s sample) timed() bool  { return s.AckLatency != nil }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// reading is how far something has come, and what the simulators have used until then.
type reading struct {
	moment
	Simulator time.Duration
	Pushed    latency   // where events are published meanwhile
	Published published // and the same
}

// between is what lies between two readings.
func between(begin, end reading) sample {
	return sample{
		Pushes: end.Accepted - begin.Accepted, Took: end.At.Sub(begin.At), CPU: end.CPU - begin.CPU,
		Simulator: end.Simulator - begin.Simulator, RSS: end.RSS,
	}
}

// push has a contender do a job in a process of its own, and watches what the simulators use meanwhile.
func push(ctx context.Context, j job, simulators *child) (s sample, err error) {
	process, err := startChild(ctx, contendProcess, j)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, process.end()) }()
	var readings [2]reading
	for i := range readings {
		r := &readings[i]
		if err := process.hear(&r.moment); err != nil {
			return sample{}, err
		}
		if r.Simulator, err = simulators.cpu(); err != nil {
			return sample{}, err
		}
	}
	return between(readings[0], readings[1]), nil
}

// spread is what several measurements of one thing came to.
type spread struct{ Median, Min, Max float64 }

// spreadOf sums values up; there is at least one.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + median) / 2
	}
	return spread{median, sorted[0], sorted[len(sorted)-1]}
}
