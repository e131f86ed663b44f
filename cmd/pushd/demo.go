package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"pushd/dispatcher"
	"pushd/loadtest/audit"
	"pushd/loadtest/management"
	"pushd/loadtest/mixture"
	"pushd/loadtest/stage"
)

// demoCmd is "pushd demo": the whole of pushd's work on this machine alone.
type demoCmd struct {
	Events  int           `help:"Records to publish, 5 at least." default:"100000" placeholder:"N"`
	Tenants int           `help:"Tenants to publish them for, 3 at least." default:"50" placeholder:"N"`
	Seed    uint64        `help:"The same seed publishes the same mixture; 0 takes one from the clock." default:"0" placeholder:"S"`
	JSON    bool          `name:"json" help:"Print the result as one JSON object."`
	Keep    bool          `help:"Keep broker, simulators and daemon running afterwards, and say how to publish by hand."`
	Within  time.Duration `help:"How long to wait for the last wake after everything was published; 1s at least. What is not settled then counts as lost." default:"90s"`
	Verbose bool          `help:"Show the daemon's log."`
}

// Help is shown by "pushd demo --help".
func (demoCmd) Help() string {
	return `Starts an embedded Kafka broker, simulators of APNs and FCM, and the daemon, all in this process and on 127.0.0.1,
and publishes a realistic mixture: bursts for one device, repeated records, dead tokens, expired events, records that
nobody can read, and providers that answer 429 and 503, reset streams and close connections.

One tenant is noisy: twice it publishes a fifth of all records at once, more than the limit of pushes to Apple lets
through. The others, who share that limit with it, do not wait for it. Another begins with a certificate that Apple
refuses: its wakes are held until the files are replaced half-way, which the daemon notices by itself.

In the end an audit that knows nothing of pushd's counters holds what was published against what the simulators accepted.
Exit code 1 if a single event was lost, 130 if it was interrupted and there is no audit.`
}

// leastEvents is what it takes for each burst of the noisy tenant to have a record.
const leastEvents = 5

// Validate is for kong: the least that the demo shows takes three tenants, and a record for each burst.
func (c *demoCmd) Validate() error {
	var faults []error
	if c.Events < leastEvents {
		faults = append(faults, fmt.Errorf("--events=%d: give at least %d, for the noisy tenant publishes two bursts", c.Events, leastEvents))
	}
	if c.Tenants < 3 {
		faults = append(faults, fmt.Errorf("--tenants=%d: give at least 3, for one is noisy and one refused", c.Tenants))
	}
	if c.Within < time.Second {
		faults = append(faults, fmt.Errorf("--within=%v: give at least 1s, for what was published last takes its time too", c.Within))
	}
	return errors.Join(faults...)
}

// demoInterval is merge.interval in the demo: short, so that trailing wakes do not keep people waiting.
const demoInterval = 2 * time.Second

// Run is the demo, from the setting up to the verdict.
func (c *demoCmd) Run(p *process) (err error) {
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	if c.Seed == 0 {
		c.Seed = uint64(time.Now().UnixNano() % 1_000_000)
	}
	dir, err := os.MkdirTemp("", "pushd-demo-")
	if err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	defer os.RemoveAll(dir)
	d := &demo{cmd: c, dir: dir, out: p.stdout, err: p.stderr, load: mixture.New(c.mixture()), audit: audit.New()}
	if err := d.setUp(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.tearDown()) }()
	result, err := d.play(ctx)
	var interrupted *interruptedError
	switch {
	case errors.As(err, &interrupted) && c.JSON:
		return errors.Join(err, printJSON(p.stdout, interrupted))
	case err != nil:
		return err
	}
	if err := c.show(p.stdout, result); err != nil {
		return err
	}
	if c.Keep && ctx.Err() == nil {
		d.explain(p.stdout)
		<-ctx.Done()
	}
	return result.fault()
}

// mixture is what the demo publishes.
func (c *demoCmd) mixture() mixture.Config {
	return mixture.Config{Events: c.Events, Tenants: c.Tenants, Seed: c.Seed, Noise: noise}
}

// demo is one performance.
type demo struct {
	cmd    *demoCmd
	dir    string
	out    io.Writer
	err    io.Writer
	load   *mixture.Mixture
	audit  *audit.Audit
	stage  *stage.Stage
	server *management.Server
	cfg    Config
	daemon daemon
	hold   hold
}

// daemon is the daemon in this process: the same code as "pushd run".
type daemon struct {
	tell    context.CancelFunc
	ended   chan error
	serving serving
}

func (d *demo) setUp() (err error) {
	d.say("setting up: %d tenants, their certificates and service accounts, broker and simulators", d.cmd.Tenants)
	if d.stage, err = stage.Build(d.dir, d.load, 5*time.Millisecond); err != nil {
		return fmt.Errorf("set up the simulators: %w", err)
	}
	if err := d.spoil(); err != nil {
		return errors.Join(err, d.stage.Close())
	}
	d.cfg = stagedConfig(d.dir, d.stage)
	d.cfg.Engine.Rates.APNs = d.cmd.limit()
	d.server = &management.Server{
		Broker: d.stage.Broker.Addr(), Topic: d.cfg.Kafka.Topic, Feedback: d.cfg.Feedback.Topic, Dead: d.cfg.Feedback.Dead, Audit: d.audit,
	}
	log := slog.New(slog.DiscardHandler)
	if d.cmd.Verbose {
		log = slog.New(slog.NewTextHandler(d.err, nil))
	}
	ctx, tell := context.WithCancel(context.Background())
	d.daemon = daemon{tell: tell, ended: make(chan error, 1)}
	runs := make(chan serving, 1)
	go func() { d.daemon.ended <- serve(ctx, &d.cfg, reloading{}, log, func(s serving) { runs <- s }) }()
	select {
	case d.daemon.serving = <-runs:
		return nil
	case err := <-d.daemon.ended:
		d.daemon.ended <- nil
		return errors.Join(err, d.tearDown())
	}
}

