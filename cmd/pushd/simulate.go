package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"pushd/providers"
	"pushd/providers/simulator"
	"pushd/queue"
	"pushd/queue/embedded"
	"pushd/queue/event"
)

// simulateCmd is "pushd simulate": all that "pushd run" needs around it, for a trial by hand.
type simulateCmd struct {
	Dir      string        `required:"" help:"Directory of the trial. It is made where it is missing; what is in it is used again." placeholder:"DIR"`
	APNs     string        `name:"apns" help:"Where the APNs simulator listens." default:"127.0.0.1:2197"`
	FCM      string        `name:"fcm" help:"Where the FCM simulator listens." default:"127.0.0.1:8443"`
	FCMToken string        `name:"fcm-token" help:"Where the FCM simulator gives out access tokens." default:"127.0.0.1:8444"`
	Broker   string        `name:"broker" help:"Where the embedded Kafka broker listens; with --no-broker, where your own does." default:"127.0.0.1:9092"`
	NoBroker bool          `name:"no-broker" help:"Start no Kafka broker."`
	Tenants  int           `help:"How many tenants there are at least." default:"1" placeholder:"N"`
	Latency  time.Duration `help:"How long the simulators take for an answer." default:"20ms"`
	Faults   string        `help:"What goes wrong, and when: a script. It begins once all is started; SIGHUP reads it again and begins anew." placeholder:"FILE"`
	JSON     bool          `name:"json" help:"Print what happens as JSON, one object per line."`
}

// Help is shown by "pushd simulate --help".
func (simulateCmd) Help() string {
	return `Starts simulators of APNs and FCM and an embedded Kafka broker, on this machine only, and writes a configuration for them
into DIR: pushd.yaml, and one tenant "acme" with an MDM push certificate and a service account. In another terminal,

  ./pushd run --config DIR/pushd.yaml

is then the real daemon, and whatever is published to pushd.checkin is pushed to the simulators: "acme" is the tenant to
publish for. Every push that is accepted is a line here, every refusal another, with the provider's own reason. The simulators
refuse what Apple and Google refuse: a wrong topic, a token that is not hex, a payload that is too large.

With --tenants 1000 there are "acme" and "acme-2" to "acme-1000", each with a certificate and a service account of its own.

With --faults FILE things go wrong as the file says, counted from the start:

` + indented(faultsInBrief) + `
docs/faults.example.yaml has all there is. A file that no provider could play is refused, with its lines. Change it and
"kill -HUP" this process, and it is played anew; if there is a fault in it, the old one goes on.

Of tokens only the beginning is shown: whoever has a token and its tenant's credential can push to the device. "push 2" is
the second that was accepted for that token since this command was started.

What is in DIR stays there, so the trial can be stopped and gone on with, both sides, and nothing published is lost. Change
pushd.yaml as you like, but for the addresses: those are this command's flags. Delete DIR to begin anew.`
}

// faultsInBrief is a script to learn from.
const faultsInBrief = `faults:
  - provider: apns             # 20 s of calm, then a fifth of the requests fail for 10 s
    after: 20s
    for: 10s
    share: 0.2                 # of requests; tokens: 0.2 would be of tokens, always the same ones
    answer: ServiceUnavailable # a reason of the provider; or hang, reset, goaway, close
  - after: 40s                 # nobody can be reached: connections are cut, new ones refused
    for: 15s
    answer: refuse-connections
  - provider: fcm
    tenants: [acme]            # this one only; the provider is slow besides
    answer: QUOTA_EXCEEDED
    retry_after: 5
    latency: 300ms
`

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// Validate is called by kong.
func (c *simulateCmd) Validate() error {
	var faults []error
	for _, listen := range []struct{ flag, address string }{
		{"apns", c.APNs}, {"fcm", c.FCM}, {"fcm-token", c.FCMToken}, {"broker", c.Broker},
	} {
		host, _, err := net.SplitHostPort(listen.address)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("--%s: %q is not an address with a port, such as 127.0.0.1:9092", listen.flag, listen.address))
		case listen.flag == "broker" && c.NoBroker:
		case !isLoopback(host):
			faults = append(faults, fmt.Errorf("--%s: %q can be reached from other machines; the simulators are for this one", listen.flag, listen.address))
		}
	}
	if info, err := os.Stat(c.Dir); err == nil && !info.IsDir() {
		faults = append(faults, fmt.Errorf("--dir: %s is a file; name a directory, which is made where it is missing", c.Dir))
	}
	if c.Latency < 0 || c.Latency > time.Minute {
		faults = append(faults, fmt.Errorf("--latency: %v is not between 0s and 1m", c.Latency))
	}
	if c.Tenants < 1 || c.Tenants > maxTrialTenants {
		faults = append(faults, fmt.Errorf("--tenants: %d is not between 1 and %d", c.Tenants, maxTrialTenants))
	}
	return errors.Join(faults...)
}

