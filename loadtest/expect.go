package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Expect is by what a scenario passes or fails, beside what every scenario expects: nothing lost, no token reported dead
// that is not, and a balanced account at each scrape.
type Expect struct {
	Extra     int             `yaml:"extra"` // pushes more than needed, at most; the failure table of docs/architecture.md says where there may be any
	Latency   []ExpectLatency `yaml:"latency"`
	Rates     []ExpectRate    `yaml:"rates"`
	Shares    []ExpectShare   `yaml:"shares"`
	Metrics   []ExpectMetric  `yaml:"metrics"`
	SeenAfter time.Duration   `yaml:"seen_after"` // a certificate that was replaced is in use by then
}

// ExpectLatency bounds the latency of a group, of a provider, or of both at once; of all without either.
type ExpectLatency struct {
	Group    string        `yaml:"group"`
	Provider string        `yaml:"provider"`
	P50      time.Duration `yaml:"p50"`
	P99      time.Duration `yaml:"p99"`
	Max      time.Duration `yaml:"max"`
}

// ExpectRate is the rate at which pushes of a group or of a provider are accepted in some time of the run.
type ExpectRate struct {
	Group    string        `yaml:"group"`
	Provider string        `yaml:"provider"`
	After    time.Duration `yaml:"after"`
	For      time.Duration `yaml:"for"`
	Is       float64       `yaml:"is"`     // pushes per second; 0: as many as the group has events
	Within   float64       `yaml:"within"` // 0.02 is 2 percent
}

// ExpectShare is that each credential of a group gets the same part of the group's pushes in some time of the run.
type ExpectShare struct {
	Group  string        `yaml:"group"`
	After  time.Duration `yaml:"after"`
	For    time.Duration `yaml:"for"`
	Within float64       `yaml:"within"`
}

// ExpectMetric bounds the largest value that one of the daemon's metrics had at any scrape. One that no scrape had is not
// met, whatever its bounds: it may have got another name.
type ExpectMetric struct {
	Name string   `yaml:"name"` // with its labels, as /metrics writes it
	Min  *float64 `yaml:"min"`
	Max  *float64 `yaml:"max"`
}

// How late an event may be handed to the client, and how late it may be acknowledged, in ms: where it is later, the daemon is
// not loaded as planned.
const (
	behindAtMost = 1000
	ackedAtMost  = 3000
)

// Check is one expectation and what came of it.
type Check struct {
	What   string `json:"what"`
	Want   string `json:"want"`
	Got    string `json:"got"`
	Passed bool   `json:"passed"`
}

// judge holds the run against what is expected of it.
func (r *run) judge(res *Result) []Check {
	e := &r.scenario.Expect
	checks := []Check{
		atMost("events lost", 0, res.Lost),
		atMost("tokens reported dead that are not", 0, res.FalselyDead),
		{"pushd_accounting_imbalance", fmt.Sprintf("0 at each of %d scrapes or more", res.Scrapes.Least), fmt.Sprintf("worst %g in %d scrapes, of which %d failed", res.Scrapes.WorstImbalance, res.Scrapes.Count, res.Scrapes.Failed), res.Scrapes.balanced()},
		atMost("pushes more than needed", e.Extra, res.Extra),
		atMost("events that the broker did not take", 0, res.Unpublished),
		{"events published in time", fmt.Sprintf("each less than %d ms late", behindAtMost), fmt.Sprintf("at most %.0f ms late", res.Rate.BehindMS), res.Rate.BehindMS < behindAtMost},
		{"events acknowledged in time", fmt.Sprintf("each less than %d ms late", ackedAtMost), fmt.Sprintf("at most %.0f ms late", res.Rate.AckedMS), res.Rate.AckedMS < ackedAtMost},
	}
	for _, l := range e.Latency {
		checks = append(checks, r.judgeLatency(l)...)
	}
	for _, want := range e.Rates {
		checks = append(checks, r.judgeRate(want))
	}
	for _, want := range e.Shares {
		checks = append(checks, r.judgeShares(want))
	}
	for _, want := range e.Metrics {
		checks = append(checks, r.judgeMetric(want))
	}
	if e.SeenAfter > 0 {
		for _, s := range res.Swaps {
			checks = append(checks, s.check(e.SeenAfter))
		}
	}
	return checks
}

