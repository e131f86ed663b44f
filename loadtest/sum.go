package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// result sums the run up.
func (r *run) result(drained time.Duration) (*Result, error) {
	if err := r.atEnd(); err != nil {
		return nil, err
	}
	s := r.scenario
	published := s.Duration.Seconds()
	res := &Result{
		Scenario: s.name, About: s.About, Started: r.start.Format(time.RFC3339), Seed: r.seed,
		Events: int(r.publisher.events.Load()), Unpublished: int(r.publisher.failed.Load()),
		Pushes: r.stage.Accepted(), Lost: r.book.Open(), Extra: r.extra(), Allowed: s.Expect.Extra,
		TokensDead: int(r.dead.Load()), FalselyDead: r.book.FalselyDead(), DeadLetters: int(r.letters.Load()),
		Scrapes: r.scrapes.sum(r.ended.Sub(r.start)), Swaps: r.swapped(), Step: r.momentSeconds(), Timeline: r.timeline(),
	}
	for _, number := range r.book.Lost() {
		res.FirstLost = fmt.Sprint("e-", number)
		break
	}
	res.Rate = Rate{
		Seconds: published, Intended: round(s.mean(), 1), Published: round(r.publisher.rate(s.Duration), 1),
		BehindMS: r.publisher.handed().Max, AckedMS: r.publisher.acknowledged().Max,
		Pushes: round(float64(r.pushes("", 0, seconds(s.Duration)))/published, 1), Drained: round(drained.Seconds(), 2),
	}
	pushes := r.pushes("", 0, seconds(s.Duration))
	res.Daemon, res.Machine, res.Cost = r.daemonUse(pushes), r.machineUse(), r.cost(pushes)
	res.Latency = r.latencies()
	res.Checks = r.judge(res)
	res.Passed = true
	for _, c := range res.Checks {
		res.Passed = res.Passed && c.Passed
	}
	return res, nil
}

// atEnd looks a last time: at what was used, and at what the daemon says after its last push.
func (r *run) atEnd() (err error) {
	r.scrapes.once(context.Background())
	r.last, err = r.used()
	return err
}

// daemonUse is what the daemon used while it had its pushes to send, so many.
func (r *run) daemonUse(pushes int) Daemon {
	cpu := (r.published.daemon - r.begin.daemon).Seconds()
	known, _ := r.scrapes.most("pushd_known_devices")
	mb := func(bytes uint64) float64 { return round(float64(bytes)/(1<<20), 1) }
	return Daemon{
		CPUSeconds: round(cpu, 2), Cores: round(r.published.cores(r.begin).daemon, 2), TotalCPU: round(r.last.daemon.Seconds(), 2),
		PerPush: round(1e6*cpu/max(1, float64(pushes)), 1), PeakMB: mb(r.last.peak),
		ReadyS: round(r.readyAfter.Seconds(), 2), ReadyMB: mb(r.begin.resident), Known: int(known),
	}
}

// spent adds CPU time that the parts of the load test took.
func (r *run) spent(parts map[string]time.Duration) {
	if r.parts == nil {
		r.parts = make(map[string]time.Duration)
	}
	for part, took := range parts {
		r.parts[part] += took
	}
}

func (r *run) machineUse() Machine {
	c := r.published.cores(r.begin)
	return Machine{Cores: runtime.NumCPU(), Self: round(c.self, 2), Others: round(c.others, 2)}
}

// cost is what the parts of the load test took, with so many pushes.
func (r *run) cost(pushes int) Cost {
	took := func(part string, of int) float64 {
		return round(float64(r.parts[part].Microseconds())/max(1, float64(of)), 1)
	}
	events := int(r.publisher.events.Load())
	return Cost{
		Publisher: took(thePublisher, events), Broker: took(theBroker, events), Simulators: took(theSimulators, pushes),
		Rest: round(r.parts[""].Seconds()/r.published.at.Sub(r.begin.at).Seconds(), 2),
	}
}

// latencies are those of all, of each provider and of each group.
func (r *run) latencies() []Latency {
	rows := []Latency{r.publisher.acknowledged()}
	add := func(of string, h *hdrhistogram.Histogram) {
		if h.TotalCount() > 0 {
			rows = append(rows, latencyOf(of, h))
		}
	}
	add("all", r.book.Latency(r.fleet.classes("", "")))
	add("all, from the acknowledgement", r.book.Settled())
	for _, name := range providerNames {
		add(name, r.book.Latency(r.fleet.classes("", name)))
	}
	if len(r.scenario.Groups) > 1 {
		for i := range r.scenario.Groups {
			add("group "+r.scenario.Groups[i].Name, r.book.Latency(r.fleet.classes(r.scenario.Groups[i].Name, "")))
		}
	}
	return rows
}

// swapped is when each new certificate was seen.
func (r *run) swapped() []Swap {
	var all []Swap
	for _, s := range r.swaps {
		seen := -1.0
		if at := r.stage.Seen(s.serial); !at.IsZero() {
			seen = round(at.Sub(s.at).Seconds(), 2)
		}
		all = append(all, Swap{Tenant: s.tenant, AtS: round(s.at.Sub(r.start).Seconds(), 1), Refused: s.refused, SeenS: seen})
	}
	return all
}
