package main

import (
	"context"
	"sync/atomic"
	"time"

	"pushd/providers/simulator"
)

// readFaults reads the script of --faults, if there is one.
func (c *simulateCmd) readFaults(tenants []trialTenant) (*simulator.Script, error) {
	if c.Faults == "" {
		return nil, nil
	}
	script, err := simulator.ReadScript(c.Faults)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, 2*len(tenants))
	for _, t := range tenants {
		names[t.topic()], names[t.project()] = string(t), string(t)
	}
	return script, script.Know(names)
}

// trialFaults is the script that is played. The zero value plays none.
type trialFaults struct {
	script atomic.Pointer[simulator.Script] // nil without one
	cancel context.CancelFunc               // of the play
	played chan struct{}                    // closed when the play has ended
}

// play plays a script from its beginning, in place of the one before. nil is none.
func (t *trial) play(ctx context.Context, script *simulator.Script) {
	if script == nil {
		return
	}
	f := &t.faults
	f.end()
	script.Start(time.Now())
	f.script.Store(script)
	ctx, f.cancel = context.WithCancel(ctx)
	f.played = make(chan struct{})
	go func() {
		defer close(f.played)
		script.Play(ctx, t.apns, t.fcm, t.tellTurn)
	}()
}

// end ends the play, and waits for it. What is in force stays so: a provider does not recover because nobody looks.
func (f *trialFaults) end() {
	if f.cancel == nil {
		return
	}
	f.cancel()
	<-f.played
}

// answer is the Answer of a simulator.
func (f *trialFaults) answer(provider string) func(simulator.Request) simulator.Answer {
	return func(r simulator.Request) simulator.Answer {
		if script := f.script.Load(); script != nil {
			return script.Answer(provider, r)
		}
		return simulator.Answer{}
	}
}

// conduct is the Conduct of a simulator.
func (f *trialFaults) conduct(provider string) func(uint64) simulator.Conduct {
	return func(uint64) simulator.Conduct {
		if script := f.script.Load(); script != nil {
			return script.Conduct(provider)
		}
		return simulator.Conduct{}
	}
}
