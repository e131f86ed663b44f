package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"pushd/loadtest/mixture"
)

// ordeal is one kind of trouble, and what of it is done to the daemons.
type ordeal struct {
	name, about string
	apache      bool                   // it needs an Apache Kafka that it may restart, or put behind a proxy
	once        bool                   // each device has one event, so that every push made twice is seen
	interval    time.Duration          // merge.interval of the daemons
	rate        float64                // part of the command line's rate
	worsen      func(*mixture.Mixture) // changes what the providers will say
	proxied     bool                   // the daemons' ways to Kafka and the providers go through proxies
	flags       []string               // of each daemon, beside those of the play
	losesDisks  bool                   // wakes that are parked on a disk are lost with it, as is documented
	lasts       func(*command) time.Duration
	do          func(context.Context, *play) error
}

// ordeals are all that there are, in the order in which they are played.
var ordeals = []ordeal{
	{
		name: "kill", about: "one daemon is killed again and again, and started with its ledger",
		interval: 10 * time.Second, rate: 1, lasts: killLasts, do: kill,
	},
	{
		name: "rebalance", about: "of three daemons one after the other is stopped, started, killed, frozen beyond its session",
		once: true, interval: time.Second, rate: 0.5, lasts: rebalanceLasts, do: rebalance,
	},
	{
		name: "broker", about: "Apache Kafka is shut down or killed under a daemon at work, and started again", apache: true,
		once: true, interval: time.Second, rate: 0.5, lasts: brokerLasts, do: broker,
	},
	{
		name: "disk-loss", about: "one of two machines dies with its disk, on which wakes are parked; retry.durability is replicated", apache: true,
		once: true, interval: time.Second, rate: 0.5, worsen: failAtFirst, lasts: diskLossLasts, do: diskLoss,
	},
	{
		name: "disk-loss-local", about: "the same, and retry.durability is local: the loss that is documented",
		once: true, interval: time.Second, rate: 0.5, worsen: failAtFirst, losesDisks: true, lasts: diskLossLasts, do: diskLoss,
	},
	{
		name: "toxics", about: "the ways to APNs, FCM and Kafka are slow, cut, reset, sliced, silent, clogged in turn", apache: true, proxied: true,
		once: true, interval: time.Second, rate: 0.4, worsen: onlyDead, lasts: toxicsLast, do: poisonNetworks, flags: soonAgain,
	},
	{
		name: "http2", about: "APNs, then FCM, misbehaves in every way that HTTP/2 allows and forbids",
		once: true, interval: time.Second, rate: 0.4, worsen: onlyDead, lasts: misbehaviourLasts, do: misbehave, flags: soonAgain,
	},
	{
		name: "soak", about: "three daemons go through all of it, in an order that is drawn; what one of them uses must stay flat", apache: true, proxied: true,
		interval: time.Second, rate: 0.5, lasts: soakLasts, do: soak, flags: append([]string{"--dedupe.window=1m"}, soonAgain...),
	},
}

// soonAgain are settings by which a daemon notices soon what does not answer, and soon tries again: an ordeal is short.
var soonAgain = []string{
	"--breaker.probe=1s", "--breaker.ramp=2s", "--providers.apns.request_timeout=5s", "--providers.fcm.request_timeout=5s",
	"--providers.apns.ping_timeout=3s", "--providers.fcm.ping_timeout=3s", "--providers.apns.dial_timeout=3s", "--providers.fcm.dial_timeout=3s",
}

// perform plays an ordeal. What was started is stopped whatever happens. Where it came to an end there is a report, also beside an
// error.
func (c *command) perform(ctx context.Context, o ordeal, stderr io.Writer) (r *Report, err error) {
	dir, err := os.MkdirTemp("", "pushd-torture-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the ordeal: %w", err)
	}
	ctx, fail := context.WithCancelCause(ctx)
	p := &play{
		command: c, ordeal: o, dir: dir, fail: fail, progress: stderr,
		rng: rand.New(rand.NewPCG(c.Seed, 0x746f7274)), began: time.Now(),
		report: &Report{Ordeal: o.name, About: o.about, Seed: c.Seed, Started: time.Now().Format(time.RFC3339)},
	}
	if c.Short {
		p.interval = time.Second // waited for at the end
	}
	p.onStop(func() error { return os.RemoveAll(dir) })
	defer func() {
		if ctx.Err() != nil && err != nil {
			err = context.Cause(ctx)
		}
		fail(nil)
		err = errors.Join(err, p.tearDown())
	}()
	p.say("seed %d", c.Seed)
	if err := p.setUp(ctx); err != nil {
		return nil, err
	}
	if err := o.do(ctx, p); err != nil {
		return nil, err
	}
	p.report.Seconds = time.Since(p.began).Seconds()
	p.report.conclude()
	return p.report, nil
}
