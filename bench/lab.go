package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"pushd/loadtest/daemon"
)

// lab is where all is measured: it holds the contests, one after the other, and the processes that they share.
type lab struct {
	*command
	dir      string
	progress io.Writer

	simulators map[time.Duration]*site // by latency
}

// site is a process of simulators and what it told of itself.
type site struct {
	ground  ground
	process *child
}

func (l *lab) say(format string, args ...any) { fmt.Fprintf(l.progress, format+"\n", args...) }

// close ends the processes.
func (l *lab) close() error {
	var faults []error
	for _, s := range l.simulators {
		faults = append(faults, s.process.end())
	}
	return errors.Join(faults...)
}

// site is the simulators that take latency to answer; they are started when first asked for.
func (l *lab) site(ctx context.Context, latency time.Duration) (*site, error) {
	if s := l.simulators[latency]; s != nil {
		return s, nil
	}
	process, err := startChild(ctx, simulateProcess, simulation{
		Dir: filepath.Join(l.dir, "simulators-"+latency.String()), Latency: latency,
	})
	if err != nil {
		return nil, err
	}
	s := &site{process: process}
	if l.simulators == nil {
		l.simulators = make(map[time.Duration]*site)
	}
	l.simulators[latency] = s
	return s, process.hear(&s.ground)
}

// contests are those that are asked for, each as what prepares it when its turn comes.
func (l *lab) contests() []func(context.Context) (*contest, error) {
	var all []func(context.Context) (*contest, error)
	rivals := []rivals{l.apnsAtOnce(), l.fcm()}
	if !l.Quick {
		rivals = slices.Insert(rivals, 1, l.apnsFarAway())
	}
	for _, r := range rivals {
		all = append(all, func(ctx context.Context) (*contest, error) { return l.contest(ctx, r) })
	}
	all = append(all, func(ctx context.Context) (*contest, error) {
		return l.daemons(ctx, "The daemon, embedded broker", "", embeddedBacklog)
	})
	if l.Kafka != "" && !l.Quick {
		all = append(all, func(ctx context.Context) (*contest, error) {
			return l.daemons(ctx, "The daemon, Apache Kafka", "_kafka", func(ctx context.Context, events int) (*backlog, error) {
				return kafkaBacklog(ctx, l.Kafka, events)
			})
		})
	}
	return all
}

// measureAll holds the contests that are asked for.
func (l *lab) measureAll(ctx context.Context) (*result, error) {
	if l.Pushd == "" { // first, so that no compiler runs beside a measurement
		l.say("building pushd")
		var err error
		if l.Pushd, err = daemon.Build(ctx, l.dir); err != nil {
			return nil, err
		}
	}
	res := &result{Date: time.Now()}
	for _, prepare := range l.contests() {
		contest, err := prepare(ctx)
		if err != nil {
			return nil, err
		}
		held, err := contest.hold(ctx, l.Rounds, l.say)
		if err != nil {
			return nil, err
		}
		res.Outcomes = append(res.Outcomes, held)
	}
	return res, nil
}
