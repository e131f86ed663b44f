package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the ledger's own. They are taken out of the registry when it is closed: some read the database.
type metrics struct {
	registry   prometheus.Registerer
	registered []prometheus.Collector

	flush    prometheus.Histogram
	outcomes [kinds]prometheus.Counter
	corrupt  prometheus.Counter
	evicted  prometheus.Counter
	stalls   prometheus.Counter
	slow     prometheus.Counter
	aside    prometheus.Counter
	full     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		registry: reg,
		flush: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:                        "pushd_ledger_flush_duration_seconds",
			Help:                        "Time to write one flush of all partitions to the ledger and sync it.",
			Buckets:                     []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
			NativeHistogramBucketFactor: 1.1,
		}),
		corrupt: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushd_journal_corrupt_records_total",
			Help: "Journal records that were skipped because they are damaged: costs duplicates, never a wake.",
		}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushd_dedupe_evicted_total",
			Help: "Event ids forgotten before the end of the dedupe window because there were too many: costs extra pushes, never a wake.",
		}),
		stalls: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushd_pebble_write_stalls_total",
			Help: "Times that writes to the ledger had to wait for its compactions.",
		}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushd_pebble_slow_disk_total",
			Help: "Disk operations of the ledger that took longer than 5 seconds.",
		}),
	}
	m.full = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "pushd_ledger_disk_full_total",
		Help: "Times that the ledger's disk was full. It waits for room for 5 seconds, and then the process ends.",
	})
	m.aside = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "pushd_ledger_set_aside_total",
		Help: "Damaged ledgers that were set aside at the start, for a new one: what waited in them is read from the parked topic.",
	})
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pushd_ledger_outcomes_total",
		Help: "Outcomes of events that were written to the journal.",
	}, []string{"kind"})
	for k := Accepted; k < kinds; k++ {
		m.outcomes[k] = outcomes.WithLabelValues(k.String())
	}
	return m, m.register(m.flush, outcomes, m.corrupt, m.evicted, m.stalls, m.slow, m.full, m.aside)
}

// observe adds what is read from the open ledger when it is asked for.
func (m *metrics) observe(l *Ledger) error {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	counter := func(name, help string, value func(*pebble.Metrics) float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return l.measure(value) })
	}
	return m.register(
		gauge("pushd_dedupe_entries", "Event ids remembered, whole process.",
			func() float64 { return float64(l.dedupe.entries()) }),
		gauge("pushd_known_devices", "Devices whose last accepted push is remembered. One whose rest is over counts until its place is taken.",
			func() float64 { return float64(l.knownDevices()) }),
		gauge("pushd_pebble_disk_bytes", "Disk space that the ledger takes.",
			func() float64 {
				return l.measure(func(m *pebble.Metrics) float64 { return float64(m.DiskSpaceUsage()) })
			}),
		counter("pushd_pebble_wal_bytes_total", "Bytes written to the ledger's write-ahead log.",
			func(m *pebble.Metrics) float64 { return float64(m.WAL.BytesWritten) }),
		counter("pushd_pebble_compactions_total", "Compactions of the ledger.",
			func(m *pebble.Metrics) float64 { return float64(m.Compact.Count) }),
	)
}

func (m *metrics) register(collectors ...prometheus.Collector) error {
	if m.registry == nil {
		return nil
	}
	for _, c := range collectors {
		if err := m.registry.Register(c); err != nil {
			m.unregister()
			return fmt.Errorf("register the ledger's metrics: %w", err)
		}
		m.registered = append(m.registered, c)
	}
	return nil
}

func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.registry.Unregister(c)
	}
	m.registered = nil
}

// measure reads Pebble's metrics.
func (l *Ledger) measure(value func(*pebble.Metrics) float64) float64 {
	if l.enter() != nil {
		return 0
	}
	defer l.leave()
	return value(l.db.Metrics())
}
