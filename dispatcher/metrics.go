package dispatcher

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/providers"
	"pushd/queue/event"
	"pushd/store"
)

// metrics counts what the gates see; everything else is read from the shards' books at the scrape.
type metrics struct {
	engine *Engine
	trips  map[string]*atomic.Int64 // guards that tripped, by provider

	mu    sync.Mutex // guards sends
	sends map[string]*[outcomes]int64

	endToEnd prometheus.Histogram
}

// outcomes bounds the table of counted outcomes: the providers' and the lanes' own.
const outcomes = 16

// outcomeLabels are the values of the label outcome.
var outcomeLabels = map[providers.Outcome]string{
	providers.Accepted: "accepted", providers.TokenDead: "token_dead", providers.Rejected: "rejected",
	providers.Again: "again", providers.Later: "later", providers.Refused: "refused", lapsed: "expired", barred: "barred", deferred: "deferred",
}

func place(o providers.Outcome) int { return int(o&7) + int(o>>7)*8 }

func newMetrics(reg prometheus.Registerer, e *Engine) *metrics {
	m := &metrics{
		engine: e,
		trips:  map[string]*atomic.Int64{providers.APNs: new(atomic.Int64), providers.FCM: new(atomic.Int64)},
		sends:  map[string]*[outcomes]int64{providers.APNs: new([outcomes]int64), providers.FCM: new([outcomes]int64)},
		endToEnd: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:                        "pushd_end_to_end_seconds",
			Help:                        "From an event's Kafka timestamp to its push being accepted.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600},
			NativeHistogramBucketFactor: 1.1,
		}),
	}
	if reg != nil {
		reg.MustRegister(m.endToEnd, m)
	}
	return m
}

// observe takes the latency of an accepted wake.
func (m *metrics) observe(w *wake, at time.Time) {
	m.endToEnd.Observe(max(0, at.Sub(w.content.read)).Seconds())
}

