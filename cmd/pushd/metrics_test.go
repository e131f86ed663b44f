package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"pushd/loadtest/mixture"
)

// metricsOf runs a load of so many tenants and gives what the daemon's /metrics are then.
func metricsOf(t *testing.T, tenants int) string {
	t.Helper()
	p := playOf(t, mixture.New(mixture.Config{Events: 3000, Tenants: tenants, Seed: 21}))
	daemon := p.daemon("daemon")
	p.publish(p.load.Records, 0)
	p.settled(len(p.load.Records))
	_, metrics := daemon.ask(t, "/metrics")
	daemon.stop(t)
	return metrics
}

func TestMetricsAreAsPrometheusWantsThemAndDoNotGrowWithTheTenants(t *testing.T) {
	t.Parallel()
	few := metricsOf(t, 10)
	lint(t, few)
	less, more := series(few), series(metricsOf(t, 400))
	for name := range more {
		if !less[name] && strings.Contains(name, "tenant") {
			t.Errorf("with more tenants there is also %s", name)
		}
	}
	// A provider's answer that came only once makes a series more.
	if len(more) > len(less)+50 {
		t.Errorf("%d series with 400 tenants, %d with 10", len(more), len(less))
	}
}

// lint holds the metrics against the rules of Prometheus: those of its library and, where it is installed, of promtool.
func lint(t *testing.T, metrics string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(metrics)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not there; it has a rule or two more than its library")
		return
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(metrics)
	if says, err := check.CombinedOutput(); err != nil || len(bytes.TrimSpace(says)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, says)
	}
}

// series are the names with labels, without those that have a bound of their own (expirySeries).
func series(metrics string) map[string]bool {
	all := make(map[string]bool)
	for line := range strings.Lines(metrics) {
		name, _, _ := strings.Cut(line, " ")
		if name != "#" && !strings.HasPrefix(name, "pushd_credential_expiry_timestamp_seconds{") {
			all[name] = true
		}
	}
	return all
}
