package main

import (
	"time"

	"pushd/loadtest/promise"
)

// rows is how many moments a table of the timeline has at most.
const rows = 45

// timeline is the run as a series, a moment for each step of the latencies' course.
func (r *run) timeline() []Moment {
	step := r.momentSeconds()
	var all []Moment
	for from := 0; from < len(r.samples); from += step {
		all = append(all, r.moment(from/step, from, min(from+step, len(r.samples))))
	}
	return all
}

// momentSeconds is how many seconds a moment is long.
func (r *run) momentSeconds() int { return seconds(promise.Step(r.scenario.longest())) }

// moment is the n-th one, of the seconds from one to before another.
func (r *run) moment(n, from, to int) Moment {
	mean := func(sum float64, places int) float64 { return round(sum/float64(to-from), places) }
	published, used := 0, cores{}
	for second := from; second < to; second++ {
		published += r.publishedIn(second)
		of := r.samples[second].cores
		used.daemon, used.self, used.others = used.daemon+of.daemon, used.self+of.self, used.others+of.others
	}
	latency, last, before := latencyOf("", r.book.Course(n, n+1)), r.samples[to-1], sample{}
	if from > 0 {
		before = r.samples[from-1]
	}
	return Moment{
		Second: from, Intended: mean(r.intended(from, to), 1),
		Published: mean(float64(published), 1), APNs: mean(float64(r.pushes("apns", from, to)), 1), FCM: mean(float64(r.pushes("fcm", from, to)), 1),
		Events: latency.Events, P50: latency.P50, P99: latency.P99, P999: latency.P999,
		SendMS: round(1e3*(last.sendSum-before.sendSum)/max(1, last.sends-before.sends), 1),
		Open:   int(last.open), Lag: last.lag, Parked: last.parked, Breakers: last.breakers,
		Cores: mean(used.daemon, 2), Self: mean(used.self, 2), Others: mean(used.others, 2), RSSMB: round(last.rss/(1<<20), 0),
	}
}

// intended is how many events the plan has from one second to before another.
func (r *run) intended(from, to int) float64 {
	if r.filled {
		return 0
	}
	return r.scenario.events(time.Duration(from)*time.Second, time.Duration(to)*time.Second)
}

// publishedIn is how many events were acknowledged in a second of the run.
func (r *run) publishedIn(second int) int {
	if r.filled {
		return 0
	}
	return r.publisher.in(second)
}

// thin puts moments together until there are few enough for a table: means of rates and of cores, the worst of latencies, and
// how it stood at the end.
func thin(moments []Moment, most int) []Moment {
	step := (len(moments) + most - 1) / most
	var few []Moment
	for from := 0; from < len(moments); from += step {
		few = append(few, together(moments[from:min(from+step, len(moments))]))
	}
	return few
}

func together(part []Moment) Moment {
	sum := part[len(part)-1]
	mean := func(of func(*Moment) *float64, places int) {
		total := 0.0
		for i := range part {
			total += *of(&part[i])
		}
		*of(&sum) = round(total/float64(len(part)), places)
	}
	mean(func(m *Moment) *float64 { return &m.Intended }, 1)
	mean(func(m *Moment) *float64 { return &m.Published }, 1)
	mean(func(m *Moment) *float64 { return &m.APNs }, 1)
	mean(func(m *Moment) *float64 { return &m.FCM }, 1)
	mean(func(m *Moment) *float64 { return &m.SendMS }, 1)
	mean(func(m *Moment) *float64 { return &m.Cores }, 2)
	mean(func(m *Moment) *float64 { return &m.Self }, 2)
	mean(func(m *Moment) *float64 { return &m.Others }, 2)
	sum.Second, sum.Events = part[0].Second, 0
	for _, m := range part {
		sum.Events += m.Events
		sum.P50, sum.P99, sum.P999 = max(sum.P50, m.P50), max(sum.P99, m.P99), max(sum.P999, m.P999)
	}
	return sum
}
