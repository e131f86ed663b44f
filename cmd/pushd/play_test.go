package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pushd/loadtest/audit"
	"pushd/loadtest/management"
	"pushd/loadtest/mixture"
	"pushd/loadtest/stage"
	"pushd/queue/embedded"
	"pushd/queue/event"
)

const (
	// answersAfter is how long the simulators take for an answer.
	answersAfter = 20 * time.Millisecond
	// flushes is how often the engine writes its ledger (dispatcher.flushEvery).
	flushes = 200 * time.Millisecond
	// memberSession is short, so that a killed daemon's partitions are soon free, and not so short that a busy machine
	// takes a daemon for dead.
	memberSession = 3 * time.Second
	// writes is what a write of the ledger may take on a busy machine.
	writes = 200 * time.Millisecond
)

// play is a load for daemons that are processes of their own, and the audit that judges them from outside.
type play struct {
	t        *testing.T
	dir      string
	load     *mixture.Mixture
	stage    *stage.Stage
	server   *management.Server
	brokers  string        // for the daemons
	interval time.Duration // merge.interval
	session  time.Duration // kafka.member.session
	group    string
	parked   string // topic of parked wakes; empty: each daemon keeps its own
	daemons  []*child
}

// embeddedPlay is a play with an embedded broker.
func embeddedPlay(t *testing.T, events int, seed uint64) *play {
	t.Helper()
	return playOf(t, newLoad(events, seed))
}

