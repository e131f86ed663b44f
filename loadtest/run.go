package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pushd/loadtest/broker"
	"pushd/loadtest/daemon"
	"pushd/loadtest/management"
	"pushd/loadtest/mixture"
	"pushd/loadtest/promise"
	"pushd/loadtest/stage"
	"pushd/providers/simulator"
	"pushd/queue"
	"pushd/queue/embedded"
	"pushd/queue/event"
)

// run is one run of a scenario:
//
//	set the stage ─▶ daemon ready ─▶ publish, act, sample each second ─▶ drain ─▶ rest ─▶ judge
type run struct {
	scenario *Scenario
	warm     time.Duration // how long the publisher is not judged
	known    int           // devices that the daemon has in its ledger when it starts
	seed     uint64
	brokers  []string // empty: the embedded broker is started
	pushd    string   // path of the binary; empty: it is built
	log      io.Writer
	progress *progress

	dir        string
	teardown   []func() error // run in reverse
	fleet      *fleet
	book       *promise.Book
	stage      *stage.Stage
	topics     management.Server // whose names it has
	parked     string            // the topic of parked wakes; empty: the daemon keeps them
	daemon     *daemon.Daemon
	scrapes    *scraper
	publisher  *publisher
	filled     bool      // all was published before the run began
	start      time.Time // of publishing
	ended      time.Time // of watching
	samples    []sample  // by second
	swaps      []swap
	readyAfter time.Duration            // from the daemon's start
	begin      used                     // when it was ready
	before     standing                 // then; of a backlog, some may be done already
	published  used                     // when the last event was published, or the backlog was done
	last       used                     // at the last sample
	parts      map[string]time.Duration // CPU time of this process while events were published, by its parts
	strays     atomic.Int64             // pushes for tokens that no device has
	letters    atomic.Int64
	dead       atomic.Int64
}

// standing is what has come of the events at some time.
type standing struct{ pushes, open int }

// perform runs the scenario. What was started is stopped whatever happens.
func (r *run) perform(ctx context.Context) (res *Result, err error) {
	defer func() { err = errors.Join(err, r.tearDown()) }()
	if err := r.setUp(ctx); err != nil {
		return nil, err
	}
	if err := r.startDaemon(ctx); err != nil {
		return nil, err
	}
	err = r.watched(ctx, func(ctx context.Context, fail context.CancelCauseFunc) error {
		drained, err := r.load(ctx, fail)
		if err == nil {
			res, err = r.result(drained)
		}
		return err
	})
	return res, err
}

// setUp sets the stage, without the daemon.
func (r *run) setUp(ctx context.Context) (err error) {
	if len(r.brokers) > 0 { // the longest wait, and the one for which only the caller can do something, comes first
		r.progress.stage("looking for the broker at %s", strings.Join(r.brokers, ", "))
		if err := named(r.brokers).Await(ctx, broker.Within); err != nil {
			return err
		}
	}
	if r.dir, err = os.MkdirTemp("", "pushd-load-"); err != nil {
		return fmt.Errorf("make a directory for the load test: %w", err)
	}
	r.onStop(func() error { return os.RemoveAll(r.dir) })
	if r.pushd == "" {
		r.progress.stage("building pushd")
		if r.pushd, err = daemon.Build(ctx, r.dir); err != nil {
			return err
		}
	}
	s := r.scenario
	r.fleet = newFleet(s.Groups, r.seed)
	r.book = promise.New(promise.Config{
		Interval: s.Interval, Fleet: r.fleet.devices, Classes: len(s.Groups) * providers, Lanes: len(r.fleet.tenants) * providers,
		Longest: s.longest(),
	})
	r.progress.stage("setting up: %d tenants with %d devices, broker and simulators", len(r.fleet.tenants), len(r.fleet.devices))
	played := &mixture.Mixture{Tenants: r.fleet.tenants, Faults: r.fleet.dead}
	as(theSimulators, func() {
		r.stage, err = stage.BuildProviders(r.dir, played, s.Latency, stage.Accepted(r.accepted), stage.Script(s.script))
	})
	if err != nil {
		return fmt.Errorf("set up the simulators: %w", err)
	}
	r.onStop(r.stage.Close)
	if err := r.setUpTopics(ctx); err != nil {
		return err
	}
	r.publisher = newPublisher(r.brokers, r.topics.Topic, newPlan(r.fleet, s.Duration, r.seed), r.book)
	r.publisher.warm = r.warm
	if r.known > 0 {
		r.progress.stage("writing a ledger with %d devices", r.known)
		return r.know(r.known)
	}
	return nil
}

