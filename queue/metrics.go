package queue

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type consumerMetrics struct {
	rebalances *prometheus.CounterVec
	commits    prometheus.Histogram
	lag        *prometheus.GaugeVec
	outOfRange prometheus.Counter
	skipped    prometheus.Counter
	errors     *prometheus.CounterVec
	assigned   prometheus.Gauge
	metadata   *prometheus.CounterVec
}

func newConsumerMetrics(reg prometheus.Registerer) *consumerMetrics {
	return &consumerMetrics{
		rebalances: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushd_rebalances_total", Help: "Generations of the consumer group that ended, by why: rebalance, shutdown or failure.",
		}, []string{"reason"})),
		commits: register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pushd_commit_duration_seconds", Help: "How long a commit of offsets took, successful or not.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}, NativeHistogramBucketFactor: 1.1,
		})),
		lag: register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pushd_consumer_lag_events", Help: "Events of an assigned partition that were not fetched yet.",
		}, []string{"partition"})),
		outOfRange: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushd_offset_out_of_range_total", Help: "How often the place in a partition did not exist any more.",
		})),
		skipped: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushd_events_skipped_total", Help: "Offsets that were never read, because retention overtook the group or kafka.out_of_range is latest.",
		})),
		errors: registerErrors(reg),
		assigned: register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pushd_assigned_partitions", Help: "Partitions that this process owns.",
		})),
		metadata: registerMetadata(reg),
	}
}

// registerMetadata counts what was found beside the committed offset at an assignment.
func registerMetadata(reg prometheus.Registerer) *prometheus.CounterVec {
	vec := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pushd_commit_metadata_total", Help: "Partitions taken over, by what was known of events done beyond the committed offset: restored, none, foreign (of another log or offset) or undecodable. The last two cost duplicates, never a wake.",
	}, []string{"found"}))
	for _, found := range []string{metadataRestored, metadataNone, metadataForeign, metadataUndecodable} {
		vec.WithLabelValues(found)
	}
	return vec
}

type publisherMetrics struct {
	failures prometheus.Counter
	queued   prometheus.Gauge
	duration prometheus.Histogram
	cut      prometheus.Counter
	errors   *prometheus.CounterVec
}

func newPublisherMetrics(reg prometheus.Registerer) *publisherMetrics {
	return &publisherMetrics{
		failures: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushd_feedback_publish_failures_total", Help: "Messages of an attempt to publish that were not acknowledged; they are tried again.",
		})),
		queued: register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pushd_publish_queue_messages", Help: "Messages that are not acknowledged yet.",
		})),
		duration: register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pushd_publish_duration_seconds", Help: "How long an attempt to publish took, successful or not.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, NativeHistogramBucketFactor: 1.1,
		})),
		cut: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushd_publish_cut_total", Help: "Messages whose value was cut because no broker would have taken it.",
		})),
		errors: registerErrors(reg),
	}
}

// registerErrors is the one metric that consumer and publisher share.
func registerErrors(reg prometheus.Registerer) *prometheus.CounterVec {
	vec := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pushd_kafka_errors_total", Help: "Failures of Kafka, by kind; each is tried again.",
	}, []string{"kind"}))
	for kind := range troubles {
		vec.WithLabelValues(kind.String())
	}
	return vec
}

// register returns the collector that is registered already, where there is one of the same name.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	err := reg.Register(c)
	if already := (prometheus.AlreadyRegisteredError{}); errors.As(err, &already) {
		return already.ExistingCollector.(C)
	}
	if err != nil {
		panic("queue: " + err.Error())
	}
	return c
}
