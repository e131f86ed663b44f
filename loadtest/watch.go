package main

import (
	"context"
	"fmt"
	"math"
	"time"
)

// sample is how it stands at the end of a second.
type sample struct {
	open, lag, parked float64
	breakers          string
	cores             cores
	rss               float64
	sendSum, sends    float64 // seconds that pushes were under way, and how many came back, since the daemon's start
}

// watch is when to look at a run: each second at all of it, and often whether it is over.
type watch struct{ second, look *time.Ticker }

func newWatch() watch {
	return watch{time.NewTicker(time.Second), time.NewTicker(20 * time.Millisecond)}
}

func (w watch) stop() {
	w.second.Stop()
	w.look.Stop()
}

// watched does something while the daemon runs and its answers are listened to. What it does can fail by its own error, by what
// it was given to fail with, or as the daemon ends or does not let itself be listened to.
func (r *run) watched(ctx context.Context, do func(context.Context, context.CancelCauseFunc) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		if err := r.topics.ListenFor(ctx, r); err != nil {
			fail(fmt.Errorf("listen to feedback: %w", err))
		}
	}()
	go func() {
		select {
		case <-r.daemon.Ended:
			fail(r.daemon.Fell())
		case <-ctx.Done():
		}
	}()
	err := do(ctx, fail)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	fail(nil)
	<-listening
	return err
}

// sample notes how it stands, for the second that has just ended; for several where this process was kept waiting.
func (r *run) sample(ctx context.Context) error {
	r.scrapes.once(ctx)
	now, err := r.used()
	if err != nil {
		return err
	}
	n := max(len(r.samples)+1, seconds(now.at.Sub(r.start)))
	s := sample{
		open: float64(r.book.Open()), lag: r.scrapes.now("pushd_consumer_lag_events"), parked: r.scrapes.now("pushd_retry_queue_entries"),
		breakers: breaker(r.scrapes.now(`pushd_breaker_state{provider="apns"}`)) + "/" + breaker(r.scrapes.now(`pushd_breaker_state{provider="fcm"}`)),
		cores:    now.cores(r.last), rss: r.scrapes.now("process_resident_memory_bytes"),
		sendSum: r.scrapes.now("pushd_send_duration_seconds_sum"), sends: r.scrapes.now("pushd_send_duration_seconds_count"),
	}
	for len(r.samples) < n {
		r.samples = append(r.samples, s)
	}
	r.last = now
	r.progress.second(n, r.publishedIn(n-1), r.pushes("", n-1, n), r.book.Open())
	return nil
}

func breaker(state float64) string {
	return [...]string{"-", "ramp", "down"}[int(math.Max(0, math.Min(2, state)))]
}

// pushes is how many were accepted of a provider's, or of all, from one second to before another.
func (r *run) pushes(provider string, from, to int) int {
	sum := 0
	for _, lane := range r.fleet.lanesOf("", provider) {
		sum += r.book.Pushes(lane, from, to)
	}
	return sum
}
