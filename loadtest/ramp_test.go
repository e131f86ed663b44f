package main

import (
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func TestAClimbEndsBetweenWhatHeldAndWhatDidNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit, times float64
		most         float64
		tried        int
	}{
		"above the first rate":       {5300, 1.5, 1e5, 0},
		"the first rate and no more": {1000, 1.25, 1e5, 0},
		"below the first rate":       {130, 2, 1e5, 0},
		"more than can be made":      {1e9, 10, 40_000, 3},
		"nothing at all":             {0, 2, 1e5, 6}, // 1000, 500, 250, 125, 62.5, 31.25: a thirty-second
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tried []float64
			best, err := climb(1000, c.times, c.most, func(rate float64) (bool, error) {
				tried = append(tried, rate)
				return rate <= c.limit, nil
			})
			want := min(c.limit, c.most)
			if err != nil || best > want || best*closeEnough < want || len(tried) > 20 || c.tried > 0 && len(tried) != c.tried {
				t.Errorf("%g, %v, by %v", best, err, tried)
			}
		})
	}
}

func TestAClimbEndsAtAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	tried := 0
	best, err := climb(1000, 2, 1e5, func(float64) (bool, error) {
		if tried++; tried == 3 {
			return false, broken
		}
		return true, nil
	})
	if !errors.Is(err, broken) || best != 2000 || tried != 3 {
		t.Errorf("%g, %v after %d", best, err, tried)
	}
}

// fine is a step that held, on a machine of four cores of which the daemon had two.
var fine = Step{Asked: 1000, Published: 1000, P50: 5, P99: 90, BehindMS: 5, AckedMS: 20, Cores: 2, Self: 1, Others: .1}

func TestAStepIsLaidOnWhoeverWasAtTheLimit(t *testing.T) {
	t.Parallel()
	full := func(s *Step) { s.Others = .95 }
	for name, c := range map[string]struct {
		change []func(*Step)
		want   string
	}{
		"it held":                        {nil, ""},
		"it held on a full machine":      {[]func(*Step){full}, ""},
		"late events that had pushes":    {[]func(*Step){full, func(s *Step) { s.BehindMS, s.AckedMS = 60, 70 }}, ""},
		"late pushes":                    {[]func(*Step){func(s *Step) { s.P99 = 101 }}, theDaemon},
		"late pushes and no core left":   {[]func(*Step){full, func(s *Step) { s.P99 = 101 }}, theMachine},
		"late events":                    {[]func(*Step){func(s *Step) { s.P99, s.BehindMS = 500, 26 }}, thePublisher},
		"late events and no core left":   {[]func(*Step){full, func(s *Step) { s.P99, s.BehindMS = 500, 26 }}, theMachine},
		"late acknowledgements":          {[]func(*Step){func(s *Step) { s.P99, s.AckedMS = 500, 51 }}, theBroker},
		"late answers":                   {[]func(*Step){func(s *Step) { s.P99, s.SendMS = 500, 31 }}, theSimulators},
		"answers in time":                {[]func(*Step){func(s *Step) { s.P99, s.SendMS = 500, 29 }}, theDaemon},
		"events that were not published": {[]func(*Step){func(s *Step) { s.Published = 960 }}, thePublisher},
		"a lost event":                   {[]func(*Step){full, func(s *Step) { s.Lost = 1 }}, aPromise},
		"a token that is not dead":       {[]func(*Step){func(s *Step) { s.Falsely = 1 }}, aPromise},
		"an account that is out":         {[]func(*Step){func(s *Step) { s.Imbalance = -1 }}, aPromise},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fine
			for _, change := range c.change {
				change(&s)
			}
			if who, why := s.limit(limits{bound: 100, answer: 5, cores: 4}); who != c.want || (why == "") != (who == "") {
				t.Errorf("%q: %s", who, why)
			}
		})
	}
}

func TestARampThatIsBrokenOffTellsWhatItFound(t *testing.T) {
	t.Parallel()
	r := &RampResult{Passed: true, Highest: 1500, Steps: []Step{{Asked: 1500, Held: true}}}
	r.brokenOff(errors.New("interrupted"))
	if r.Passed || r.best() == nil || r.Ended != "the ramp was broken off: interrupted" {
		t.Errorf("%+v", r)
	}
}