func atMost(what string, want, got int) Check {
	text := fmt.Sprint("at most ", want)
	if want == 0 {
		text = "0"
	}
	return Check{what, text, fmt.Sprint(got), got <= want}
}

func (r *run) judgeLatency(want ExpectLatency) []Check {
	h := r.book.Latency(r.fleet.classes(want.Group, want.Provider))
	var checks []Check
	bound := func(name string, want, got time.Duration, of string) {
		if want > 0 {
			checks = append(checks, Check{name + " of " + of, "at most " + want.String(), got.Round(100 * time.Microsecond).String(), got <= want && h.TotalCount() > 0})
		}
	}
	of := subject(want.Group, want.Provider)
	micros := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	bound("p50", want.P50, micros(h.ValueAtPercentile(50)), of)
	bound("p99", want.P99, micros(h.ValueAtPercentile(99)), of)
	bound("longest latency", want.Max, micros(h.Max()), of)
	return checks
}

func (r *run) judgeRate(want ExpectRate) Check {
	from, to := seconds(want.After), seconds(want.After+want.For)
	if want.Is == 0 {
		want.Is = r.scenario.group(want.Group).mean(want.After, want.After+want.For)
	}
	sum, each := 0, make([]int, 0, to-from) // pushes of each second
	for second := from; second < to; second++ {
		n := 0
		for _, lane := range r.fleet.lanesOf(want.Group, want.Provider) {
			n += r.book.Pushes(lane, second, second+1)
		}
		sum, each = sum+n, append(each, n)
	}
	slices.Sort(each)
	got := float64(sum) / float64(to-from)
	return Check{
		fmt.Sprintf("rate of %s, seconds %d to %d", subject(want.Group, want.Provider), from, to),
		fmt.Sprintf("%g/s, %g%% more or less", want.Is, 100*want.Within), fmt.Sprintf("%.1f/s, in the median second %d", got, each[len(each)/2]),
		math.Abs(got-want.Is) <= want.Within*want.Is,
	}
}

func (r *run) judgeShares(want ExpectShare) Check {
	from, to := seconds(want.After), seconds(want.After+want.For)
	var pushes []int
	sum := 0
	for _, lane := range r.fleet.lanesOf(want.Group, "") {
		n := r.book.Pushes(lane, from, to)
		pushes = append(pushes, n)
		sum += n
	}
	least, most, mean := slices.Min(pushes), slices.Max(pushes), float64(sum)/float64(len(pushes))
	return Check{
		fmt.Sprintf("shares of the %d of %s, seconds %d to %d", len(pushes), want.Group, from, to),
		fmt.Sprintf("%.1f pushes each, %g%% more or less", mean, 100*want.Within), fmt.Sprintf("%d to %d", least, most),
		sum > 0 && float64(least) >= mean*(1-want.Within) && float64(most) <= mean*(1+want.Within),
	}
}

func (r *run) judgeMetric(want ExpectMetric) Check {
	got, missing := r.scrapes.most(want.Name)
	text, fine := "", true
	if want.Min != nil {
		text, fine = fmt.Sprintf("%g or more", *want.Min), got >= *want.Min
	}
	if want.Max != nil {
		if text != "" {
			text += ", "
		}
		text, fine = text+fmt.Sprintf("%g or less", *want.Max), fine && got <= *want.Max
	}
	if missing != "" { // under this name nothing says that it was 0
		return Check{want.Name, text, missing, false}
	}
	return Check{want.Name, text, fmt.Sprintf("%g", got), fine}
}

// seconds is a time of the run as the timeline counts it.
func seconds(d time.Duration) int { return int(d / time.Second) }

func subject(group, provider string) string {
	switch {
	case group == "" && provider == "":
		return "all"
	case group == "":
		return provider
	case provider == "":
		return group
	}
	return group + ", " + provider
}
