package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"pushd/loadtest/management"
	"pushd/loadtest/stage"
	"pushd/providers/simulator"
	"pushd/queue/embedded"
	"pushd/queue/event"
)

func TestAStopUnderLoadLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	p := embeddedPlay(t, 5000, 1)
	first := p.daemon("daemon", "--rates.total=800")
	p.publish(p.load.Records, 0)
	p.accepted(500)
	first.stop(t)
	t.Logf("stopped after %d pushes, with %d events pending", p.stage.Accepted(), p.pending())

	again := p.daemon("daemon", "--rates.total=800")
	p.settled(len(p.load.Records))
	p.balanced(again)
	p.judge(0)
	again.stop(t)
}

func TestACrashUnderLoadLosesNothingAndRepeatsWhatWasNotFlushed(t *testing.T) {
	t.Parallel()
	const (
		rate    = 500
		crashes = 2
		// What one crash may repeat: pushes that were under way, and those whose outcome was not in the ledger yet.
		// The limiter may let a burst of 50 ms go at once.
		bound = int(rate * (answersAfter + flushes + writes + 50*time.Millisecond) / time.Second)
	)
	p := embeddedPlay(t, 5000, 2)
	refused := withDevices(p.load)[0]
	if _, err := p.stage.Renew(refused, simulator.PushOptions{Environment: simulator.Sandbox}); err != nil {
		t.Fatal(err)
	}
	daemon := p.daemon("daemon", "--rates.total=500")
	held := func() bool { return daemon.metric(t, "pushd_holds") > 0 }
	p.publish(p.load.Records, 0)
	for i := range crashes {
		p.accepted((i + 1) * 500)
		p.eventually("wakes are held", held)
		daemon.kill()
		t.Logf("crash after %d pushes, with %d events pending", p.stage.Accepted(), p.pending())
		daemon = p.daemon("daemon", "--rates.total=500")
	}
	p.eventually("wakes are held again", held)
	if _, err := p.stage.Renew(refused, simulator.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	p.settled(len(p.load.Records))
	p.balanced(daemon)
	p.judge(crashes * bound)
	daemon.stop(t)
}

func TestADaemonThatStartsBeforeItsBrokerWaitsForIt(t *testing.T) {
	t.Parallel()
	p := newPlay(t, newLoad(200, 3))
	cfg := stage.BrokerConfig(p.dir)
	there, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = there.Addr()
	there.Close()
	p.interval, p.session, p.group = time.Second, memberSession, "pushd"
	p.brokers = cfg.Listen
	p.server = &management.Server{Topic: event.CheckinTopic, Feedback: event.FeedbackTopic, Dead: event.DeadTopic}

	daemon := p.daemon("daemon")
	p.eventually("/readyz says why it is not ready", func() bool {
		status, body := daemon.ask(t, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "check kafka.brokers")
	})
	if status, _ := daemon.ask(t, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	broker, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	p.open(cfg.Listen)
	daemon.ready(t)
	p.publish(p.load.Records, 0)
	p.settled(len(p.load.Records))
	p.judge(0)
	daemon.stop(t)
}
