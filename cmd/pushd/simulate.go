package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os/signal"
	"slices"
	"sync"
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
	Latency  time.Duration `help:"How long the simulators take for an answer." default:"20ms"`
}

// Help is shown by "pushd simulate --help".
func (simulateCmd) Help() string {
	return `Starts simulators of APNs and FCM and an embedded Kafka broker, on this machine only, and writes a configuration for them
into DIR: pushd.yaml, and one tenant "acme" with an MDM push certificate and a service account. In another terminal,

  ./pushd run --config DIR/pushd.yaml

is then the real daemon, and whatever is published to pushd.checkin is pushed to the simulators: "acme" is the tenant to
publish for. Every push that is accepted is a line here, every refusal another, with the provider's own reason. The simulators
refuse what Apple and Google refuse: a wrong topic, a token that is not hex, a payload that is too large.

Of tokens only the beginning is shown: whoever has a token and its tenant's credential can push to the device. "push 2" is
the second for that token since this command was started.

What is in DIR stays there, so the trial can be stopped and gone on with, both sides, and nothing published is lost. Change
pushd.yaml as you like, but for the addresses: those are this command's flags. Delete DIR to begin anew.`
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
	if c.Latency < 0 || c.Latency > time.Minute {
		faults = append(faults, fmt.Errorf("--latency: %v is not between 0s and 1m", c.Latency))
	}
	return errors.Join(faults...)
}

// Run simulates until SIGINT or SIGTERM.
func (c *simulateCmd) Run(p *process) error {
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore)
	return c.simulate(ctx, p, func() {})
}

// lookForRefusals is how often the simulators' accounts are looked at.
const lookForRefusals = 200 * time.Millisecond

// simulate serves until ctx ends. It calls runs once everything can be used.
func (c *simulateCmd) simulate(ctx context.Context, p *process, runs func()) (err error) {
	t := &trial{dir: trialDir(c.Dir), out: p.stdout, told: map[string]uint64{}}
	defer func() { err = errors.Join(err, t.stop()) }()
	if err := t.start(c, slog.New(slog.NewTextHandler(p.stderr, nil))); err != nil {
		return err
	}
	t.introduce()
	runs()
	ticker := time.NewTicker(lookForRefusals)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.tellRefusals()
		case <-ctx.Done():
			t.tellRefusals()
			t.sumUp()
			return nil
		}
	}
}

// trial is the simulators and the broker, running.
type trial struct {
	dir    trialDir
	apns   *simulator.APNs
	fcm    *simulator.FCM
	broker *embedded.Broker // nil with --no-broker
	kafka  string           // address of the broker, whoever's it is

	mu   sync.Mutex // guards out: lines come from all connections
	out  io.Writer
	told map[string]uint64 // refusals on a line already, by provider and answer
}

// start starts the simulators and the broker, and writes what is missing in the directory. What was started when it fails
// is left to stop.
func (t *trial) start(c *simulateCmd, log *slog.Logger) error {
	authority, err := t.dir.authority()
	if err != nil {
		return err
	}
	t.apns, err = simulator.StartAPNs(simulator.APNsConfig{
		Listen: c.APNs, Authority: authority, Latency: c.Latency, StrictStreams: true, Answer: t.accept(providers.APNs),
		// APNs itself sends a GOAWAY, in which the reason would not be seen here.
		BadCertificate: simulator.RefuseByStatus,
	})
	if err != nil {
		return fmt.Errorf("--apns: %w", err)
	}
	t.fcm, err = simulator.StartFCM(simulator.FCMConfig{
		Listen: c.FCM, TokenListen: c.FCMToken, Authority: authority, Latency: c.Latency, Answer: t.accept(providers.FCM),
	})
	if err != nil {
		return fmt.Errorf("--fcm, --fcm-token: %w", err)
	}
	t.kafka = c.Broker
	if !c.NoBroker {
		if t.broker, err = t.dir.startBroker(c.Broker, log); err != nil {
			return fmt.Errorf("--broker: %w", err)
		}
		t.kafka = t.broker.Addr()
	}
	if err := t.dir.writeTenant(authority, t.fcm); err != nil {
		return err
	}
	return t.dir.writeConfig(t)
}

// stop stops what start has started.
func (t *trial) stop() error {
	var faults []error
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

// accept is the Answer of a simulator: it accepts every valid push, and writes its line.
func (t *trial) accept(provider string) func(simulator.Request) simulator.Answer {
	return func(r simulator.Request) simulator.Answer {
		// Since all are accepted, the attempts before this one were pushes too.
		t.print("%s  %-4s  accepted  %s  token %s  push %d\n", r.At.Format(clock), provider, r.Topic, beginning(r.Token), r.Attempt+1)
		return simulator.Answer{}
	}
}

const clock = "15:04:05.000"

// beginning is as much of a token as may be shown: enough to tell some apart, and never half of it.
func beginning(token string) string { return token[:min(8, len(token)/2)] + "…" }

// tellRefusals writes a line for each kind of refusal since the last call.
func (t *trial) tellRefusals() {
	for _, s := range t.simulators() {
		for _, answer := range slices.Sorted(maps.Keys(s.refusals)) {
			key := s.provider + answer
			if n := s.refusals[answer] - t.told[key]; n > 0 {
				t.told[key] += n
				t.print("%s  %-4s  refused   %s%s\n", time.Now().Format(clock), s.provider, answer, times(n))
			}
		}
	}
}

func times(n uint64) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(", %d times", n)
}

// simulated is what a simulator's account says.
type simulated struct {
	provider string
	accepted uint64
	refusals map[string]uint64 // by status and reason
}

func (t *trial) simulators() []simulated {
	all := []simulated{
		{provider: providers.APNs, accepted: t.apns.Account().Count(), refusals: t.apns.Account().Answers()},
		{provider: providers.FCM, accepted: t.fcm.Account().Count(), refusals: t.fcm.Account().Answers()},
	}
	for _, s := range all {
		delete(s.refusals, "200")
	}
	return all
}

// sumUp writes how much there was of each.
func (t *trial) sumUp() {
	t.print("\n")
	for _, s := range t.simulators() {
		t.print("%-4s  %6d accepted\n", s.provider, s.accepted)
		for _, answer := range slices.Sorted(maps.Keys(s.refusals)) {
			t.print("%-4s  %6d refused: %s\n", s.provider, s.refusals[answer], answer)
		}
	}
}

// introduce says what there is, and what to do with it.
func (t *trial) introduce() {
	whose := "embedded"
	if t.broker == nil {
		whose = "your own"
	}
	t.print(`Kafka    %s, %s
APNs     %s, simulated
FCM      %s, simulated; access tokens from %s
tenant   %s: push certificate of %s, Firebase project %s

The daemon, in another terminal:
  ./pushd run --config %s
An event, in a third:
  echo '%s/device-1 {"provider":"apns","token":"aa11bb22cc33dd44","push_magic":"magic-1"}' | \
    kcat -P -b %s -t %s -K ' ' -X partitioner=murmur2_random

What the simulators accept and refuse comes below. Ctrl-C ends it.

`, t.kafka, whose, t.apns.URL(), t.fcm.URL(), t.fcm.TokenURL(), trialTenant, trialTopic, trialProject,
		t.dir.path(configName), trialTenant, t.kafka, event.CheckinTopic)
}

func (t *trial) print(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, format, args...)
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
