package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// commits is kafka.commit_interval.
	commits = time.Second
	// graceful is the part of the pushes that rebalances in order may have made twice.
	graceful = 0.01
	// assigned is how long a group may take to share out the partitions after a change.
	assigned = time.Minute
)

// changes is how many rebalances there are: in order, and as a member was killed or frozen.
func changes(c *command) (inOrder, rough int) {
	if c.Short {
		return 4, 4
	}
	return 80, 40
}

func rebalanceLasts(c *command) time.Duration {
	inOrder, rough := changes(c)
	return 30*time.Second + time.Duration(inOrder)*4*time.Second + time.Duration(rough)*(session+4*time.Second)
}

// members are the names of the group's daemons.
var members = []string{"a", "b", "c"}

// change is a member that leaves and comes back: two rebalances.
type change struct {
	how    string
	name   string
	at     time.Time // when it left, or was frozen
	taken  time.Time // when the others had all partitions
	back   time.Time // when it came back
	shared time.Time // when all members had partitions again
	pushes int       // accepted from at to shared
	extra  int
	bound  int
	open   float64 // events that it had read and not settled
	had    int     // partitions
}

// rebalance has the members of a group leave and come back, one after the other: told, then killed or frozen.
func rebalance(ctx context.Context, p *play) error {
	group := make(map[string]*member)
	for _, name := range members {
		m, err := p.startReady(ctx, name)
		if err != nil {
			return err
		}
		group[name] = m
	}
	if _, err := p.shared(ctx, group); err != nil {
		return err
	}
	p.publish(ctx)
	if err := p.rest(ctx, time.Second); err != nil {
		return err
	}
	inOrder, rough := changes(p.command)
	var all []change
	for i := range (inOrder + rough) / 2 {
		how := "stopped"
		if 2*i >= inOrder {
			how = [...]string{"killed", "frozen"}[i%2]
		}
		c, err := p.change(ctx, group, members[p.rng.IntN(len(members))], how)
		if err != nil {
			return fmt.Errorf("%s %s: %w", c.name, c.how, err)
		}
		if all = append(all, c); len(all)%10 == 0 {
			p.say("%d rebalances, %d pushes", 2*len(all), p.stage.Accepted())
		}
		if err := p.loaded(); err != nil {
			return err
		}
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	p.judgeChanges(all)
	for _, m := range group {
		if err := m.stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

// change has a member leave and come back.
func (p *play) change(ctx context.Context, group map[string]*member, name, how string) (c change, err error) {
	c = change{how: how, name: name}
	m := group[name]
	values, err := m.scrape(ctx)
	if err != nil {
		return c, err
	}
	c.open, c.had = values["pushd_events_open"], int(values["pushd_assigned_partitions"])
	before := p.stage.Accepted()
	c.at = time.Now()
	switch how {
	case "stopped":
		err = m.stop(ctx)
	case "killed":
		err = m.kill()
	case "frozen":
		err = m.Freeze()
	}
	if err != nil {
		return c, err
	}
	delete(group, name)
	if c.taken, err = p.shared(ctx, group); err != nil {
		return c, err
	}
	if err := p.rest(ctx, p.upTo(200*time.Millisecond, 1200*time.Millisecond)); err != nil {
		return c, err
	}
	c.back = time.Now()
	if how == "frozen" {
		err = m.Thaw()
	} else {
		m, err = p.startReady(ctx, name)
	}
	if err != nil {
		return c, err
	}
	group[name] = m
	if c.shared, err = p.shared(ctx, group); err != nil {
		return c, err
	}
	if err := p.rest(ctx, p.upTo(200*time.Millisecond, 1200*time.Millisecond)); err != nil {
		return c, err
	}
	c.pushes = p.stage.Accepted() - before
	return c, nil
}

// shared waits until the members have all partitions among them, and each has some, and says when that was.
func (p *play) shared(ctx context.Context, group map[string]*member) (at time.Time, err error) {
	err = p.until(ctx, fmt.Sprintf("%d members share the partitions", len(group)), assigned, poll, func() bool {
		sum := 0
		for _, m := range group {
			owns := m.owns(ctx)
			if owns < 1 {
				return false
			}
			sum += owns
		}
		return sum == partitions
	})
	return time.Now(), err
}

// mayCost: as a member comes back the others hand over in order. Who takes over from one that was killed does not know what was done
// since its last commit, L + R × C of its partitions. One that was frozen reads on and sends on until its heartbeat fails, and so all
// that was published meanwhile.
func (c *change) mayCost(accepted moments) int {
	until := c.at
	switch c.how {
	case "stopped":
		return int(graceful * float64(c.pushes))
	case "frozen":
		until = c.shared
	}
	unsure := commits + flushes + latency
	return int(c.open+graceful*float64(c.pushes)) + accepted.between(c.at.Add(-unsure), until)*c.had/partitions
}

// judgeChanges holds what was made twice against what each change may cost.
func (p *play) judgeChanges(all []change) {
	extra, accepted := moments(p.verdict().ExtraAt), p.accepted()
	table := Table{Title: "Members that left and came back", Shown: 12, Head: []string{"at s", "member", "how", "partitions", "taken after s", "shared after s", "pushes", "may cost", "extra"}}
	sums := make(map[string]*change)
	for i := range all {
		c := &all[i]
		next := time.Now()
		if i+1 < len(all) {
			next = all[i+1].at
		}
		c.extra = extra.between(c.at, next)
		c.bound = c.mayCost(accepted)
		table.add(c.at.Sub(p.began).Seconds(), c.name, c.how, c.had, c.taken.Sub(c.at).Seconds(), c.shared.Sub(c.back).Seconds(), c.pushes, c.bound, c.extra)
		if sums[c.how] == nil {
			sums[c.how] = &change{}
		}
		s := sums[c.how]
		s.had, s.extra, s.bound, s.pushes = s.had+1, s.extra+c.extra, s.bound+c.bound, s.pushes+c.pushes
	}
	r := p.report
	for _, how := range []string{"stopped", "killed", "frozen"} {
		s := sums[how]
		if s == nil {
			continue
		}
		r.figure(float64(2*s.had), "rebalances as a member was %s and came back", how)
		r.figure(float64(s.extra), "pushes too many then, which is %s percent of %d", number(100*float64(s.extra)/float64(max(1, s.pushes))), s.pushes)
		if how == "stopped" {
			r.check("pushes too many by rebalances in order, 1 percent", float64(s.extra), graceful*float64(s.pushes))
		} else {
			r.check("pushes too many as members were "+how+", by what each may cost", float64(s.extra), float64(s.bound))
		}
	}
	inOrder, rough := changes(p.command)
	r.least("rebalances", float64(2*len(all)), float64(inOrder+rough))
	r.Tables = append(r.Tables, table)
}
