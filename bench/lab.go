package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pushd/loadtest/broker"
	"pushd/loadtest/daemon"
	"pushd/providers/apns"
)

// lab is where all is measured: it holds the contests, one after the other, and the processes that they share.
type lab struct {
	*command
	dir      string
	progress io.Writer

	simulators map[time.Duration]*site // by latency
	kept       []float64               // pushes per second of daemons while events were published, in the order they ran
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

// part is what --only names: a contest, as what prepares it when its turn comes.
type part struct {
	name    string
	prepare func(context.Context) (*contest, error)
}

// parts are those that are asked for, in the order in which they are measured.
func (l *lab) parts() []part {
	var all []part
	for _, r := range []rivals{l.apnsAtOnce(), l.apnsFarAway(), l.fcm()} {
		all = append(all, part{r.name, func(ctx context.Context) (*contest, error) { return l.contest(ctx, r) }})
	}
	all = append(all, part{"daemon", func(ctx context.Context) (*contest, error) {
		return l.daemons(ctx, "The daemon, embedded broker", "", embeddedBacklog)
	}})
	if l.Kafka != "" {
		all = append(all, part{"daemon-kafka", func(ctx context.Context) (*contest, error) {
			return l.daemons(ctx, "The daemon, Apache Kafka", "_kafka", func(ctx context.Context, events int) (*backlog, error) {
				return kafkaBacklog(ctx, l.Kafka, events)
			})
		}}, part{"daemon-live", func(ctx context.Context) (*contest, error) {
			return l.live(ctx, "The daemon while events are published, Apache Kafka", "_live", 0, apns.Pipelined)
		}}, part{"daemon-half", func(ctx context.Context) (*contest, error) {
			if len(l.kept) == 0 {
				return nil, errors.New("daemon-half is half of what was measured by daemon-live: ask for that too")
			}
			return l.live(ctx, "The daemon at half of that rate", "_half", spreadOf(l.kept).Median/2, apns.Pipelined)
		}})
	}
	return slices.DeleteFunc(all, func(p part) bool { return !l.wanted(p.name) })
}

// kafkaParts are those that need --kafka.
var kafkaParts = []string{"daemon-kafka", "daemon-live", "daemon-half"}

// quickParts are those of --quick.
var quickParts = []string{"apns", "fcm", "daemon"}

// wanted says whether a part is asked for.
func (c *command) wanted(name string) bool {
	switch {
	case len(c.Only) > 0:
		return slices.Contains(c.Only, name)
	case c.Quick:
		return slices.Contains(quickParts, name)
	}
	return true
}

// measureAll holds the contests that are asked for. What cannot be measured is left out of the result, and is the error
// beside it.
func (l *lab) measureAll(ctx context.Context) (*result, error) {
	err := l.lookForKafka(ctx)
	if err != nil {
		return nil, err
	}
	res := &result{Date: time.Now(), Rounds: l.Rounds, Measure: l.Measure}
	if res.Machine, err = thisMachine(ctx); err != nil {
		return nil, err
	}
	if l.Pushd == "" && (l.wanted("daemon") || l.wanted("daemon-kafka") || l.wanted("daemon-live")) { // first, so that no compiler runs beside a measurement
		l.say("building pushd")
		if l.Pushd, err = daemon.Build(ctx, l.dir); err != nil {
			return nil, err
		}
	}
	var faults []error
	for _, p := range l.parts() {
		held, err := l.hold(ctx, p)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if held != nil {
			res.Outcomes = append(res.Outcomes, held)
		}
		faults = append(faults, err)
	}
	res.Parts, err = l.runGo(ctx)
	return res, errors.Join(append(faults, err)...)
}

// lookForKafka sees that the broker answers, if parts are asked for that need it: it would be found out after minutes
// otherwise. Where none is named, nobody asked for these parts by name.
func (l *lab) lookForKafka(ctx context.Context) error {
	if !slices.ContainsFunc(kafkaParts, l.wanted) {
		return nil
	}
	if l.Kafka == "" {
		l.say("%s are left out: they need --kafka or KAFKA_ADDR", strings.Join(kafkaParts, ", "))
		return nil
	}
	l.say("looking for the broker at %s", l.Kafka)
	return l.broker().Await(ctx, broker.Within)
}

// hold prepares a contest and holds it.
func (l *lab) hold(ctx context.Context, p part) (*outcome, error) {
	c, err := p.prepare(ctx)
	if err != nil {
		return nil, err
	}
	return c.hold(ctx, l.Rounds, l.say)
}
