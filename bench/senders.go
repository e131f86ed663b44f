package main

import (
	"context"
	"fmt"
	"time"
)

// The senders' contests: what pushes to APNs, and what pushes to FCM. Each contender may have as many pushes under way as
// the others.

// rivals are those that take part in such a contest, and what they may use.
type rivals struct {
	title       string
	latency     time.Duration
	connections int
	streams     int // on each connection
	against     []string
	suffix      string // of their keys, where the same rivals meet more than once
	of          []rival
}

// rival is one of them.
type rival struct {
	contender string
	name      string
	// workers are numbers of goroutines of which the best is taken: for those that push with a call that waits. With --quick
	// it is the first.
	workers []int
}

func (l *lab) apnsAtOnce() rivals {
	r := rivals{title: "APNs, answers at once", connections: 2, streams: 500, against: []string{"floor", "apns2"}}
	r.of = []rival{{contender: "floor", name: "floor"}, {contender: "pipelined", name: "pushd, pipelined"}}
	if !l.Quick {
		r.of = append(r.of, rival{contender: "library", name: "pushd, library"})
	}
	r.of = append(r.of, rival{contender: "apns2", name: "apns2 loop", workers: []int{500, 50, 150, 1000}})
	return r
}

// apnsFarAway has as many pushes under way as it takes to keep the connections busy in spite of the latency.
func (l *lab) apnsFarAway() rivals {
	return rivals{
		title: "APNs, answers after 50 ms", latency: 50 * time.Millisecond, connections: 10, streams: 1000, against: []string{"floor", "apns2"}, suffix: "_50ms",
		of: []rival{
			{contender: "floor", name: "floor"}, {contender: "pipelined", name: "pushd, pipelined"},
			{contender: "apns2", name: "apns2 loop", workers: []int{10_000, 2000, 5000}},
		},
	}
}

func (l *lab) fcm() rivals {
	r := rivals{title: "FCM, answers at once", connections: 4, streams: 100, against: []string{"fcm_sdk"}}
	r.of = []rival{{contender: "fcm_pipelined", name: "pushd, pipelined"}}
	if !l.Quick {
		r.of = append(r.of, rival{contender: "fcm_library", name: "pushd, library"})
	}
	r.of = append(r.of, rival{contender: "fcm_sdk", name: "Admin SDK loop", workers: []int{400, 50, 150}})
	return r
}

// contest makes a contest of rivals.
func (l *lab) contest(ctx context.Context, r rivals) (*contest, error) {
	at, err := l.site(ctx, r.latency)
	if err != nil {
		return nil, err
	}
	c := &contest{title: r.title, about: fmt.Sprintf("%d connections, up to %d pushes under way on each.", r.connections, r.streams)}
	for _, key := range r.against {
		c.against = append(c.against, key+r.suffix)
	}
	for _, rival := range r.of {
		j := job{
			Contender: rival.contender, Ground: at.ground, Connections: r.connections, Streams: r.streams,
			WarmUp: l.WarmUp, Measure: l.Measure,
		}
		if len(rival.workers) > 0 {
			if j.Workers, err = l.bestWorkers(ctx, r.title, rival, j, at.process); err != nil {
				return nil, err
			}
			c.notes = append(c.notes, l.noteOnWorkers(rival, j.Workers))
		}
		c.entries = append(c.entries, entry{
			key: rival.contender + r.suffix, name: rival.name,
			run: func(ctx context.Context) (sample, error) { return push(ctx, j, at.process) },
		})
	}
	return c, nil
}

// bestWorkers tries each number of goroutines once, and returns the one with most pushes.
func (l *lab) bestWorkers(ctx context.Context, title string, r rival, j job, simulators *child) (int, error) {
	if l.Quick {
		return r.workers[0], nil
	}
	best, most := 0, 0.0
	for _, workers := range r.workers {
		j.Workers = workers
		s, err := push(ctx, j, simulators)
		if err != nil {
			return 0, fmt.Errorf("%s: %s with %d goroutines: %w", title, r.name, workers, err)
		}
		l.say("%s: %s with %d goroutines: %.0f pushes/s", title, r.name, workers, s.rate())
		if s.rate() > most {
			best, most = workers, s.rate()
		}
	}
	return best, nil
}

func (l *lab) noteOnWorkers(r rival, best int) string {
	if l.Quick {
		return fmt.Sprintf("%s: %d goroutines, without looking for a better number.", r.name, best)
	}
	return fmt.Sprintf("%s: %d goroutines, the best of %v.", r.name, best, r.workers)
}
