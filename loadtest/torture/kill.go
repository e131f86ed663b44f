package main

import (
	"context"
	"slices"
	"time"
)

// flushes is how often the engine writes its ledger (dispatcher.flushEvery).
const flushes = 200 * time.Millisecond

// kills is how many crashes there are.
func kills(c *command) int {
	if c.Short {
		return 3
	}
	return 200
}

// killLasts is generous: a crash takes a session until the partitions are free, and up to two seconds of work.
func killLasts(c *command) time.Duration {
	return 20*time.Second + calms(c) + time.Duration(kills(c))*(killSession+2*time.Second)
}

// killSession is the shortest that a broker allows: after a crash nobody has the partitions until it is over.
const killSession = time.Second

// crash is one kill -9.
type crash struct {
	at, again time.Time // when it was, and when the next daemon was started
	early     bool      // the daemon was not ready yet
	pushes    int       // accepted since the crash before
	underWay  float64   // pushes without an answer, as the daemon said just before
	flush     float64   // seconds that a flush of the ledger took at most, as far as the daemons have said until then
}

// mayCost is L + R × F: what was under way, and what was accepted so shortly before the crash that the ledger may not have it. Such an
// answer waited for a flush, for the one before to end, and for its own.
func (c *crash) mayCost(accepted moments) int {
	unsure := flushes + 2*time.Duration(c.flush*float64(time.Second))
	return int(c.underWay) + accepted.between(c.at.Add(-unsure), c.again)
}

// calms is how long the load goes on after the last crash. A daemon that lives for two seconds never comes to believe that a token is
// dead (guard.settle), and starts with all of them in doubt; then a credential's guard takes them for a fault of the credential, until
// enough other pushes are accepted.
func calms(c *command) time.Duration {
	if c.Short {
		return time.Second
	}
	return 45 * time.Second
}

// kill kills a daemon again and again, mostly at work, now and then before it is ready.
func kill(ctx context.Context, p *play) error {
	p.flags = []string{"--kafka.member.session=" + killSession.String(), "--kafka.member.heartbeat=100ms", "--kafka.revoke_drain=500ms"}
	d, err := p.start("daemon")
	if err != nil {
		return err
	}
	p.publish(ctx)
	var crashes []crash
	slowest := 0.0
	for len(crashes) < kills(p.command) {
		// The embedded broker keeps a member for ever that dies while it joins, so there only daemons at work are killed.
		c, err := p.crash(ctx, d, len(crashes)%10 == 3 && !p.Embedded)
		if err == nil {
			err = p.loaded()
		}
		if err != nil {
			return err
		}
		slowest = max(slowest, c.flush)
		c.flush = slowest
		if d, err = p.start("daemon"); err != nil {
			return err
		}
		if crashes = append(crashes, c); len(crashes)%20 == 0 {
			p.say("%d crashes, %d pushes", len(crashes), p.stage.Accepted())
		}
	}
	if err := d.Ready(ctx); err != nil {
		return err
	}
	if err := p.flows(ctx, calms(p.command)); err != nil {
		return err
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	p.judgeCrashes(crashes)
	return d.stop(ctx)
}

// crash kills a daemon at work or, early, as it starts.
func (p *play) crash(ctx context.Context, d *member, early bool) (c crash, err error) {
	c.early = early
	before := p.stage.Accepted()
	if early {
		err = p.rest(ctx, p.upTo(0, 400*time.Millisecond))
	} else {
		err = p.atWork(ctx, d, before)
	}
	if err != nil {
		return c, err
	}
	if values, err := d.scrape(ctx); err == nil { // one that is not ready has nothing under way
		c.underWay, c.flush = values["pushd_inflight_requests"], values.Slowest("pushd_ledger_flush_duration_seconds")
	}
	c.at = time.Now()
	err = d.kill()
	c.pushes = p.stage.Accepted() - before
	c.again = time.Now()
	return c, err
}

// atWork waits until the daemon is ready and sends pushes, and a time that is drawn: some crashes meet it as it catches up, others
// when it has.
func (p *play) atWork(ctx context.Context, d *member, before int) error {
	if err := d.Ready(ctx); err != nil {
		return err
	}
	if err := p.until(ctx, "the daemon sends pushes", settles, poll, func() bool { return p.stage.Accepted() > before }); err != nil {
		return err
	}
	return p.rest(ctx, p.upTo(0, 1500*time.Millisecond))
}

// cost is what a crash cost, and what it may.
type cost struct {
	crash
	number       int
	extra, bound int
	over         bool
}

// beyond is 1 where the crash cost more than it may, else 0.
func (c cost) beyond() int {
	if c.over {
		return 1
	}
	return 0
}

// costsOf holds the pushes that were made twice against what each crash may cost. Where a crash comes before all was made again that
// the one before cost, the rest is made again after it: as much as it may cost itself, and what the daemon did not come to, which
// reads the oldest again first.
func costsOf(crashes []crash, accepted, extra moments, end time.Time) []cost {
	costs := make([]cost, len(crashes))
	left := 0 // of the crash before
	for i, c := range crashes {
		next := end
		if i+1 < len(crashes) {
			next = crashes[i+1].at
		}
		n := cost{crash: c, number: i + 1, extra: extra.between(c.at, next), bound: c.mayCost(accepted)}
		n.over = n.extra > n.bound+left
		left = max(0, n.bound+min(left-n.extra, max(0, left-c.pushes)))
		costs[i] = n
	}
	return costs
}

// judgeCrashes sums the crashes up.
func (p *play) judgeCrashes(crashes []crash) {
	costs := costsOf(crashes, p.accepted(), p.verdict().ExtraAt, time.Now())
	sum, bound, worst, over, early := 0, 0, 0, 0, 0
	for _, c := range costs {
		sum, bound, worst = sum+c.extra, bound+c.bound, max(worst, c.extra)
		if c.over {
			over++
		}
		if c.early {
			early++
		}
	}
	table := Table{Title: "Crashes, those beyond their bound and the costliest first", Shown: 12, Head: []string{"crash", "at s", "pushes before", "under way", "flush ms", "may cost", "extra", "early", "beyond"}}
	slices.SortStableFunc(costs, func(a, b cost) int { return b.extra - a.extra })
	slices.SortStableFunc(costs, func(a, b cost) int { return b.beyond() - a.beyond() })
	for _, c := range costs {
		table.add(c.number, c.at.Sub(p.began).Seconds(), c.pushes, c.underWay, 1000*c.flush, c.bound, c.extra, c.early, c.over)
	}
	r := p.report
	r.figure(float64(len(crashes)), "crashes by kill -9, %d of them before the daemon was ready", early)
	r.figure(float64(sum)/float64(len(crashes)), "pushes too many per crash, %d at most", worst)
	r.figure(float64(bound)/float64(len(crashes)), "pushes per crash that may be made twice, L + R × F: under way, or accepted within the time of a flush before it")
	r.figure(100*float64(r.Extra)/float64(max(1, r.Pushes)), "percent of the pushes too many")
	r.Tables = append(r.Tables, table)
	r.least("crashes", float64(len(crashes)), float64(kills(p.command)))
	r.check("pushes too many, in all", float64(r.Extra), float64(bound))
	r.check("crashes that cost more than they may", float64(over), 0)
	r.check("pushes too many that came after no crash", float64(r.Extra-sum), 0)
}
