package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// runCmd is "pushd run": the daemon.
type runCmd struct {
	Settings
}

// Run serves until SIGINT or SIGTERM, and reads its files again at each SIGHUP. A second signal ends the process at once, as it would without pushd's doing:
// nothing is lost by that, the events that were not settled are read again.
func (c *runCmd) Run(p *process) error {
	log, err := newLogger(c.Log, p.stderr)
	if err != nil {
		return err
	}
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return serve(ctx, &c.Config, reloading{told: hangup, config: p.configAgain}, log, func(serving) {})
}

// adminStop is how long requests to the admin listener may take when the process ends.
const adminStop = 2 * time.Second

// serving is a daemon that runs, as the demo and the tests see it.
type serving struct {
	admin   string // host:port of the admin listener
	metrics prometheus.Gatherer
}

// serve runs the daemon until told ends, or until a part fails. It calls runs once every part runs. It is one straight line on purpose: what stands further
// up is there before, and stops after, what stands below it. The admin listener comes first and goes last, so that the
// process can be asked what it is waiting for while it starts and stops.
func serve(told context.Context, cfg *Config, again reloading, log *slog.Logger, runs func(serving)) (err error) {
	ctx, fail := context.WithCancelCause(told) // a part that ends by itself calls fail
	defer fail(nil)
	parts := &stopStack{log: log}
	defer func() {
		began := time.Now()
		if err = errors.Join(err, parts.stop()); err == nil {
			log.Info("stopped in order", "took", time.Since(began).Round(time.Millisecond))
		}
	}()

	b := thisBuild()
	log.Info("starting", "version", b.Version, "commit", b.Commit, "go", b.Go)
	limitProcess(cfg, log)
	go tuneCollector(ctx)

	reg := newRegistry(b)
	ready := newReadiness()
	admin, err := listenAdmin(cfg.Admin, reg, ready, log.With("component", "admin"))
	if err != nil {
		return err
	}
	parts.onStop("admin listener", admin.stop, adminStop)
	go func() {
		if err := admin.serve(); err != nil {
			fail(err)
		}
	}()

	engine, err := startEngine(ctx, cfg, again, reg, ready, parts, fail, log)
	if err != nil {
		return err
	}
	control, err := openControl(cfg.Store.Dir, admin, engine, log.With("component", "control"))
	if err != nil {
		return err
	}
	parts.onStop("control", control.close, time.Second)
	ready.enter(running)
	log.Info("running", "admin", admin.addr().String())
	runs(serving{admin: admin.addr().String(), metrics: reg})
	<-ctx.Done()
	ready.enter(stopping)
	if told.Err() == nil {
		return fmt.Errorf("a part failed: %w", context.Cause(ctx))
	}
	log.Info("stopping", "because", context.Cause(told))
	return nil
}
