package main

import (
	"context"
	"os"
	"time"

	"pushd/loadtest/mixture"
)

// parkedFor is how long a wake waits whose first push failed: too long for memory, so it is parked.
const parkedFor = 15 * time.Second

func diskLossLasts(*command) time.Duration { return time.Minute }

// failAtFirst lets the first push fail for half of the devices.
func failAtFirst(load *mixture.Mixture) {
	half := false
	for i := range load.Records {
		if r := &load.Records[i]; r.Want == mixture.Push && load.Faults[r.Token] == mixture.NoFault {
			if half = !half; half {
				load.Faults[r.Token] = mixture.Internal
			}
		}
	}
}

// diskLoss has one of two machines die with its disk while it holds parked wakes. The other one takes its partitions over, and a
// new machine comes in its place.
func diskLoss(ctx context.Context, p *play) error {
	p.flags = append(p.flags, "--providers.apns.retry.server_error="+parkedFor.String(), "--providers.fcm.retry.unavailable="+parkedFor.String())
	group := make(map[string]*member)
	for _, name := range []string{"a", "b"} {
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
	if err := p.flows(ctx, parkedFor/2); err != nil {
		return err
	}
	if err := p.endPublishing(ctx); err != nil {
		return err
	}
	if err := p.rest(ctx, 2*time.Second); err != nil { // now all that will be parked is
		return err
	}
	a := group["a"]
	values, err := a.scrape(ctx)
	if err != nil {
		return err
	}
	parked := int(values["pushd_retry_queue_entries"])
	if err := a.kill(); err != nil {
		return err
	}
	if err := os.RemoveAll(a.ledger()); err != nil {
		return err
	}
	p.say("a is gone with its disk, on which %d wakes were parked", parked)
	delete(group, "a")
	if _, err := p.shared(ctx, group); err != nil {
		return err
	}
	if group["a"], err = p.startReady(ctx, "a"); err != nil {
		return err
	}
	if p.losesDisks {
		p.report.LostAllowed = parked
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	p.verdict()
	r := p.report
	r.figure(float64(parked), "wakes were parked on the disk that was lost")
	r.least("wakes parked on the lost disk", float64(parked), 1)
	if p.losesDisks {
		r.least("events lost, as retry.durability is local: the documented loss", float64(r.Lost), 1)
	}
	for _, m := range group {
		if err := m.stop(ctx); err != nil {
			return err
		}
	}
	return nil
}
