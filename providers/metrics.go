package providers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// States of a provider connection, as they stand in metrics.
const (
	Dialing  = "dialing"  // being made: resolving, connecting, shaking hands, waiting for the server's settings
	Open     = "open"     // takes pushes
	Draining = "draining" // takes no new ones, and is closed when those under way are answered
)

// Metrics are what all senders of the process count. Their labels come from closed sets only.
type Metrics struct {
	Connections  *prometheus.GaugeVec   // provider, state
	GoAways      *prometheus.CounterVec // provider, reason
	SendDuration *prometheus.HistogramVec
	RoundTrip    *prometheus.HistogramVec // provider
	Evictions    *prometheus.CounterVec   // provider
}

// NewMetrics registers the metrics of the senders; once per process.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		Connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pushd_provider_connections",
			Help: "Connections to a provider, by state: dialing, open, draining.",
		}, []string{"provider", "state"}),
		GoAways: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushd_goaway_total",
			Help: "GOAWAY frames received, by the provider's reason or the HTTP/2 error code.",
		}, []string{"provider", "reason"}),
		SendDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:                            "pushd_send_duration_seconds",
			Help:                            "Time from handing a push to a connection until its answer.",
			Buckets:                         []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  160,
			NativeHistogramMinResetDuration: time.Hour,
		}, []string{"provider"}),
		RoundTrip: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "pushd_provider_round_trip_seconds",
			Help:    "Time from a PING to its answer: how far away the provider is. Pipelined senders only.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"provider"}),
		Evictions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushd_provider_evictions_total",
			Help: "Idle connections closed so that another credential could have one: providers.*.connections_total is reached.",
		}, []string{"provider"}),
	}
	reg.MustRegister(m.Connections, m.GoAways, m.SendDuration, m.RoundTrip, m.Evictions)
	return m
}