// stagedConfig is the configuration of a daemon on a stage: the defaults, but for the addresses, and waits that suit an
// audience.
func stagedConfig(dir string, s *stage.Stage) Config {
	cfg := DefaultConfig()
	cfg.Kafka.Brokers = []string{s.Broker.Addr()}
	cfg.Tenants.Dir = s.TenantsDir
	cfg.Store.Dir = filepath.Join(dir, "ledger")
	cfg.Engine.Merge.Interval = demoInterval
	cfg.Engine.Guard.Patience = demoInterval // a tenant has few devices here
	cfg.Engine.Retry.Durability = dispatcher.Local
	cfg.APNs.Host, cfg.APNs.Port, cfg.APNs.Connection.RootCA = s.APNs.Host(), s.APNs.Port(), s.CAFile
	cfg.APNs.Retry.ServerError, cfg.APNs.Retry.Device = time.Second, time.Second
	cfg.FCM.Endpoint, cfg.FCM.Connection.RootCA = s.FCM.URL()+"/v1", s.CAFile
	cfg.FCM.Retry.Unavailable, cfg.FCM.Retry.Quota = time.Second, time.Second
	cfg.Admin.Listen = "127.0.0.1:0"
	cfg.share()
	return cfg
}

func (d *demo) tearDown() error {
	d.daemon.tell()
	err := <-d.daemon.ended
	return errors.Join(err, d.stage.Close())
}

// play publishes the mixture, waits until everything came of it that had to, and asks the audit.
func (d *demo) play(ctx context.Context) (*demoResult, error) {
	listening, stopListening := context.WithCancel(ctx)
	defer stopListening()
	heard := make(chan error, 1)
	go func() { heard <- d.server.Listen(listening) }()
	progress := d.progress()
	published := make(chan error, 1)
	go func() { published <- d.publish(ctx) }()

	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var deadline <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil, d.interrupted(progress)
		case err := <-heard:
			if ctx.Err() != nil {
				return nil, d.interrupted(progress)
			}
			return nil, fmt.Errorf("listen to feedback: %w", err)
		case err := <-d.daemon.ended:
			d.daemon.ended <- nil
			return nil, fmt.Errorf("the daemon ended: %w", err)
		case err := <-published:
			if ctx.Err() != nil {
				return nil, d.interrupted(progress)
			}
			if err != nil {
				return nil, fmt.Errorf("publish: %w", err)
			}
			published = nil
			deadline = time.After(d.cmd.Within)
		case <-tick.C:
			pending := d.audit.Pending(d.stage.Receipts)
			done := d.audit.Published() - pending
			progress.set(done, time.Now())
			if published != nil || pending > 0 {
				continue
			}
			// Everything has come. What comes now is too much; the trailing wakes that are due get their time.
			if !d.quiet(ctx) {
				return nil, d.interrupted(progress)
			}
			progress.end()
			return d.judge(false)
		case <-deadline:
			progress.end()
			return d.judge(true)
		}
	}
}

// interruptedError is the end of a demo that somebody did not wait for. It says nothing of events that were lost.
type interruptedError struct {
	Interrupted bool   `json:"interrupted"` // true: what tells it from a result
	Seed        uint64 `json:"seed"`
	Published   int    `json:"published"`
	Events      int    `json:"events"` // that were to be published
}

func (e *interruptedError) Error() string {
	return fmt.Sprintf("interrupted after %d of %d events; no audit was made", e.Published, e.Events)
}

func (d *demo) interrupted(progress *demoProgress) error {
	progress.end()
	return &interruptedError{Interrupted: true, Seed: d.cmd.Seed, Published: d.audit.Published(), Events: d.cmd.Events}
}

// quiet waits until no push was accepted for a while longer than devices rest.
func (d *demo) quiet(ctx context.Context) bool {
	for last := -1; last != d.stage.Accepted(); {
		last = d.stage.Accepted()
		select {
		case <-ctx.Done():
			return false
		case <-time.After(demoInterval + 500*time.Millisecond):
		}
	}
	return true
}

func (d *demo) progress() *demoProgress {
	w := d.err
	if d.cmd.JSON {
		w = io.Discard
	}
	return newDemoProgress(w, d.cmd.Events, onTerminal(w), time.Now())
}

// say tells people what goes on; machines want the result only.
func (d *demo) say(format string, args ...any) {
	if !d.cmd.JSON {
		fmt.Fprintf(d.err, format+"\n", args...)
	}
}

// show prints the result.
func (c *demoCmd) show(w io.Writer, r *demoResult) error {
	if c.JSON {
		return printJSON(w, r)
	}
	return r.table(w)
}

// explain says how to go on by hand.
func (d *demo) explain(w io.Writer) {
	t := d.load.Tenants[0]
	fmt.Fprintf(w, `
Still running; end it with Ctrl-C.
  broker      %s, topic %s
  simulators  APNs https://%s, FCM %s
  metrics     curl -s http://%s/metrics
Publish an event by hand, for example with kcat:
  echo '%s/device-x {"provider":"apns","token":"aa11bb22","push_magic":"magic-x"}' | \
    kcat -P -b %s -t %s -K ' '
`, d.stage.Broker.Addr(), d.cfg.Kafka.Topic, d.stage.APNs.Addr(), d.stage.FCM.URL(), d.daemon.serving.admin, t.Name, d.stage.Broker.Addr(), d.cfg.Kafka.Topic)
}