// Run simulates until SIGINT or SIGTERM. A SIGHUP is about the script; that of a terminal that was closed ends it too.
func (c *simulateCmd) Run(p *process) error {
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return c.simulate(ctx, p, hangup, func() {})
}

// lookForRefusals is how often the simulators' accounts are looked at.
const lookForRefusals = 200 * time.Millisecond

// simulate serves until ctx ends, and reads the script again when told. It calls runs once everything can be used.
func (c *simulateCmd) simulate(ctx context.Context, p *process, told <-chan os.Signal, runs func()) (err error) {
	dir := trialDir(c.Dir)
	t := &trial{dir: dir, tenants: dir.tenants(c.Tenants), screen: &trialScreen{out: p.stdout, json: c.JSON}, told: map[string]uint64{}}
	script, err := c.readFaults(t.tenants)
	if err != nil {
		return usageError{fmt.Errorf("--faults: %w", err)}
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	if err := t.start(c, slog.New(slog.NewTextHandler(p.stderr, nil))); err != nil {
		return err
	}
	t.introduce()
	t.play(ctx, script)
	runs()
	ticker := time.NewTicker(lookForRefusals)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.tellRefusals()
		case <-told:
			script, came := c.again(t.tenants)
			if !t.screen.show(came) {
				return nil // the terminal is closed
			}
			t.play(ctx, script)
		case <-ctx.Done():
			t.faults.end()
			t.tellRefusals()
			t.sumUp()
			return nil
		}
	}
}

// again reads the script again, and says what came of it; there is none to play where it is faulty or none was given.
func (c *simulateCmd) again(tenants []trialTenant) (*simulator.Script, news) {
	script, err := c.readFaults(tenants)
	switch {
	case err != nil:
		return nil, trialScriptFaulty{happened("script_faulty"), err.Error()}
	case script == nil:
		return nil, trialScriptNone{happened("script_none")}
	}
	return script, trialScriptRead{happened("script_read"), c.Faults}
}

// trial is the simulators and the broker, running.
type trial struct {
	dir     trialDir
	tenants []trialTenant
	apns    *simulator.APNs
	fcm     *simulator.FCM
	broker  *embedded.Broker // nil with --no-broker
	kafka   string           // address of the broker, whoever's it is
	faults  trialFaults
	screen  *trialScreen
	told    map[string]uint64 // refusals on a line already, by provider and answer
}

// start starts the simulators and the broker, and writes what is missing in the directory. What was started when it fails
// is left to stop.
func (t *trial) start(c *simulateCmd, log *slog.Logger) error {
	authority, err := t.dir.authority()
	if err != nil {
		return err
	}
	t.apns, err = simulator.StartAPNs(simulator.APNsConfig{
		Listen: c.APNs, Authority: authority, Latency: c.Latency, StrictStreams: true,
		Answer: t.faults.answer(providers.APNs), Conduct: t.faults.conduct(providers.APNs), Accepted: t.tellAccepted(providers.APNs),
		// APNs itself sends a GOAWAY, in which the reason would not be seen here.
		BadCertificate: simulator.RefuseByStatus,
	})
	if err != nil {
		return fmt.Errorf("--apns: %w", elsewhereIfTaken(err, "--apns"))
	}
	t.fcm, err = simulator.StartFCM(simulator.FCMConfig{
		Listen: c.FCM, TokenListen: c.FCMToken, Authority: authority, Latency: c.Latency,
		Answer: t.faults.answer(providers.FCM), Conduct: t.faults.conduct(providers.FCM), Accepted: t.tellAccepted(providers.FCM),
	})
	if err != nil {
		return fmt.Errorf("--fcm, --fcm-token: %w", elsewhereIfTaken(err, "--fcm or --fcm-token"))
	}
	t.kafka = c.Broker
	if !c.NoBroker {
		if t.broker, err = t.dir.startBroker(c.Broker, log); err != nil {
			return fmt.Errorf("--broker: %w", elsewhereIfTaken(err, "--broker"))
		}
		t.kafka = t.broker.Addr()
	}
	if err := t.dir.writeTenants(t.tenants, authority, t.fcm); err != nil {
		return err
	}
	return t.dir.writeConfig(t)
}

// stop stops what start has started.
func (t *trial) stop() error {
	var faults []error
	t.faults.end()
	if t.broker != nil {
		t.broker.Close()
	}
	if t.apns != nil {
		faults = append(faults, t.apns.Close())
	}
	if t.fcm != nil {
		faults = append(faults, t.fcm.Close())
	}
	return errors.Join(faults...)
}

// startBroker starts the broker with its data in the directory.
func (d trialDir) startBroker(listen string, log *slog.Logger) (*embedded.Broker, error) {
	data, err := d.sub("kafka")
	if err != nil {
		return nil, err
	}
	return embedded.Start(embedded.Config{
		DataDir: data, Listen: listen, Partitions: queue.DefaultConfig().Partitions,
		Topics: []string{event.CheckinTopic, event.FeedbackTopic, event.DeadTopic}, Log: log,
	})
}
