package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"pushd/loadtest/mixture"
	"pushd/providers/simulator"
)

// noise is the part of all events that the noisy tenant publishes in bursts.
const noise = 0.4

// pace is how many records per second are published, but for the bursts: all in four seconds, if that is not so fast that
// the demo shows how busy this machine is.
func (c *demoCmd) pace() float64 { return min(10_000, (1-noise)*float64(c.Events)/4) }

// limit is rates.apns in the demo. The others need about half of it all the time; a burst of the noisy tenant alone would
// take a second of it, or more.
func (c *demoCmd) limit() float64 { return max(100, c.pace()/3) }

// publish publishes the mixture: quarter by quarter what comes at an even pace, and beside the second quarter and the
// fourth, as fast as the broker takes it, a burst of the noisy tenant. In between the refused certificate is replaced.
func (d *demo) publish(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var bursts sync.WaitGroup
	failures := make([]error, len(d.load.Bursts))
	records := d.load.Records
	var err error
	for i := 0; i < 4 && err == nil; i++ {
		switch i {
		case 1, 3:
			bursts.Go(func() { failures[i/2] = d.server.Publish(ctx, d.load.Bursts[i/2], 0) })
		case 2:
			err = d.replace()
		}
		err = errors.Join(err, d.server.Publish(ctx, records[len(records)*i/4:len(records)*(i+1)/4], d.cmd.pace()))
	}
	if err != nil {
		cancel()
	}
	bursts.Wait()
	return errors.Join(append(failures, err)...)
}

// hold is the time of a certificate that is refused.
type hold struct {
	tenant mixture.Tenant
	events int    // that were held when it was replaced
	serial string // of the new one
	ends   time.Time
}

// spoil gives a tenant with Apple devices only, and not the noisy one, a certificate that is for development: Apple refuses
// it for production.
func (d *demo) spoil() error {
	d.hold.tenant = d.load.Tenants[2]
	_, err := d.stage.Renew(d.hold.tenant, simulator.PushOptions{Environment: simulator.Sandbox})
	return err
}

// replace replaces that certificate, as an operator would: pushd is not told.
func (d *demo) replace() error {
	own, err := d.ownAccount()
	if err != nil {
		return err
	}
	d.hold.events = int(own["pushd_holds"])
	d.hold.ends = time.Now()
	d.hold.serial, err = d.stage.Renew(d.hold.tenant, simulator.PushOptions{})
	return err
}
