package promise

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// longest is the longest latency that is told from longer ones.
	longest = time.Hour
	digits  = 3
)

// latencies are those of the events that a push was accepted for, by class: from when an event was to be published, not from
// when the publisher came to it, so that a publisher that falls behind hides nothing.
//
// An event that comes while its device rests waits for the rest to be over, by merge.interval and not by pushd's speed. It
// counts from then, as package audit has it, so that a wake that trails is judged as any other.
type latencies struct {
	mu      sync.Mutex // guards what stands below
	classes []*hdrhistogram.Histogram
	settled *hdrhistogram.Histogram // of all, from when the broker had acknowledged the event: what is left without Kafka's part
}

// NewHistogram is for latencies of up to an hour, in microseconds.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, longest.Microseconds(), digits)
}

func newLatencies(classes int) *latencies {
	l := &latencies{settled: NewHistogram()}
	for range classes {
		l.classes = append(l.classes, NewHistogram())
	}
	return l
}

func (l *latencies) record(class int, latency time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	Record(l.classes[class], latency)
}

// recordSettled takes the latency of an event from its acknowledgement; where the push came before that, there was none.
func (l *latencies) recordSettled(latency time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	Record(l.settled, latency)
}

// Settled is the latencies of all events from when the broker had acknowledged them.
func (l *latencies) Settled() *hdrhistogram.Histogram {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := NewHistogram()
	sum.Merge(l.settled)
	return sum
}

// Record puts a latency into a histogram; one beyond its bounds counts as the bound.
func Record(h *hdrhistogram.Histogram, latency time.Duration) {
	_ = h.RecordValue(min(max(1, latency.Microseconds()), longest.Microseconds())) // within the bounds it cannot fail
}

// Latency is the latencies of the classes that are wanted, together.
func (l *latencies) Latency(wanted func(class int) bool) *hdrhistogram.Histogram {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := NewHistogram()
	for class, h := range l.classes {
		if wanted(class) {
			sum.Merge(h)
		}
	}
	return sum
}