// count adds up a batch of results.
func (m *metrics) count(provider string, results []providers.Result) {
	var sums [outcomes]int64
	for i := range results {
		sums[place(results[i].Outcome)]++
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	total := m.sends[provider]
	for i, n := range sums {
		total[i] += n
	}
}

var (
	descConsumed   = prometheus.NewDesc("pushd_events_consumed_total", "Events read from the check-in topic.", nil, nil)
	descRestored   = prometheus.NewDesc("pushd_events_restored_total", "Unsettled events found in the ledger at the start.", nil, nil)
	descRecalled   = prometheus.NewDesc("pushd_events_recalled_total", "Events read again after a takeover that the owner before had settled, as its last commit says; they are not handled again.", nil, nil)
	descDuplicates = prometheus.NewDesc("pushd_events_duplicate_total", "Events dropped because their id was seen within dedupe.window.", nil, nil)
	descHanded     = prometheus.NewDesc("pushd_events_handed_over_total", "Events given back unsettled when a partition was revoked; its next owner reads them again.", nil, nil)
	descSettled    = prometheus.NewDesc("pushd_events_settled_total", "Events settled, by what became of them.", []string{"outcome"}, nil)
	descCoalesced  = prometheus.NewDesc("pushd_events_coalesced_total", "Events that cost no push of their own: merged into a pending wake or a trailing one, replayed, or covered by a stored push.", []string{"kind"}, nil)
	descOpen       = prometheus.NewDesc("pushd_events_open", "Events not settled yet, by the state of their wake.", []string{"state"}, nil)
	descStrays     = prometheus.NewDesc("pushd_duplicate_suspect_total", "Results of pushes whose tenure had ended; the next owner may have sent them again.", nil, nil)
	descShare      = prometheus.NewDesc("pushd_rate_share", "This process's part of the limits of rates.", nil, nil)
	descBlank      = prometheus.NewDesc("pushd_ledger_blank_partitions", "With retry.durability=local: partitions of which the group has committed offsets, and this ledger, which is new, knows nothing. If a ledger was lost, so are the wakes that waited in it.", nil, nil)
	descDamaged    = prometheus.NewDesc("pushd_parked_records_damaged_total", "Records of the topic of parked wakes that cannot be read; each may be a lost wake.", nil, nil)
	descAdopting   = prometheus.NewDesc("pushd_parked_partitions_reading", "Partitions whose parked wakes are still being read after an assignment; they park none meanwhile.", nil, nil)
	descParked     = prometheus.NewDesc("pushd_retry_queue_entries", "Wakes that wait in the ledger, or in the topic of parked wakes.", nil, nil)
	descHolds      = prometheus.NewDesc("pushd_holds", "Events held because their credential is refused.", nil, nil)
	descWakes      = prometheus.NewDesc("pushd_wakes", "Wakes in memory.", nil, nil)
	descDead       = prometheus.NewDesc("pushd_dlq_records_total", "Records published to the dead-letter topic, by reason.", []string{"reason"}, nil)
	descImbalance  = prometheus.NewDesc("pushd_accounting_imbalance", "Events read minus all that is known of them. Not 0 means an event was lost or doubled: report it.", nil, nil)
	descWindow     = prometheus.NewDesc("pushd_ack_window_used_ratio", "How full a partition's ack window is; at 1 it pauses.", []string{"partition"}, nil)
	descHeadAge    = prometheus.NewDesc("pushd_head_age_seconds", "Age of about the oldest event of a partition that is not done; 0 where all are.", []string{"partition"}, nil)
	descOldest     = prometheus.NewDesc("pushd_oldest_event_age_seconds", "The largest of pushd_head_age_seconds.", nil, nil)
	descLate       = prometheus.NewDesc("pushd_retry_oldest_due_seconds", "How late the most overdue waiting wake is; 0 where none is.", nil, nil)
	descRefused    = prometheus.NewDesc("pushd_credentials_refused", "Credentials that are refused, unusable or gone now, and whose wakes are held.", []string{"provider"}, nil)
	descBreaker    = prometheus.NewDesc("pushd_breaker_state", "How a provider is taken: 0 well, 1 answering again and its rate going up, 2 down.", []string{"provider"}, nil)
	descOpened     = prometheus.NewDesc("pushd_breaker_opened_total", "How often a provider was taken for down.", []string{"provider"}, nil)
	descTripped    = prometheus.NewDesc("pushd_guard_tripped", "Credentials whose dead tokens are held back now.", []string{"provider"}, nil)
	descTrips      = prometheus.NewDesc("pushd_guard_trips_total", "How often nearly all tokens of a credential were said to be dead.", []string{"provider"}, nil)
	descStopped    = prometheus.NewDesc("pushd_partitions_stopped", "Partitions that are not read on because nearly all of their records are bad.", nil, nil)
	descTokens     = prometheus.NewDesc("pushd_token_invalidations_total", "Wakes that ended with a dead token, reported as feedback.", nil, nil)
	descSends      = prometheus.NewDesc("pushd_sends_total", "Answers to pushes, by provider and outcome.", []string{"provider", "outcome"}, nil)
	descInFlight   = prometheus.NewDesc("pushd_inflight_requests", "Pushes under way.", []string{"provider"}, nil)
	descQueued     = prometheus.NewDesc("pushd_lane_queue_wakes", "Wakes that stand in lanes.", []string{"provider"}, nil)
)

// Describe is of prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect is of prometheus.Collector. Each shard's books are a consistent copy of the end of one step, so the imbalance
// is 0 at every scrape.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	var b books
	now, oldest, late := time.Now(), 0.0, 0.0
	m.engine.eachShard(func(s *shard) {
		s.mu.Lock()
		shown, used, head, due := s.shown, s.used, s.head, s.due
		s.mu.Unlock()
		b.add(&shown)
		age := 0.0
		if !head.IsZero() {
			age = max(0, now.Sub(head).Seconds())
		}
		oldest = max(oldest, age)
		if !due.IsZero() {
			late = max(late, now.Sub(due).Seconds())
		}
		partition := strconv.Itoa(int(s.core.partition))
		gauge(descWindow, used, partition)
		gauge(descHeadAge, age, partition)
	})
	gauge(descOldest, oldest)
	gauge(descLate, late)
	counter(descConsumed, b.read)
	counter(descRestored, b.restored)
	counter(descRecalled, b.recalled)
	counter(descDuplicates, b.duplicates)
	counter(descHanded, b.handedOver)
	counter(descStrays, b.strays)
	counter(descTokens, b.settled[store.TokenDead])
	for reason, n := range b.letters {
		counter(descDead, n, event.Reason(reason).String())
	}
	counter(descCoalesced, b.pending, "pending")
	counter(descCoalesced, b.trailing, "trailing")
	counter(descCoalesced, b.duplicates, "replay")
	counter(descCoalesced, b.settled[store.Covered], "covered")
	for kind := store.Accepted; kind <= store.Noted; kind++ {
		counter(descSettled, b.settled[kind], kind.String())
	}
	for s := range states {
		gauge(descOpen, float64(b.open[s]), s.String())
	}
	gauge(descOpen, float64(b.dirty), "dirty")
	_, part := m.engine.part()
	gauge(descShare, part)
	gauge(descBlank, float64(m.engine.blank.Load()))
	gauge(descAdopting, float64(m.engine.adopting.Load()))
	counter(descDamaged, b.damaged)
	gauge(descParked, float64(b.parked))
	gauge(descHolds, float64(b.open[held]))
	gauge(descWakes, float64(b.wakes))
	gauge(descImbalance, float64(b.imbalance()))
	m.collectGates(counter, gauge)
}

func (m *metrics) collectGates(counter func(*prometheus.Desc, int64, ...string), gauge func(*prometheus.Desc, float64, ...string)) {
	gauge(descStopped, float64(len(m.engine.Stopped())))
	refused, tripped := make(map[string]int), make(map[string]int)
	for _, l := range m.engine.allLanes() {
		if l.refused() && !l.gone.Load() {
			refused[l.provider]++
		}
		if is, _, _, _ := l.guard.counts(); is {
			tripped[l.provider]++
		}
	}
	for name, g := range m.engine.gates {
		gauge(descRefused, float64(refused[name]), name)
		gauge(descTripped, float64(tripped[name]), name)
		gauge(descBreaker, float64(g.breaker.state.Load()), name)
		counter(descOpened, g.breaker.opened.Load(), name)
		counter(descTrips, m.trips[name].Load(), name)
		gauge(descInFlight, float64(g.inFlight.Load()), name)
		gauge(descQueued, float64(g.waiting.Load()), name)
		m.mu.Lock()
		sends := *m.sends[name]
		m.mu.Unlock()
		for outcome, label := range outcomeLabels {
			counter(descSends, sends[place(outcome)], name, label)
		}
	}
}
