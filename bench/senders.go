package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// The senders' contests: what pushes to APNs, and what pushes to FCM. Each contender may have as many pushes under way as
// the others.

// rivals are those that take part in such a contest, and what they may use.
type rivals struct {
	name        string // for --only
	title       string
	latency     time.Duration
	connections int
	streams     int // on each connection
	against     []string
	suffix      string // of their keys, where the same rivals meet more than once
	of          []rival
	h2load      []int // numbers of threads with which h2load takes part
}

// rival is one of them.
type rival struct {
	contender string
	name      string
	// workers are numbers of goroutines of which the best is taken, for those that push with a call that waits; of nanopush,
	// those of one call. With --quick it is the first.
	workers []int
}

func (l *lab) apnsAtOnce() rivals {
	r := rivals{name: "apns", title: "APNs, answers at once", connections: 2, streams: 500, against: []string{"floor", "apns2"}}
	r.of = []rival{{contender: "floor", name: "floor"}, {contender: "pipelined", name: "pushd, pipelined"}}
	loop := rival{contender: "apns2", name: "apns2 loop", workers: []int{500, 50, 150, 1000}}
	if l.Quick {
		r.of = append(r.of, loop)
		return r
	}
	r.of = append(r.of, rival{contender: "library", name: "pushd, library"}, loop, rival{contender: "nanopush", name: "nanopush", workers: []int{500, 50, 150}})
	r.h2load = []int{1, 2}
	return r
}

// apnsFarAway has as many pushes under way as it takes to keep the connections busy in spite of the latency.
func (l *lab) apnsFarAway() rivals {
	return rivals{
		name: "apns-50ms", title: "APNs, answers after 50 ms", latency: 50 * time.Millisecond, connections: 8, streams: 1000, against: []string{"floor", "apns2"}, suffix: "_50ms",
		of: []rival{
			{contender: "floor", name: "floor"}, {contender: "pipelined", name: "pushd, pipelined"},
			{contender: "apns2", name: "apns2 loop", workers: []int{10_000, 2000, 5000}},
			{contender: "nanopush", name: "nanopush", workers: []int{100, 50, 200}},
		},
		h2load: []int{1, 2},
	}
}

func (l *lab) fcm() rivals {
	r := rivals{name: "fcm", title: "FCM, answers at once", connections: 4, streams: 100, against: []string{"fcm_sdk"}}
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
	l.addH2load(c, r, at)
	return c, nil
}

// addH2load has h2load take part, where it is installed.
func (l *lab) addH2load(c *contest, r rivals, at *site) {
	if len(r.h2load) == 0 {
		return
	}
	path, err := exec.LookPath("h2load")
	if err != nil {
		c.notes = append(c.notes, "h2load is not installed and so left out; on Debian it is in nghttp2-client.")
		return
	}
	for _, threads := range r.h2load {
		load := &h2loadRun{
			path: path, at: at, threads: threads, connections: r.connections, streams: r.streams,
			requests: int(h2loadRate * l.Measure.Seconds()),
		}
		c.entries = append(c.entries, entry{key: fmt.Sprintf("h2load_%d", threads) + r.suffix, name: fmt.Sprintf("h2load, threads: %d", threads), run: load.run})
	}
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
	return fmt.Sprintf("%s: %d goroutines, the best of %s.", r.name, best, strings.Trim(fmt.Sprint(slices.Sorted(slices.Values(r.workers))), "[]"))
}
