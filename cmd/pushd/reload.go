package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/dispatcher"
)

// reloading is how a daemon comes to read its configuration again. The zero value never does; tenants are watched anyway.
type reloading struct {
	told   <-chan os.Signal        // SIGHUP
	config func() (*Config, error) // reads the configuration as it was read at the start
}

// configAgain reads the configuration once more from the command line that the process was called with: flags and
// environment go before the file as they did at the start.
func (p *process) configAgain() (*Config, error) {
	again := &commands{}
	if _, err := newParser(again, p, func(int) {}).Parse(p.args); err != nil {
		return nil, err
	}
	return &again.Run.Config, nil
}

// reloader puts changed files in force while the daemon runs: the tenants' when they change, and at a SIGHUP those and
// the configuration, of which only rates can change.
//
//	folderWatch, poll ─────────▶ tenants ─────▶ engine.Renew
//	SIGHUP ──▶ configuration ──▶ senders.setRates, engine.SetRates ──▶ engine.Renew
//
// Its goroutine owns all of it.
type reloader struct {
	again   reloading
	inForce Config // as at the start, but for the rates
	tenants *tenants
	senders *senders
	engine  *dispatcher.Engine
	metrics *reloadMetrics
	log     *slog.Logger

	configWell  bool
	tenantsWell bool
}

func newReloader(again reloading, cfg *Config, tenants *tenants, senders *senders, engine *dispatcher.Engine, reg prometheus.Registerer, log *slog.Logger) *reloader {
	r := &reloader{
		again: again, inForce: *cfg, tenants: tenants, senders: senders, engine: engine, metrics: newReloadMetrics(reg), log: log,
		configWell: true, tenantsWell: len(*tenants.faults.Load()) == 0,
	}
	r.conclude()
	return r
}

const (
	// settles is how long after a change the files are read: a change is seldom alone.
	settles = 250 * time.Millisecond
	// settlesBy is when they are read even if the changes do not end.
	settlesBy = 2 * time.Second
	// warns is how often certificates that expire soon are warned of.
	warns = 24 * time.Hour
)

// run reloads until ctx ends.
func (r *reloader) run(ctx context.Context) error {
	watch := newFolderWatch(r.log)
	defer watch.close()
	poll, day := time.NewTicker(r.inForce.Tenants.Poll), time.NewTicker(warns)
	defer poll.Stop()
	defer day.Stop()
	r.checkOpenFiles()
	r.tenants.warnOfExpiry(time.Now())
	r.readTenants(watch, false)
	var settled <-chan time.Time
	var latest time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watch.changes():
			if settled == nil {
				latest = time.Now().Add(settlesBy)
			}
			settled = time.After(min(settles, time.Until(latest)))
		case <-settled:
			settled = nil
			r.readTenants(watch, false)
		case err := <-watch.errors():
			r.log.Warn("changes of the tenants' files may have gone unseen; they are read now", "error", err)
			r.readTenants(watch, false)
		case <-poll.C:
			r.readTenants(watch, false)
		case <-r.again.told:
			r.log.Info("told to reload")
			r.readConfig()
			r.readTenants(watch, true)
		case <-day.C:
			r.tenants.warnOfExpiry(time.Now())
		}
	}
}

// readTenants reads the tenants' files again, and once more where a folder was not watched until then: its files may have
// changed in between. A file that was read so may name a folder more.
func (r *reloader) readTenants(watch *folderWatch, asked bool) {
	for range 3 {
		if fresh := r.readTenantsOnce(watch, asked); !fresh {
			return
		}
		asked = false
	}
}

// readTenantsOnce says whether a folder was not watched before. Unless it was asked for, it logs only where something is new.
func (r *reloader) readTenantsOnce(watch *folderWatch, asked bool) (fresh bool) {
	began := time.Now()
	result := r.tenants.again()
	fresh = watch.on(r.tenants.files.Folders())
	if len(result.roads) > 0 {
		r.engine.Renew(result.roads)
		r.checkOpenFiles()
	}
	if r.tenantsWell = result.faults == 0; asked || result.news {
		r.conclude()
		r.log.Info("tenants read again", "changed", len(result.roads), "faults", result.faults, "took", time.Since(began))
	}
	return fresh
}

// checkOpenFiles warns where the tenants have become too many.
func (r *reloader) checkOpenFiles() {
	if err := checkOpenFiles(&r.inForce, len(*r.tenants.inForce.Load())); err != nil {
		r.log.Warn("connections may fail when all tenants are busy", "error", err)
	}
}

// readConfig reads the configuration again. A faulty one is refused as a whole.
func (r *reloader) readConfig() {
	if r.again.config == nil {
		return
	}
	next, err := r.again.config()
	if r.configWell = err == nil; err != nil {
		r.conclude() // before the faults are logged: who reads of them finds them in the metrics
		r.refuse(err)
		return
	}
	var now, later []string
	before, after := settingValues(&r.inForce), settingValues(next)
	for _, flag := range newCatalogue().order {
		was, is := before[flag.Name], after[flag.Name]
		switch {
		case reflect.DeepEqual(was.Interface(), is.Interface()):
		case firstPart(flag.Name) == "rates":
			now = append(now, fmt.Sprintf("%s=%s", flag.Name, written(is)))
		default:
			later = append(later, flag.Name)
		}
	}
	if len(now) > 0 {
		r.inForce.Engine.Rates = next.Engine.Rates
		r.senders.setRates(next.Engine.Rates)
		r.engine.SetRates(next.Engine.Rates)
		r.engine.Renew(r.tenants.roads())
		r.log.Info("new rates are in force", "settings", strings.Join(now, ", "))
	}
	if len(later) > 0 {
		r.log.Warn("some changes take effect at the next start", "settings", strings.Join(later, ", "))
	}
}

// refuse logs what is wrong with a configuration, fault by fault.
func (r *reloader) refuse(err error) {
	const refused = "the configuration is refused as a whole, the one in force stays: mend it and send SIGHUP again"
	var faulty *faultsError
	if !errors.As(err, &faulty) {
		r.log.Error(refused, "fault", err)
		return
	}
	for _, f := range faulty.faults {
		r.log.Error(refused, "fault", f.String())
	}
}

// conclude tells the metrics how the last reading ended.
func (r *reloader) conclude() {
	if !r.configWell || !r.tenantsWell {
		r.metrics.successful.Set(0)
		return
	}
	r.metrics.successful.Set(1)
	r.metrics.succeeded.SetToCurrentTime()
}

type reloadMetrics struct {
	successful prometheus.Gauge
	succeeded  prometheus.Gauge
}

func newReloadMetrics(reg prometheus.Registerer) *reloadMetrics {
	m := &reloadMetrics{
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pushd_config_last_reload_successful",
			Help: "1 where the configuration and the tenants' files had no fault when they were last read, otherwise 0.",
		}),
		succeeded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pushd_config_last_reload_success_timestamp_seconds",
			Help: "When the configuration or the tenants' files were last taken over without a fault, as UNIX time.",
		}),
	}
	reg.MustRegister(m.successful, m.succeeded)
	return m
}
