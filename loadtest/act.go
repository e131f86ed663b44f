package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pushd/providers/simulator"
)

// swap is a certificate that was replaced.
type swap struct {
	tenant  string
	serial  string
	at      time.Time
	refused bool
}

// act does what the scenario has for the operator to do, at its times. Its caller reads swaps only when it has returned.
func (r *run) act(ctx context.Context) error {
	acts := slices.Clone(r.scenario.Acts)
	slices.SortStableFunc(acts, func(a, b Act) int { return int(a.After - b.After) })
	for _, a := range acts {
		timer := time.NewTimer(time.Until(r.start.Add(a.After)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := r.renew(a); err != nil {
			return err
		}
	}
	return nil
}

// renew replaces the push certificates of a group.
func (r *run) renew(a Act) error {
	opts := simulator.PushOptions{}
	if a.Refused {
		opts.Environment = simulator.Sandbox // the simulator is the other one
	}
	for _, tenant := range r.fleet.tenantsOf(a.Renew) {
		serial, err := r.stage.Renew(tenant, opts)
		if err != nil {
			return fmt.Errorf("replace the certificate of %s: %w", tenant.Name, err)
		}
		r.swaps = append(r.swaps, swap{tenant: tenant.Name, serial: serial, at: time.Now(), refused: a.Refused})
	}
	return nil
}