// startDaemon starts the daemon, and returns when it is ready.
func (r *run) startDaemon(ctx context.Context) (err error) {
	r.progress.stage("starting pushd")
	started := time.Now()
	if r.daemon, err = daemon.Start(r.pushd, r.flags(), r.log); err != nil {
		return err
	}
	r.onStop(r.daemon.Stop)
	if err := r.daemon.Ready(ctx); err != nil {
		return err
	}
	r.scrapes = newScraper(r.daemon.Addr)
	r.begin, err = r.used()
	r.last, r.readyAfter, r.before = r.begin, r.begin.at.Sub(started), standing{r.stage.Accepted(), r.book.Open()}
	return err
}

// begun says that now is the beginning of the run.
func (r *run) begun() {
	r.start = time.Now()
	r.book.Begin(r.start)
}

func (r *run) tearDown() (err error) {
	for i := len(r.teardown) - 1; i >= 0; i-- {
		err = errors.Join(err, r.teardown[i]())
	}
	return err
}

// ledger is the daemon's directory.
func (r *run) ledger() string { return filepath.Join(r.dir, "ledger") }

func (r *run) onStop(f func() error) { r.teardown = append(r.teardown, f) }

// topicsWithin is how long a broker may take to make the topics of a run.
const topicsWithin = 2 * time.Minute

// setUpTopics starts the embedded broker, or makes topics of this run's own on another one.
func (r *run) setUpTopics(ctx context.Context) (err error) {
	r.topics = management.Server{Topic: event.CheckinTopic, Feedback: event.FeedbackTopic, Dead: event.DeadTopic}
	if len(r.brokers) == 0 {
		cfg := stage.BrokerConfig(r.dir)
		cfg.Partitions = r.scenario.Partitions
		cfg.DataDir = "" // in memory: a disk that is slow to sync would be measured instead of the daemon
		var broker *embedded.Broker
		as(theBroker, func() { broker, err = embedded.Start(cfg) })
		if err != nil {
			return err
		}
		r.onStop(func() error { broker.Close(); return nil })
		r.brokers = []string{broker.Addr()}
		r.topics.Broker = broker.Addr()
		return nil
	}
	unique := fmt.Sprintf("pushd-load-%d.", time.Now().UnixNano())
	r.topics = management.Server{Broker: r.brokers[0], Topic: unique + event.CheckinTopic, Feedback: unique + event.FeedbackTopic, Dead: unique + event.DeadTopic}
	cfg := queue.DefaultConfig()
	cfg.Brokers, cfg.Partitions = r.brokers, r.scenario.Partitions
	ctx, cancel := context.WithTimeout(ctx, topicsWithin)
	defer cancel()
	r.parked = unique + "pushd.parked"
	names := []string{r.topics.Topic, r.topics.Feedback, r.topics.Dead, r.parked}
	compacted := queue.Topic{Name: r.parked, Configs: map[string]string{"cleanup.policy": "compact"}}
	if err := queue.EnsureTopics(ctx, cfg, queue.Topic{Name: names[0]}, queue.Topic{Name: names[1]}, queue.Topic{Name: names[2]}, compacted); err != nil {
		return fmt.Errorf("make topics for this run: %w", err)
	}
	r.onStop(func() error { return deleteTopics(r.brokers, names) })
	return nil
}

