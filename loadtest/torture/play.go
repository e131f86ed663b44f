package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"pushd/loadtest/audit"
	"pushd/loadtest/daemon"
	"pushd/loadtest/management"
	"pushd/loadtest/mixture"
	"pushd/loadtest/stage"
	"pushd/providers/simulator"
	"pushd/queue"
	"pushd/queue/embedded"
	"pushd/queue/event"
	"pushd/queue/kafkatest"
)

const (
	// latency is how long the simulators take for an answer.
	latency = 20 * time.Millisecond
	// partitions is how many the topics have.
	partitions = stage.Partitions
	// session is kafka.member.session: short, so that a killed daemon's partitions are soon free.
	session = 3 * time.Second
	// away is how long a broker may be away.
	away = time.Minute
	// settles is how long the last events may take when nothing is done to the daemons any more.
	settles = 2 * time.Minute
	// poll is how often it is looked whether something has happened.
	poll = 20 * time.Millisecond
)

// play is a load for daemons that are processes of their own, what is done to these, and the audit that judges from outside:
//
//	set the stage ─▶ daemons ready ─▶ publish, and do it to them ─▶ settle ─▶ judge
type play struct {
	*command
	ordeal
	rng      *rand.Rand // of the seed; the goroutine of the ordeal draws
	dir      string
	began    time.Time
	progress io.Writer
	report   *Report

	teardown []func() error          // run in reverse
	fail     context.CancelCauseFunc // ends the play
	busy     sync.WaitGroup          // the publisher, and who listens

	load        *mixture.Mixture
	unpublished []mixture.Record // of the load; the publisher's while it runs
	stage       *stage.Stage
	trouble     trouble          // that the simulators play
	kafka       *kafkatest.Kafka // nil where the broker is another one
	server      management.Server
	legs        []*leg        // the ways from the daemons, where they are proxied: to apns, fcm and kafka
	enough      func()        // says that no more shall be published; it may be called again
	published   chan struct{} // closed when no more is published
	running     []*member
}

// setUp sets the stage, without a daemon.
func (p *play) setUp(ctx context.Context) (err error) {
	if p.Pushd == "" {
		p.say("building pushd")
		if p.Pushd, err = daemon.Build(ctx, p.dir); err != nil {
			return err
		}
		p.onStop(func() error { p.Pushd = ""; return nil }) // it is gone with the directory
	}
	events := int(p.perSecond() * p.lasts(p.command).Seconds())
	p.load = mixture.New(mixture.Config{Events: events, Tenants: 20, Seed: p.Seed, Once: p.once})
	if p.worsen != nil {
		p.worsen(p.load)
	}
	p.unpublished = p.load.Records
	if p.stage, err = stage.BuildProviders(p.dir, p.load, latency, stage.Play(&p.trouble)); err != nil {
		return fmt.Errorf("set up the simulators: %w", err)
	}
	p.onStop(p.stage.Close)
	if err := p.setUpLegs(); err != nil {
		return err
	}
	if err := p.setUpBroker(ctx); err != nil {
		return err
	}
	p.goOn(ctx, "listen", p.server.Listen)
	return nil
}

// setUpBroker starts a broker, or takes the one that is given, and makes topics of this play's own.
func (p *play) setUpBroker(ctx context.Context) error {
	unique := fmt.Sprintf("torture-%s-%d", p.name, time.Now().UnixNano())
	p.server = management.Server{
		Topic: unique + "." + event.CheckinTopic, Feedback: unique + "." + event.FeedbackTopic, Dead: unique + "." + event.DeadTopic,
		Audit: audit.New(), Away: away,
	}
	topics := []string{p.server.Topic, p.server.Feedback, p.server.Dead}
	switch {
	case p.Broker != "":
		p.server.Broker = p.Broker
	case p.Embedded:
		cfg := stage.BrokerConfig(p.dir)
		cfg.Topics, cfg.DataDir = topics, "" // in memory: its disk is not what is tortured
		broker, err := embedded.Start(cfg)
		if err != nil {
			return err
		}
		p.onStop(func() error { broker.Close(); return nil })
		p.server.Broker = broker.Addr()
		return nil
	default:
		if err := p.startApache(ctx); err != nil {
			return err
		}
	}
	cfg := queue.DefaultConfig()
	cfg.Brokers, cfg.Partitions = []string{p.server.Broker}, partitions
	ctx, cancel := context.WithTimeout(ctx, away)
	defer cancel()
	if err := queue.EnsureTopics(ctx, cfg, queue.Topic{Name: topics[0]}, queue.Topic{Name: topics[1]}, queue.Topic{Name: topics[2]},
		queue.Topic{Name: p.parked(), Configs: map[string]string{"cleanup.policy": "compact"}}); err != nil {
		return fmt.Errorf("make topics for this play: %w", err)
	}
	return nil
}

// parked is the topic of parked wakes; empty: each daemon keeps its own, as on the embedded broker.
func (p *play) parked() string {
	if p.Embedded && p.Broker == "" {
		return ""
	}
	return p.server.Topic + ".parked"
}

// startApache starts an Apache Kafka, behind a proxy where the ways are proxied.
func (p *play) startApache(ctx context.Context) error {
	p.say("starting Apache Kafka %s", kafkatest.Version)
	o := kafkatest.Options{Dir: filepath.Join(p.dir, "kafka")}
	way := p.leg(kafkaLeg)
	if way != nil {
		o.Proxy = way.proxy.Listen
	}
	k, err := kafkatest.Start(ctx, o)
	if err != nil {
		return err
	}
	p.onStop(k.Stop)
	p.kafka, p.server.Broker = k, k.Addr
	if way != nil {
		way.leadsTo(k.ProxiedAddr)
	}
	return nil
}

