package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pushd/loadtest/audit"
	"pushd/loadtest/mixture"
)

const (
	apns = "apns"
	fcm  = "fcm"
	// overcome is how soon after a hardship all that it has delayed must be done.
	overcome = 90 * time.Second
	// watchEvery is how often it is looked at the daemon meanwhile.
	watchEvery = 200 * time.Millisecond
	// healthyWithin is within what part of its events' rate a provider's pushes must be while the other one suffers.
	healthyWithin = 0.05
)

// hardship is something that makes the way to a provider, or to Kafka, bad for a while.
type hardship struct {
	what  string
	whose string // apns, fcm, kafka, or "all"
	lasts time.Duration
	begin func() error
	end   func(context.Context)

	began, ended time.Time
	over         time.Time // all that it has delayed was done
	opened       uint64    // connections to the providers until then
	most         float64   // pushes under way at most
}

// suffer lets a daemon go through hardships, one after the other, each until all that it has delayed is done.
func (p *play) suffer(ctx context.Context, hardships []hardship) error {
	d, err := p.startReady(ctx, "daemon")
	if err != nil {
		return err
	}
	p.publish(ctx)
	if err := p.flows(ctx, 2*time.Second); err != nil {
		return err
	}
	for i := range hardships {
		h := &hardships[i]
		p.say("%s: %s, for %v", h.whose, h.what, h.lasts)
		if err := p.goThrough(ctx, d, h); err != nil {
			return fmt.Errorf("%s: %s: %w", h.whose, h.what, err)
		}
		if err := p.loaded(); err != nil {
			return err
		}
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	p.judgeHardships(hardships)
	return d.stop(ctx)
}

// goThrough begins a hardship, ends it, and waits until what it has delayed is done.
func (p *play) goThrough(ctx context.Context, d *member, h *hardship) error {
	opened := p.opened()
	h.began = time.Now()
	if err := h.begin(); err != nil {
		return err
	}
	end := h.began.Add(h.lasts)
	err := p.until(ctx, "it is over", h.lasts+time.Minute, watchEvery, func() bool {
		p.behind(ctx, d, h)
		return time.Now().After(end)
	})
	h.end(ctx)
	if err != nil {
		return err
	}
	h.ended = time.Now()
	few := p.perSecond() / 4
	calm := 0
	err = p.until(ctx, "what it has delayed is done", overcome, watchEvery, func() bool {
		if calm++; p.behind(ctx, d, h) > few {
			calm = 0
		}
		return calm >= 5
	})
	h.over, h.opened = time.Now(), p.opened()-opened
	return err
}

// behind is how many events wait to be read or to be settled, as the daemon says; so many that it cannot be calm where it does not.
func (p *play) behind(ctx context.Context, d *member, h *hardship) float64 {
	values, err := d.scrape(ctx)
	if err != nil {
		return p.perSecond()
	}
	underWay := values["pushd_inflight_requests"]
	if provider := h.provider(); provider != "" {
		underWay = values[fmt.Sprintf("pushd_inflight_requests{provider=%q}", provider)]
	}
	h.most = max(h.most, underWay)
	return values["pushd_consumer_lag_events"] + values["pushd_events_open"]
}

// opened is how many connections the simulators have had.
func (p *play) opened() uint64 { return p.stage.APNs.Stats().Opened + p.stage.FCM.Stats().Opened }

// judgeHardships: a connection that breaks can cost the pushes that were under way on it. What the way to Kafka suffers costs what is
// under way as the session ends; the daemon knows by its ledger what it reads again. The other provider's pushes must come as if
// nothing were.
func (p *play) judgeHardships(all []hardship) {
	v := p.verdict()
	extra := moments(v.ExtraAt)
	table := Table{
		Title: "Hardships: the p99 of what suffers; of the other provider meanwhile the pushes, as percent of its events, and the p99",
		Head:  []string{"whose", "what", "for s", "done after s", "p99 ms", "under way", "connections", "may cost", "extra", "other %", "p99 ms"},
	}
	counted, over, least := 0, 0, 100.0
	for i := range all {
		h := &all[i]
		next := time.Now()
		if i+1 < len(all) {
			next = all[i+1].began
		}
		bound, cost, other := int(h.most)*int(h.opened+1), extra.between(h.began, next), healthy(h.whose)
		if counted += cost; cost > bound {
			over++
		}
		own := p.window(&v, h.provider(), h.began, h.ended)
		row := []any{h.whose, h.what, h.ended.Sub(h.began).Seconds(), h.over.Sub(h.ended).Seconds(), own.p99, h.most, h.opened, bound, cost, "", ""}
		if other != "" {
			w := p.window(&v, other, h.began, h.over)
			row[9], row[10], least = 100*w.rate, w.p99, min(least, 100*w.rate)
		}
		table.add(row...)
	}
	r := p.report
	r.figure(float64(len(all)), "hardships")
	r.figure(p.window(&v, "", p.began, all[0].began).p99, "ms: p99 from the publishing of an event to its push, before the first hardship")
	r.check("hardships that cost more pushes than were under way on the connections of their time", float64(over), 0)
	r.check("pushes too many before the first hardship", float64(p.report.Extra-counted), 0)
	r.least("percent of its events that the other provider had pushed meanwhile, at least", least, 100*(1-healthyWithin))
	r.Tables = append(r.Tables, table)
}

// provider is whose pushes suffer; empty where all do.
func (h *hardship) provider() string {
	if h.whose == apns || h.whose == fcm {
		return h.whose
	}
	return ""
}

// healthy is the provider that does not suffer.
func healthy(whose string) string {
	switch whose {
	case apns:
		return fcm
	case fcm:
		return apns
	}
	return ""
}

// window is how a provider's pushes came from one time to another.
type window struct {
	rate float64 // pushes accepted then, as part of the events that were due then
	p99  float64 // in ms, of what was due then
}

// window looks at those devices only for which the provider has no fault of the mixture.
func (p *play) window(v *audit.Verdict, provider string, from, to time.Time) window {
	due, came := 0, 0
	var took []time.Duration
	within := func(t time.Time) bool { return !t.Before(from) && t.Before(to) }
	for i := range v.Latencies {
		l := &v.Latencies[i]
		if provider != "" && l.Provider != provider || p.load.Faults[l.Token] != mixture.NoFault {
			continue
		}
		if within(l.Due) {
			due, took = due+1, append(took, l.Took())
		}
		if within(l.Accepted) {
			came++
		}
	}
	if due == 0 {
		return window{}
	}
	slices.Sort(took)
	return window{rate: float64(came) / float64(due), p99: 1000 * took[len(took)*99/100].Seconds()}
}

// onlyDead leaves no fault in the load but dead tokens, so that what comes late is late by the hardship.
func onlyDead(load *mixture.Mixture) {
	for token, fault := range load.Faults {
		if fault != mixture.DeadToken {
			delete(load.Faults, token)
		}
	}
}