func TestAStepThatOthersDisturbIsTriedAgain(t *testing.T) {
	t.Parallel()
	disturbed := Step{Limit: theMachine, Others: float64(runtime.NumCPU())}
	for name, c := range map[string]struct {
		steps []Step
		tries int
	}{
		"it held":                       {[]Step{{Held: true}}, 1},
		"it held at last":               {[]Step{disturbed, {Held: true}}, 2},
		"it never held":                 {[]Step{disturbed, disturbed, disturbed}, 3},
		"nobody disturbed it":           {[]Step{{Limit: theMachine}}, 1},
		"others had nothing to do with": {[]Step{{Limit: theDaemon, Others: disturbed.Others}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tried := 0
			step, err := undisturbed(func() (Step, error) {
				tried++
				return c.steps[tried-1], nil
			})
			if err != nil || step.Tries != c.tries || tried != len(c.steps) || step.Held != c.steps[tried-1].Held {
				t.Errorf("%+v, %v", step, err)
			}
		})
	}
}

func TestARampSaysWhatEndedIt(t *testing.T) {
	t.Parallel()
	step := func(asked float64, limit string) Step { return Step{Asked: asked, Held: limit == "", Limit: limit} }
	for name, c := range map[string]struct {
		steps   []Step
		highest float64
		limit   string
		ended   string
	}{
		"the lowest that failed":  {[]Step{step(1000, ""), step(2000, theMachine), step(1500, theDaemon), step(1250, "")}, 1250, theDaemon, "at 1500 events/s the daemon was at its limit"},
		"none failed":             {[]Step{step(1000, "")}, 1000, theLoadTest, "makes no more than 9000 events/s"},
		"a promise was broken":    {[]Step{step(1000, ""), step(2000, aPromise)}, 0, aPromise, "at 2000 events/s a promise was broken"},
		"the publisher was first": {[]Step{step(1000, ""), step(2000, thePublisher)}, 1000, thePublisher, "its limit is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &RampResult{Steps: c.steps, Highest: c.highest}
			r.conclude(9000)
			if r.Highest != c.highest || r.Limit != c.limit || !strings.Contains(r.Ended, c.ended) || c.highest > 0 && r.best().Asked != c.highest {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestAStepCountsWhatCameAfterTheWarmUp(t *testing.T) {
	t.Parallel()
	r := judged(t)
	r.warm = 2e9
	r.publisher = newPublisher(nil, "", newPlan(r.fleet, r.scenario.Duration, 1), r.book)
	res := &Result{Lost: 3, Timeline: []Moment{{RSSMB: 900, Lag: 7}, {}, {APNs: 30, Cores: 3, SendMS: 4, RSSMB: 10}, {APNs: 20, Cores: 1, SendMS: 7, RSSMB: 12, Lag: 4}}}
	s := r.judgeStep(res, 30, 2e9)
	if s.Pushes != 25 || s.SendMS != 5.5 || s.Cores != 2 || s.PerPush != 80_000 || s.RSSMB != 12 || s.Lag != 4 || s.Lost != 3 || s.Held || s.P99 < 990 || s.P99 > 1010 {
		t.Errorf("%+v", s)
	}
}

func TestARampIsShownWhole(t *testing.T) {
	t.Parallel()
	var res RampResult
	numbered(reflect.ValueOf(&res).Elem(), new(float64))
	res.Steps[0].Held, res.Highest = true, res.Steps[0].Asked
	shows(t, &res)
	if n := len(res.plots()); n < 6 {
		t.Errorf("%d plots", n)
	}
	if err := reportPage.Execute(io.Discard, (&RampResult{Steps: res.Steps[:1]}).page()); err != nil {
		t.Errorf("of one step: %v", err)
	}
}

func TestABacklogIsShownWhole(t *testing.T) {
	t.Parallel()
	var res Backlog
	numbered(reflect.ValueOf(&res).Elem(), new(float64))
	shows(t, &res)
	if n := len(res.plots()); n != 4 {
		t.Errorf("%d plots", n)
	}
}

func TestAFactorIsAboveOne(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]factor{"1.25x": 1.25, "2": 2, "1x": 0, "x": 0, "nan": 0, "11x": 0} {
		var f factor
		if err := f.UnmarshalText([]byte(text)); f != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %g, %v", text, f, err)
		}
	}
}
