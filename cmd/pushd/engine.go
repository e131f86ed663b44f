package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/dispatcher"
	"pushd/providers"
	"pushd/providers/apns"
	"pushd/providers/fcm"
	"pushd/queue"
	"pushd/store"
)

// How long the parts of the engine may take to stop, after the consumer's shutdown_drain.
const (
	ledgerStop  = 5 * time.Second
	engineStop  = time.Second     // for answers to waiting wakes
	slack       = 3 * time.Second // on top of what a part is given: for its last flush, commit or goroutine
	topicsStart = time.Minute     // to find or create the topics
)

// startEngine starts everything between Kafka and the providers, from the ledger up to the consumer, so that each part
// finds what it needs and the first record read can be pushed and settled. They stop in the other order: the consumer
// gives its partitions back and commits, the engine settles what is under way, the publisher sends the last feedback,
// the ledger closes. fail is called by a part that ends by itself.
func startEngine(ctx context.Context, cfg *Config, reg *prometheus.Registry, ready *readiness, parts *stopStack, fail func(error), log *slog.Logger) error {
	tenants, err := loadTenants(cfg.TenantsDir, reg, log)
	if err != nil {
		return err
	}
	if err := checkOpenFiles(cfg, len(tenants)); err != nil {
		log.Warn("connections may fail when all tenants are busy", "error", err)
	}
	ledger, err := store.Open(cfg.Store, reg, log.With("component", "ledger"))
	if err != nil {
		return err
	}
	parts.onStop("ledger", func(context.Context) error { return ledger.Close() }, ledgerStop)
	if cfg.Kafka.CreateTopics {
		if err := ensureTopics(ctx, cfg); err != nil {
			return err
		}
	}
	publisher, err := queue.NewPublisher(cfg.Kafka, reg, log.With("component", "publisher"))
	if err != nil {
		return err
	}
	parts.run("publisher", publisher.Run, cfg.Kafka.Publish.Flush+slack, fail)

	engine := dispatcher.New(cfg.Engine, dispatcher.Deps{
		Ledger:    ledger,
		Publisher: publisher,
		Open:      opener(cfg, tenants, providers.NewMetrics(reg), log.With("component", "sender")),
		Topic:     cfg.Kafka.Topic,
		Topics:    dispatcher.Topics{Feedback: cfg.Feedback.Topic, Dead: cfg.Feedback.Dead},
		Accepted:  cfg.Feedback.Accepted,
		Fail:      fail,
		Registry:  reg,
		Logger:    log.With("component", "engine"),
	})
	parts.onStop("engine", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, engineStop)
		defer cancel()
		engine.Stop(ctx)
		return nil
	}, engineStop+slack)
	if err := engine.Start(); err != nil {
		return err
	}
	ready.add("ledger", engine.Ready)

	consumer, err := queue.NewConsumer(cfg.Kafka, engine.Assign, reg, log.With("component", "consumer"))
	if err != nil {
		return err
	}
	parts.run("consumer", consumer.Run, cfg.Kafka.ShutdownDrain+slack, fail)
	parts.onStop("sending", func(context.Context) error { engine.Halt(); return nil }, time.Second)
	ready.add("kafka", consumer.Ready)
	return nil
}

// run starts a part that runs until its context ends, and puts it on the stack.
func (s *stopStack) run(name string, run func(context.Context) error, limit time.Duration, fail func(error)) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx)
		if err == nil && ctx.Err() == nil {
			err = errors.New("it ended by itself")
		}
		if err != nil {
			fail(fmt.Errorf("%s: %w", name, err))
		}
		ended <- err
	}()
	s.onStop(name, func(context.Context) error {
		cancel()
		return <-ended
	}, limit)
}

// loadTenants reads the tenants' files. A faulty file leaves its tenant out, and is said; none at all is an error.
func loadTenants(dir string, reg prometheus.Registerer, log *slog.Logger) (map[string]providers.Tenant, error) {
	list, faults := providers.LoadTenants(dir)
	for _, fault := range faults {
		log.Error("a tenant is left out; its events become dead letters until its file is mended and pushd started again", "error", fault)
	}
	if len(list) == 0 {
		empty := fmt.Errorf("tenants_dir %s: there is no tenant with a usable credential; put one YAML file for each there", dir)
		return nil, usageError{errors.Join(append([]error{empty}, faults...)...)}
	}
	expiry := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "pushd_credential_expiry_timestamp_seconds",
		Help: "When a tenant's APNs certificate expires, as UNIX time; the ones that expire first.",
	}, []string{"tenant", "provider"})
	reg.MustRegister(expiry)
	tenants := make(map[string]providers.Tenant, len(list))
	for _, t := range list {
		tenants[t.Name] = t
		if t.APNs != nil && !t.APNs.Expiry().IsZero() && len(tenants) <= expirySeries {
			expiry.WithLabelValues(t.Name, providers.APNs).Set(float64(t.APNs.Expiry().Unix()))
		}
	}
	log.Info("tenants loaded", "tenants", len(tenants), "left_out", len(faults))
	return tenants, nil
}

// expirySeries bounds the series of certificate expiries.
const expirySeries = 1000

// opener makes the sender of a tenant's credential, with the limits that hold for it.
func opener(cfg *Config, tenants map[string]providers.Tenant, metrics *providers.Metrics, log *slog.Logger) func(tenant, provider string) (dispatcher.Credential, bool) {
	var said sync.Map // credentials that cannot be used: tried and said once
	return func(tenant, provider string) (dispatcher.Credential, bool) {
		t, ok := tenants[tenant]
		if !ok {
			return dispatcher.Credential{}, false
		}
		if _, failed := said.Load(tenant + "/" + provider); failed {
			return dispatcher.Credential{}, false
		}
		credential := dispatcher.Credential{Rate: t.Rate, InFlight: t.InFlight}
		if credential.InFlight == 0 {
			credential.InFlight = cfg.Engine.Rates.InFlight
		}
		var err error
		switch {
		case provider == providers.APNs && t.APNs != nil:
			if credential.Rate == 0 {
				credential.Rate = cfg.Engine.Rates.PerCredential
			}
			credential.Sender, err = apns.New(cfg.APNs, t.APNs, metrics, log)
		case provider == providers.FCM && t.FCM != nil:
			if credential.Rate == 0 {
				credential.Rate = cfg.Engine.Rates.PerProject
			}
			credential.Sender, err = fcm.New(cfg.FCM, t.FCM, metrics, log)
		default:
			return dispatcher.Credential{}, false
		}
		if err != nil {
			said.Store(tenant+"/"+provider, true)
			log.Error("a credential cannot be used; its events become dead letters", "tenant", tenant, "provider", provider, "error", err)
			return dispatcher.Credential{}, false
		}
		return credential, true
	}
}

func ensureTopics(ctx context.Context, cfg *Config) error {
	ctx, cancel := context.WithTimeout(ctx, topicsStart)
	defer cancel()
	return queue.EnsureTopics(ctx, cfg.Kafka,
		queue.Topic{Name: cfg.Kafka.Topic}, queue.Topic{Name: cfg.Feedback.Topic}, queue.Topic{Name: cfg.Feedback.Dead})
}
