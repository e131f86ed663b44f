package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"pushd/loadtest/daemon"
)

// rampOptions say how the highest rate is looked for.
type rampOptions struct {
	Ramp bool          `help:"Find the highest rate that the daemon holds: raise it step by step, then halve the distance between what held and what did not. Each step is a run of its own of the scenario's load; what the scenario expects does not count, but whatever is lost does." group:"ramp"`
	P99  time.Duration `name:"p99" help:"A rate is held if 99 percent of the events that were due have their push within this time. Only with --ramp, as what follows." default:"100ms" group:"ramp" placeholder:"100ms"`
	From float64       `help:"Events per second of the first step." default:"1000" group:"ramp" placeholder:"N"`
	Step factor        `help:"How much more each step is, until one does not hold." default:"1.5x" group:"ramp" placeholder:"1.5x"`
	Hold time.Duration `help:"How long a rate must hold, after a warm-up of five seconds." default:"10s" group:"ramp" placeholder:"10s"`
}

const (
	// warmUp is how long a step runs before it counts: connections are opened, and caches filled, once in a daemon's life.
	warmUp = 5 * time.Second
	// closeEnough is how near to each other the highest rate that held and the lowest one that did not are in the end.
	closeEnough = 1.05
	// stepDrain is how long the last promises of a step may take: one that did not hold has a backlog, and that is no loss.
	stepDrain = 2 * time.Minute
	// triesAtMost is how often a step is tried that others disturb.
	triesAtMost = 3
	// downTo is the part of the first rate below which the ramp gives up.
	downTo = 1.0 / 32
)

// factor is a number such as 1.25x, above 1.
type factor float64

// UnmarshalText reads what the command line has.
func (f *factor) UnmarshalText(text []byte) error {
	number, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "x"), 64)
	if err != nil || !(number >= closeEnough && number <= 10) {
		return fmt.Errorf("%q is no factor from %gx to 10x, such as 1.25x", text, closeEnough)
	}
	*f = factor(number)
	return nil
}

func (o *rampOptions) faults(c *command) (faults []error) {
	if !o.Ramp {
		return nil
	}
	if c.Rate != nil || c.Duration != nil {
		faults = append(faults, errors.New("--ramp sets rate and duration itself: leave --rate and --duration out, or see --from and --hold"))
	}
	if o.P99 < time.Millisecond || o.P99 > time.Minute {
		faults = append(faults, fmt.Errorf("--p99: %v is not between 1ms and 1m", o.P99))
	}
	if !(o.From >= 1 && o.From <= maxRate) {
		faults = append(faults, fmt.Errorf("--from: %g events per second is not between 1 and %d", o.From, maxRate))
	}
	if o.Hold < 2*time.Second || o.Hold > time.Hour {
		faults = append(faults, fmt.Errorf("--hold: %v is not between 2s and 1h", o.Hold))
	}
	return faults
}

// climb looks for the highest rate that holds, up to most: it multiplies by times until a rate does not hold, then halves the
// distance. Where not even the first one holds it goes down. It returns 0 where nothing held.
func climb(from, times, most float64, holds func(rate float64) (bool, error)) (best float64, err error) {
	failed := 0.0 // the lowest rate that did not hold; 0 while there is none
	for rate := from; ; {
		held, err := holds(rate)
		switch {
		case err != nil:
			return best, err
		case held:
			best = rate
		default:
			failed = rate
		}
		switch {
		case failed == 0 && best >= most:
			return best, nil
		case failed == 0:
			rate = min(most, best*times)
		case best == 0:
			if rate = failed / times; rate < from*downTo {
				return 0, nil
			}
		case failed <= best*closeEnough:
			return best, nil
		default:
			rate = (best + failed) / 2
		}
	}
}

// ramp runs the steps. What was found until the load test failed, or was told to end, is told.
func (c *command) ramp(ctx context.Context, s *Scenario, stderr io.Writer) (*RampResult, error) {
	pushd, cleanUp, err := c.builtPushd(ctx, stderr)
	if err != nil {
		return nil, err
	}
	defer cleanUp()
	seed, most := c.chosenSeed(), c.most()
	res := &RampResult{Scenario: s.name, About: s.About, Started: time.Now().Format(time.RFC3339), Seed: seed, Passed: true, BoundMS: ms(c.P99), HoldS: c.Hold.Seconds()}
	res.Highest, err = climb(min(c.From, most), float64(c.Step), most, func(rate float64) (bool, error) {
		rate = round(rate, 0)
		scenario, err := c.load(&rate, new(warmUp+c.Hold))
		if err != nil {
			return false, err
		}
		scenario.Drain = stepDrain
		step, err := undisturbed(func() (Step, error) {
			r := c.newRun(scenario, seed, stderr)
			r.pushd, r.warm, r.progress.terse = pushd, warmUp, true
			defer r.progress.end()
			step, err := r.step(ctx, rate, c.P99)
			if err == nil {
				r.progress.say("%6.0f events/s: %s", rate, step.verdict())
			}
			return step, err
		})
		if err != nil {
			return false, err
		}
		res.Steps = append(res.Steps, step)
		if step.broken() {
			return false, errBroken
		}
		return step.Held, nil
	})
	switch {
	case errors.Is(err, errBroken):
		res.Passed = false
	case err != nil && len(res.Steps) == 0:
		return nil, err
	case err != nil:
		res.brokenOff(err)
		return res, nil
	}
	res.conclude(most)
	return res, nil
}

// most is the highest rate that the load test makes: for what the embedded broker holds, and at all.
func (c *command) most() float64 {
	if len(c.Brokers) > 0 {
		return maxRate
	}
	return min(maxRate, maxEmbedded/(warmUp+c.Hold).Seconds())
}

// errBroken ends a ramp at a step in which a promise was broken.
var errBroken = errors.New("a promise was broken")

// undisturbed tries a step again where it did not hold while others had much of the machine: a compilation next door would end a
// ramp. The last try counts.
func undisturbed(try func() (Step, error)) (step Step, err error) {
	for n := 1; ; n++ {
		if step, err = try(); err != nil {
			return step, err
		}
		step.Tries = n
		if n == triesAtMost || !step.disturbed() {
			return step, nil
		}
	}
}

// step is one step of a ramp.
func (r *run) step(ctx context.Context, rate float64, bound time.Duration) (Step, error) {
	res, err := r.perform(ctx)
	switch {
	case errors.Is(err, errBrokerBehind):
		return Step{Asked: rate, Limit: theBroker, Why: err.Error()}, nil
	case err != nil:
		return Step{}, err
	}
	return r.judgeStep(res, rate, bound), nil
}

// builtPushd is the binary of --pushd, or one that is built once for all steps.
func (c *command) builtPushd(ctx context.Context, stderr io.Writer) (path string, cleanUp func(), err error) {
	if c.Pushd != "" {
		return c.Pushd, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "pushd-ramp-")
	if err != nil {
		return "", nil, err
	}
	cleanUp = func() { _ = os.RemoveAll(dir) } // below the directory for such things, which the system empties
	fmt.Fprintln(stderr, "building pushd")
	if path, err = daemon.Build(ctx, dir); err != nil {
		cleanUp()
	}
	return path, cleanUp, err
}
