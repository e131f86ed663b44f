package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/dispatcher"
	"pushd/providers"
	"pushd/queue"
	"pushd/store"
)

// How long the parts of the engine may take to stop, after the consumer's shutdown_drain.
const (
	ledgerStop  = 5 * time.Second
	engineStop  = time.Second      // for answers to waiting wakes
	reloadStop  = 15 * time.Second // a reading of ten thousand files
	slack       = 3 * time.Second  // on top of what a part is given: for its last flush, commit or goroutine
	topicsStart = time.Minute      // to find or create the topics
)

// startEngine starts everything between Kafka and the providers, from the ledger up to the consumer, so that each part
// finds what it needs and the first record read can be pushed and settled. They stop in the other order: the consumer
// gives its partitions back and commits, the engine settles what is under way, the publisher sends the last feedback,
// the ledger closes. fail is called by a part that ends by itself.
func startEngine(ctx context.Context, cfg *Config, again reloading, reg *prometheus.Registry, ready *readiness, parts *stopStack, fail func(error), log *slog.Logger) (*dispatcher.Engine, error) {
	tenants, err := readTenants(cfg.Tenants, log.With("component", "tenants"))
	if err != nil {
		return nil, err
	}
	reg.MustRegister(tenants)
	ready.add("credentials", tenants.ready)
	ledger, err := store.Open(cfg.Store, reg, log.With("component", "ledger"))
	if err != nil {
		return nil, err
	}
	parts.onStop("ledger", func(context.Context) error { return ledger.Close() }, ledgerStop)
	if cfg.Kafka.CreateTopics {
		if err := ensureTopics(ctx, cfg); err != nil {
			return nil, err
		}
	}
	publisher, err := queue.NewPublisher(cfg.Kafka, reg, log.With("component", "publisher"))
	if err != nil {
		return nil, err
	}
	parts.run("publisher", publisher.Run, cfg.Kafka.Publish.Flush+slack, fail)

	parked, err := openParked(cfg, parts)
	if err != nil {
		return nil, err
	}
	senders := newSenders(cfg, tenants, providers.NewMetrics(reg), log.With("component", "sender"))
	engine := dispatcher.New(cfg.Engine, dispatcher.Deps{
		Ledger:    ledger,
		Publisher: publisher,
		Parked:    parked,
		Open:      senders.open,
		Topic:     cfg.Kafka.Topic,
		Topics:    dispatcher.Topics{Feedback: cfg.Feedback.Topic, Dead: cfg.Feedback.Dead, Parked: cfg.Engine.Retry.Topic},
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
	moving, cancel := context.WithTimeout(ctx, topicsStart)
	defer cancel()
	if err := engine.Start(moving); err != nil {
		return nil, err
	}
	ready.add("engine", engine.Ready)
	ready.add("providers", func() (bool, string) { return true, engine.Notes() })
	reloader := newReloader(again, cfg, tenants, senders, engine, reg, log.With("component", "reload"))
	parts.run("reload", reloader.run, reloadStop, fail)

	consumer, err := queue.NewConsumer(cfg.Kafka, engine.Assign, reg, log.With("component", "consumer"))
	if err != nil {
		return nil, err
	}
	consumer.Shared = engine.Share
	parts.run("consumer", consumer.Run, cfg.Kafka.ShutdownDrain+slack, fail)
	parts.onStop("sending", func(context.Context) error { engine.Halt(); return nil }, time.Second)
	ready.add("kafka", consumer.Ready)
	return engine, nil
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

func ensureTopics(ctx context.Context, cfg *Config) error {
	ctx, cancel := context.WithTimeout(ctx, topicsStart)
	defer cancel()
	err := queue.EnsureTopics(ctx, cfg.Kafka,
		queue.Topic{Name: cfg.Kafka.Topic}, queue.Topic{Name: cfg.Feedback.Topic}, queue.Topic{Name: cfg.Feedback.Dead})
	if err != nil || cfg.Engine.Retry.Durability == dispatcher.Local {
		return err
	}
	return queue.EnsureTopics(ctx, cfg.Kafka, queue.Topic{
		Name: cfg.Engine.Retry.Topic, Like: cfg.Kafka.Topic, Configs: map[string]string{"cleanup.policy": "compact"},
	})
}

// openParked is what reads the topic of parked wakes; nil where the ledger has them.
func openParked(cfg *Config, parts *stopStack) (func(context.Context, int32) ([]queue.Record, error), error) {
	if cfg.Engine.Retry.Durability == dispatcher.Local {
		return nil, nil
	}
	topic, err := queue.NewCompacted(cfg.Kafka, cfg.Engine.Retry.Topic)
	if err != nil {
		return nil, err
	}
	parts.onStop("topic of parked wakes", func(context.Context) error { topic.Close(); return nil }, time.Second)
	return topic.Read, nil
}