// perSecond is how many events are published in a second.
func (p *play) perSecond() float64 { return p.rate * p.Rate }

// goOn does something beside the ordeal until the play ends. Its failure ends the play.
func (p *play) goOn(ctx context.Context, what string, do func(context.Context) error) {
	p.busy.Go(func() {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			p.fail(fmt.Errorf("%s: %w", what, err))
		}
	})
}

// publish publishes the load, or what is left of it, until it is enough or all of it is published.
func (p *play) publish(ctx context.Context) {
	enough := make(chan struct{})
	p.enough, p.published = sync.OnceFunc(func() { close(enough) }), make(chan struct{})
	p.goOn(ctx, "publish", func(ctx context.Context) error {
		defer close(p.published)
		return p.server.PublishFrom(ctx, func(most int) []mixture.Record {
			select {
			case <-enough:
				return nil
			default:
			}
			batch := p.unpublished[:min(most, len(p.unpublished))]
			p.unpublished = p.unpublished[len(batch):]
			return batch
		}, p.perSecond())
	})
}

// loaded fails where the load is over already: what is done to the daemons then proves nothing.
func (p *play) loaded() error {
	select {
	case <-p.published:
		return fmt.Errorf("all %d events are published before the ordeal is over: it has not kept its time", len(p.load.Records))
	default:
		return nil
	}
}

// endPublishing has no more published; it may be called again.
func (p *play) endPublishing(ctx context.Context) error {
	p.enough()
	select {
	case <-p.published:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settle ends the publishing and waits until something has become of all events, and no push has come for longer than devices
// rest. What is lost it does not wait for for ever: the verdict names it.
func (p *play) settle(ctx context.Context) error {
	if err := p.endPublishing(ctx); err != nil {
		return err
	}
	p.say("%d events are published; waiting for the last promises", p.server.Audit.Published())
	overdue := time.Now().Add(settles)
	err := p.until(ctx, "everything is settled", settles+time.Minute, 500*time.Millisecond, func() bool {
		return p.server.Audit.Pending(p.stage.Receipts) <= p.report.LostAllowed || time.Now().After(overdue)
	})
	if err != nil {
		return err
	}
	last, since := -1, time.Now()
	return p.until(ctx, "no more pushes come", settles, poll, func() bool {
		if n := p.stage.Accepted(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > p.interval+time.Second
	})
}

// verdict is the audit's, and goes into the report.
func (p *play) verdict() audit.Verdict {
	v := p.server.Audit.Check(p.stage.Receipts, p.interval)
	r := p.report
	r.Events, r.Pushes, r.Lost, r.Extra = v.Published, p.stage.Accepted(), len(v.Lost), v.Extra
	r.FirstLost = p.describe(v.Lost)
	return v
}

// describe says of some events what was wanted.
func (p *play) describe(ids []string) (all []string) {
	const most = 3
	ids = ids[:min(most, len(ids))]
	for i := range p.load.Records {
		if r := &p.load.Records[i]; slices.Contains(ids, r.ID) && r.Want != mixture.Duplicate {
			all = append(all, fmt.Sprintf("%s of %s wants %v", r.ID, r.Device, r.Want))
		}
	}
	return all
}

// accepted is when pushes were accepted.
func (p *play) accepted() moments {
	var all moments
	for _, account := range []*simulator.Account{p.stage.APNs.Account(), p.stage.FCM.Account()} {
		for _, receipts := range account.Snapshot() {
			for _, r := range receipts {
				all = append(all, r.At)
			}
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// moments are times in order.
type moments []time.Time

// between is how many are from one time to before another.
func (m moments) between(from, to time.Time) int {
	first, _ := slices.BinarySearchFunc(m, from, time.Time.Compare)
	end, _ := slices.BinarySearchFunc(m, to, time.Time.Compare)
	return max(0, end-first)
}

// after is the first one from a time on, or that time where there is none.
func (m moments) after(at time.Time) time.Time {
	if i, _ := slices.BinarySearchFunc(m, at, time.Time.Compare); i < len(m) {
		return m[i]
	}
	return at
}

// until waits until something has happened. No daemon may end meanwhile by itself.
func (p *play) until(ctx context.Context, what string, within, every time.Duration, happened func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for began := time.Now(); !happened(); {
		if time.Since(began) > within {
			return fmt.Errorf("not within %v: %s", within, what)
		}
		for _, m := range p.running {
			select {
			case <-m.Ended:
				return fmt.Errorf("before this: %s: %w", what, m.Fell())
			default:
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// rest lets some time pass.
func (p *play) rest(ctx context.Context, d time.Duration) error {
	until := time.Now().Add(d)
	return p.until(ctx, "some time has passed", d+time.Minute, poll, func() bool { return time.Now().After(until) })
}

// upTo draws a time.
func (p *play) upTo(least, most time.Duration) time.Duration {
	return least + time.Duration(p.rng.Int64N(int64(most-least)))
}

// say tells how far the play is.
func (p *play) say(format string, args ...any) {
	fmt.Fprintf(p.progress, "%6.1fs %s: %s\n", time.Since(p.began).Seconds(), p.name, fmt.Sprintf(format, args...))
}

func (p *play) onStop(f func() error) { p.teardown = append(p.teardown, f) }

// tearDown ends what was started: first the daemons that still run, then who publishes and listens, then the stage.
func (p *play) tearDown() (err error) {
	for _, m := range p.running {
		m.Kill()
	}
	p.busy.Wait()
	for i := len(p.teardown) - 1; i >= 0; i-- {
		err = errors.Join(err, p.teardown[i]())
	}
	return err
}
