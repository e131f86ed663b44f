package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"pushd/providers/apns"
	"pushd/providers/fcm"
)

// job is what a contender's process is told.
type job struct {
	Contender   string
	Ground      ground
	Connections int
	Streams     int // under way per connection
	Workers     int // goroutines that push, where the contender has such
	WarmUp      time.Duration
	Measure     time.Duration
}

// contender pushes as one of those that are compared does, each push with another token, until ctx ends. Connections and
// streams of the job are what it may use. A push that is not accepted is its failure: nothing goes wrong in a measurement.
type contender func(ctx context.Context, j *job, t *tally) error

// contenders are all that a job can name, by the keys of their rows.
var contenders = map[string]contender{
	"floor":         floor,
	"pipelined":     apnsSender(apns.Pipelined),
	"library":       apnsSender(apns.Library),
	"apns2":         apns2Loop,
	"nanopush":      nanopushCalls,
	"fcm_pipelined": fcmSender(fcm.Pipelined),
	"fcm_library":   fcmSender(fcm.Library),
	"fcm_sdk":       adminSDK,
}

// tally counts accepted pushes.
type tally struct{ accepted atomic.Int64 }

func (t *tally) accept(n int64) { t.accepted.Add(n) }

// moment is how far a contender's process has come.
type moment struct {
	Accepted int64
	At       time.Time
	CPU      time.Duration // user and system
	RSS      int64         // bytes, at most so far
}

func (t *tally) now() (moment, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return moment{}, fmt.Errorf("getrusage: %w", err)
	}
	return moment{
		Accepted: t.accepted.Load(), At: time.Now(),
		CPU: time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), RSS: usage.Maxrss << 10,
	}, nil
}

// contend is a contender's process: it is told its job, and tells the moment when it is warm and the one when the time is
// over. It ends with its connections open, as nothing is measured any more.
func contend(ctx context.Context, in io.Reader, out io.Writer) error {
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	run, ok := contenders[j.Contender]
	if !ok {
		return fmt.Errorf("there is no contender %q, only %s", j.Contender, strings.Join(slices.Sorted(maps.Keys(contenders)), ", "))
	}
	return measure(ctx, run, &j, json.NewEncoder(out))
}

// errEnded stands for the reason that a contender does not give.
var errEnded = errors.New("it gives no reason")

// measure lets a contender push, and tells both moments.
func measure(ctx context.Context, run contender, j *job, out *json.Encoder) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &tally{}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, j, t) }()
	for _, span := range []time.Duration{j.WarmUp, j.Measure} {
		timer := time.NewTimer(span)
		select {
		case err := <-ended:
			timer.Stop()
			return fmt.Errorf("%s ended before its time: %w", j.Contender, cmp.Or(err, errEnded))
		case <-timer.C:
		}
		now, err := t.now()
		if err != nil {
			return err
		}
		if now.Accepted == 0 {
			return fmt.Errorf("%s has no push accepted after %v", j.Contender, span)
		}
		if err := out.Encode(now); err != nil {
			return err
		}
	}
	return nil
}
