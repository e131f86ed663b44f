package queue

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// lagEvery is how often the broker is asked how far the log of a partition goes that pauses.
const lagEvery = time.Second

// lag is the pushd_consumer_lag_events of one partition. Each answer of a fetch tells it; while the partition pauses there
// is none, though the log grows, and generation.measure asks.
type lag struct {
	gauge prometheus.Gauge

	mu     sync.Mutex // guards all below, and the gauge
	next   int64      // the first offset that was not handed over
	paused bool       // its records wait for the owner
}

// set takes the end of the log as a fetch has seen it.
func (l *lag) set(end, next int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gauge.Set(float64(max(end-next, 0)))
}

// pause says that the records from next on wait for their owner, until resume.
func (l *lag) pause(next int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next, l.paused = next, true
}

func (l *lag) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = false
}

func (l *lag) isPaused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused
}

// grown takes the end of the log of a partition that pauses, if it still does.
func (l *lag) grown(end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused {
		l.gauge.Set(float64(max(end-l.next, 0)))
	}
}

// measure keeps the lag of the partitions that pause true, until ctx ends. A broker that does not answer is the fetches'
// trouble to tell of.
func (g *generation) measure(ctx context.Context) {
	ticker := time.NewTicker(lagEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		var paused []int
		for _, p := range g.partitions {
			if p.lag.isPaused() {
				paused = append(paused, int(p.id))
			}
		}
		if len(paused) == 0 {
			continue
		}
		have, err := g.c.conn.extents(ctx, g.c.cfg.Topic, paused...)
		if err != nil {
			continue
		}
		for _, p := range g.partitions {
			if extent, asked := have[int(p.id)]; asked {
				p.lag.grown(extent.end)
			}
		}
	}
}
