package main

import (
	"context"
	"time"
)

// outages is how often the broker is restarted: every second time it is killed.
func outages(c *command) int {
	if c.Short {
		return 2
	}
	return 12
}

func brokerLasts(c *command) time.Duration {
	return 30*time.Second + time.Duration(outages(c))*25*time.Second
}

// outage is a time without a broker.
type outage struct {
	how       string
	at, again time.Time // when it went, and when it was back
	underWay  float64
}

// broker takes the broker away from a daemon at work, and gives it back.
func broker(ctx context.Context, p *play) error {
	d, err := p.startReady(ctx, "daemon")
	if err != nil {
		return err
	}
	p.publish(ctx)
	var all []outage
	for i := range outages(p.command) {
		if err := p.flows(ctx, p.upTo(time.Second, 4*time.Second)); err != nil {
			return err
		}
		o := outage{how: "shut down"}
		values, err := d.scrape(ctx)
		if err != nil {
			return err
		}
		o.underWay, o.at = values["pushd_inflight_requests"], time.Now()
		if i%2 == 1 {
			o.how = "killed"
			p.kafka.Kill()
		} else {
			p.kafka.Shutdown()
		}
		if err := p.rest(ctx, p.upTo(0, 3*time.Second)); err != nil {
			return err
		}
		if err := p.kafka.Restart(ctx); err != nil {
			return err
		}
		o.again = time.Now()
		all = append(all, o)
		p.say("the broker was %s and is back after %.1f s", o.how, o.again.Sub(o.at).Seconds())
		if err := p.loaded(); err != nil {
			return err
		}
	}
	if err := p.flows(ctx, time.Second); err != nil {
		return err
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	p.judgeOutages(all)
	return d.stop(ctx)
}

// flows waits until pushes are accepted again, and then some time.
func (p *play) flows(ctx context.Context, d time.Duration) error {
	before := p.stage.Accepted()
	err := p.until(ctx, "pushes are accepted again", settles, poll, func() bool { return p.stage.Accepted() > before+int(p.perSecond()/10) })
	if err != nil {
		return err
	}
	return p.rest(ctx, d)
}

// judgeOutages: the daemon knows by its ledger what it reads again, so an outage may cost what was under way as its session ended.
func (p *play) judgeOutages(all []outage) {
	extra, accepted := moments(p.verdict().ExtraAt), p.accepted()
	table := Table{Title: "Outages of the broker", Head: []string{"at s", "how", "away s", "under way", "extra", "pushes meanwhile", "first push after s"}}
	bound := 0.0
	for i, o := range all {
		next := time.Now()
		if i+1 < len(all) {
			next = all[i+1].at
		}
		bound += max(o.underWay, 1)
		after := accepted.after(o.again).Sub(o.again).Seconds()
		table.add(o.at.Sub(p.began).Seconds(), o.how, o.again.Sub(o.at).Seconds(), o.underWay, extra.between(o.at, next), accepted.between(o.at, o.again), after)
	}
	r := p.report
	r.figure(float64(len(all)), "restarts of the broker, every second one after a kill -9")
	r.Tables = append(r.Tables, table)
	r.least("restarts of the broker", float64(len(all)), float64(outages(p.command)))
	r.check("pushes too many, L for each outage", float64(r.Extra), bound)
}
