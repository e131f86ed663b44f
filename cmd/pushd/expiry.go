package main

import (
	"context"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/providers"
)

const (
	// expirySeries bounds the series of certificate expiries.
	expirySeries = 1000
	// expiryLines bounds the lines that warn at one time.
	expiryLines = 20
	// expiryWarns and expiryUrges are how long before its end a certificate is warned of, and urgently.
	expiryWarns = 30 * 24 * time.Hour
	expiryUrges = 7 * 24 * time.Hour
)

// expiring is a certificate with an end.
type expiring struct {
	tenant string
	file   string
	at     time.Time
}

// expiries are the certificates in force, those first that expire first.
func (t *tenants) expiries() []expiring {
	return expiriesOf(maps.Values(*t.inForce.Load()))
}

func expiriesOf(tenants iter.Seq[providers.Tenant]) []expiring {
	var all []expiring
	for tenant := range tenants {
		if tenant.APNs != nil && !tenant.APNs.Expiry().IsZero() {
			all = append(all, expiring{tenant.Name, tenant.File, tenant.APNs.Expiry()})
		}
	}
	slices.SortFunc(all, func(a, b expiring) int { return a.at.Compare(b.at) })
	return all
}

// warnOfExpiry logs the certificates that expire soon.
func (t *tenants) warnOfExpiry(now time.Time) {
	soon := t.expiries()
	if end := slices.IndexFunc(soon, func(e expiring) bool { return e.at.Sub(now) >= expiryWarns }); end >= 0 {
		soon = soon[:end]
	}
	for i, e := range soon {
		if i == expiryLines {
			t.log.Warn("more certificates expire soon; pushd_credential_expiry_timestamp_seconds has them", "certificates", len(soon)-i)
			return
		}
		level := slog.LevelWarn
		if e.at.Sub(now) < expiryUrges {
			level = slog.LevelError
		}
		t.log.Log(context.Background(), level, "a push certificate is near its end: renew it, for a new one has another topic, and put it in the place of the old",
			"tenant", e.tenant, "file", e.file, "expires", e.at.UTC().Format(time.RFC3339), "days_left", int(e.at.Sub(now).Hours()/24))
	}
}

var (
	descTenants = prometheus.NewDesc("pushd_tenants", "Tenants in force.", nil, nil)
	descFaults  = prometheus.NewDesc("pushd_tenant_faults", "Faults in the tenants' files when they were last read; each is a line of the log.", nil, nil)
	descExpiry  = prometheus.NewDesc("pushd_credential_expiry_timestamp_seconds",
		"When a tenant's APNs certificate expires, as UNIX time; the 1000 that expire first.", []string{"tenant", "provider"}, nil)
)

// Describe and Collect make tenants a prometheus.Collector: what it says is true whenever it is asked.
func (t *tenants) Describe(descs chan<- *prometheus.Desc) {
	descs <- descTenants
	descs <- descFaults
	descs <- descExpiry
}

func (t *tenants) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	gauge(descTenants, float64(len(*t.inForce.Load())))
	gauge(descFaults, float64(len(*t.faults.Load())))
	first := t.expiries()
	for _, e := range first[:min(len(first), expirySeries)] {
		gauge(descExpiry, float64(e.at.Unix()), e.tenant, providers.APNs)
	}
}
