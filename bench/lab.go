package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
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

// measureAll holds the contests that are asked for.
func (l *lab) measureAll(ctx context.Context) (*result, error) {
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