// flags are the daemon's: those that connect it with the stage, and the scenario's.
func (r *run) flags() []string {
	apns, fcm := r.stage.APNs, r.stage.FCM
	flags := []string{
		"--admin.listen=127.0.0.1:0", "--kafka.group=" + r.topics.Topic,
		"--kafka.topic=" + r.topics.Topic, "--kafka.feedback_topic=" + r.topics.Feedback, "--kafka.dead_topic=" + r.topics.Dead,
		"--tenants.dir=" + r.stage.TenantsDir, "--store.dir=" + r.ledger(), fmt.Sprint("--merge.interval=", r.scenario.Interval),
		"--providers.apns.host=" + apns.Host(), fmt.Sprint("--providers.apns.port=", apns.Port()), "--providers.apns.root_ca=" + r.stage.CAFile,
		"--providers.fcm.endpoint=" + fcm.URL() + "/v1", "--providers.fcm.root_ca=" + r.stage.CAFile,
	}
	if r.parked == "" {
		flags = append(flags, "--retry.durability=local") // the embedded broker is on this machine
	} else {
		flags = append(flags, "--retry.topic="+r.parked)
	}
	for _, broker := range r.brokers {
		flags = append(flags, "--kafka.brokers="+broker)
	}
	return append(flags, r.scenario.Daemon...)
}

// load publishes, acts and watches, and returns how long the last promise took after the end of the plan.
func (r *run) load(ctx context.Context, fail context.CancelCauseFunc) (drained time.Duration, err error) {
	r.begun()
	acting, stopActing := context.WithCancel(ctx)
	var actors sync.WaitGroup
	actors.Go(func() {
		if err := r.act(acting); err != nil {
			fail(err)
		}
	})
	actors.Go(func() { r.playFaults(acting) })
	published := make(chan error, 1)
	actors.Go(func() { as(thePublisher, func() { published <- r.publisher.run(acting, r.start) }) })
	var own profiled
	own.begin()
	defer func() {
		_, ending := own.end() // of a run that was broken off; nobody reads it
		err = errors.Join(err, ending)
	}()
	defer actors.Wait()
	defer stopActing()

	w := newWatch()
	defer w.stop()
	var ended, kept time.Time // when all was published; when the last promise was kept
	for {
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case err := <-published:
			if err != nil {
				return 0, err
			}
			published, ended = nil, time.Now()
			if r.published, err = r.used(); err != nil {
				return 0, err
			}
			parts, err := own.end()
			if err != nil {
				return 0, err
			}
			r.spent(parts)
		case <-w.second.C:
			if err := r.sample(ctx); err != nil {
				return 0, err
			}
		case now := <-w.look.C:
			switch {
			case ended.IsZero():
			case kept.IsZero():
				if r.book.Open() == 0 || now.Sub(ended) > r.scenario.Drain {
					kept = now
				}
			case now.Sub(kept) > r.scenario.rest(): // what came meanwhile was too much
				r.ended = now
				return max(0, kept.Sub(r.start.Add(r.scenario.Duration))), nil
			}
		}
	}
}

// rest is how long to wait for pushes that nobody asked for: longer than devices rest.
func (s *Scenario) rest() time.Duration { return s.Interval + time.Second }

// longest is how long a run can take.
func (s *Scenario) longest() time.Duration { return s.Duration + s.Drain + s.rest() + 10*time.Second }

// accepted takes a simulator's word on a push.
func (r *run) accepted(token string, receipt simulator.Receipt, _ int) {
	n, ok := r.fleet.ofToken(token)
	if !ok || r.fleet.token(n) != token {
		r.strays.Add(1)
		return
	}
	r.book.Accepted(n, receipt.At)
}

// extra is how many pushes were accepted that no event asked for, those to tokens that nobody has among them.
func (r *run) extra() int { return r.book.Extra() + int(r.strays.Load()) }

// playFaults has the providers do what the scenario says.
func (r *run) playFaults(ctx context.Context) {
	if r.scenario.script == nil {
		return
	}
	r.scenario.script.Start(r.start)
	r.scenario.script.Play(ctx, r.stage.APNs, r.stage.FCM, func(simulator.Turn) {})
}

// Feedback is told what pushd says of a device.
func (r *run) Feedback(f event.Feedback) {
	if n, ok := r.fleet.ofDevice(f.Device); ok && f.Outcome == event.TokenDead {
		r.dead.Add(1)
		r.book.Dead(n, f.ObservedAt)
	}
}

// DeadLetter is told of a record that pushd takes for no event.
func (r *run) DeadLetter([]byte) { r.letters.Add(1) }