// playOf is a play of a load with an embedded broker.
func playOf(t *testing.T, load *mixture.Mixture) *play {
	t.Helper()
	p := newPlay(t, load)
	broker, err := embedded.Start(stage.BrokerConfig(p.dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	p.interval, p.session, p.group = time.Second, memberSession, "pushd"
	p.server = &management.Server{Topic: event.CheckinTopic, Feedback: event.FeedbackTopic, Dead: event.DeadTopic}
	p.open(broker.Addr())
	return p
}

func newLoad(events int, seed uint64) *mixture.Mixture {
	return mixture.New(mixture.Config{Events: events, Tenants: 20, Seed: seed})
}

// newPlay sets the stage, but for the broker.
func newPlay(t *testing.T, load *mixture.Mixture) *play {
	t.Helper()
	p := &play{t: t, dir: t.TempDir(), load: load}
	var err error
	if p.stage, err = stage.BuildProviders(p.dir, p.load, answersAfter); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stage.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// open lets the management server listen to a broker.
func (p *play) open(broker string) {
	p.brokers, p.server.Broker, p.server.Audit = broker, broker, audit.New()
	p.concurrently("listen", p.server.Listen)
}

// concurrently does something until the test ends. A failure of it fails the test.
func (p *play) concurrently(what string, do func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- do(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			p.t.Errorf("%s: %v", what, err)
		}
	})
}

// publish publishes the records, so many per second, and does not wait.
func (p *play) publish(records []mixture.Record, perSecond float64) {
	p.concurrently("publish", func(ctx context.Context) error { return p.server.Publish(ctx, records, perSecond) })
}

// daemon starts a daemon with a ledger of that name. Where the same one is started again it has the ledger of before.
func (p *play) daemon(name string, args ...string) *child {
	p.t.Helper()
	apns, fcm := p.stage.APNs, p.stage.FCM
	retry := []string{"--retry.durability=local"}
	if p.parked != "" {
		retry = []string{"--retry.topic=" + p.parked, "--kafka.create_topics"}
	}
	args = append(retry, args...)
	c := startChild(p.t, name, append([]string{
		"run", "--admin.listen=127.0.0.1:0", "--kafka.brokers=" + p.brokers, "--kafka.client_id=" + name,
		"--kafka.topic=" + p.server.Topic, "--kafka.feedback_topic=" + p.server.Feedback, "--kafka.dead_topic=" + p.server.Dead,
		"--kafka.group=" + p.group, fmt.Sprint("--kafka.member.session=", p.session), fmt.Sprint("--kafka.member.heartbeat=", p.session/4),
		fmt.Sprint("--kafka.revoke_drain=", p.session/2), fmt.Sprint("--merge.interval=", p.interval),
		"--tenants.dir=" + p.stage.TenantsDir, "--store.dir=" + p.ledger(name),
		"--providers.apns.host=" + apns.Host(), fmt.Sprint("--providers.apns.port=", apns.Port()), "--providers.apns.root_ca=" + p.stage.CAFile,
		"--providers.apns.retry.server_error=1s", "--providers.apns.retry.device=1s",
		"--providers.fcm.endpoint=" + fcm.URL() + "/v1", "--providers.fcm.root_ca=" + p.stage.CAFile,
		"--providers.fcm.retry.unavailable=1s", "--providers.fcm.retry.quota=1s",
		"--guard.patience=2s",
	}, args...)...)
	p.daemons = append(p.daemons, c)
	return c
}

// ledger is the directory of a daemon's ledger.
func (p *play) ledger(name string) string { return filepath.Join(p.dir, "ledger-"+name) }

// eventually waits until something has happened; no daemon may end meanwhile by itself.
func (p *play) eventually(what string, happened func() bool) {
	p.t.Helper()
	eventually(p.t, what, happened, p.daemons...)
}

// accepted waits until so many pushes were accepted. Then the load must not be over, or what the test does to it
// proves nothing.
func (p *play) accepted(n int) {
	p.t.Helper()
	p.eventually(fmt.Sprint(n, " pushes are accepted"), func() bool { return p.stage.Accepted() >= n })
	if p.server.Audit.Published() == len(p.load.Records) && p.pending() == 0 {
		p.t.Fatal("the load is over already")
	}
}

func (p *play) pending() int { return p.server.Audit.Pending(p.stage.Receipts) }

// settled waits until so many records are published, something has become of all of them, and no push has come for
// longer than devices rest; the account of each daemon that runs must be even then (I7). What is lost it does not wait for
// for ever: the verdict names it.
func (p *play) settled(records int) {
	p.t.Helper()
	overdue := time.Now().Add(patience * 3 / 4)
	p.eventually("everything is published and settled", func() bool {
		return p.server.Audit.Published() == records && (p.pending() == 0 || time.Now().After(overdue))
	})
	p.quiet()
	for _, c := range p.daemons {
		if c.runs() {
			p.balanced(c)
		}
	}
}

func (p *play) quiet() {
	p.t.Helper()
	last, since := -1, time.Now()
	p.eventually("no more pushes come", func() bool {
		if n := p.stage.Accepted(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > p.interval+500*time.Millisecond
	})
}

// judge holds the audit's verdict against how many pushes may have been made too many.
func (p *play) judge(extra int) {
	p.t.Helper()
	v := p.server.Audit.Check(p.stage.Receipts, p.interval)
	if len(v.Lost) > 0 {
		p.t.Errorf("lost %d of %d events: %s", len(v.Lost), v.Published, p.describe(v.Lost))
	}
	if v.Extra > extra {
		p.t.Errorf("%d pushes too many, at most %d are accounted for", v.Extra, extra)
	}
	p.t.Logf("%d events, %d pushes accepted, %d lost, %d too many (at most %d)", v.Published, p.stage.Accepted(), len(v.Lost), v.Extra, extra)
}

// describe says of some events what was wanted.
func (p *play) describe(ids []string) string {
	const most = 10
	var all []string
	for i := range p.load.Records {
		if r := &p.load.Records[i]; len(all) < most && slices.Contains(ids, r.ID) && r.Want != mixture.Duplicate {
			all = append(all, fmt.Sprintf("%s of %s wants %v", r.ID, r.Device, r.Want))
		}
	}
	return strings.Join(all, ", ")
}

// balanced checks a daemon's own account.
func (p *play) balanced(c *child) {
	p.t.Helper()
	if imbalance := c.metric(p.t, "pushd_accounting_imbalance"); imbalance != 0 {
		p.t.Errorf("the account of %s is off by %v", c.name, imbalance)
	}
}
