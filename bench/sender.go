package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/providers"
	"pushd/providers/apns"
	"pushd/providers/fcm"
)

// apnsSender is pushd's own sender of that name, as the daemon makes it.
func apnsSender(name string) contender {
	return func(ctx context.Context, j *job, t *tally) error {
		credential, err := j.Ground.apnsCredential()
		if err != nil {
			return err
		}
		cfg := apns.DefaultConfig()
		if cfg.Host, cfg.Port, err = j.Ground.apnsAddress(); err != nil {
			return err
		}
		cfg.Sender, cfg.Connections, cfg.Streams = name, j.Connections, j.Streams
		cfg.Connection.RootCA = j.Ground.caFile()
		sender, err := apns.New(cfg, credential, providers.NewMetrics(prometheus.NewRegistry()), nil, complaints())
		if err != nil {
			return err
		}
		return feed(ctx, j, t, sender, func(n uint64) providers.Push {
			return providers.Push{Token: apnsToken(n), PushMagic: magic}
		})
	}
}

// fcmSender is pushd's own sender of that name, as the daemon makes it.
func fcmSender(name string) contender {
	return func(ctx context.Context, j *job, t *tally) error {
		credential, err := j.Ground.fcmCredential()
		if err != nil {
			return err
		}
		cfg := fcm.DefaultConfig()
		cfg.Sender, cfg.Endpoint, cfg.Connections = name, j.Ground.FCM, j.Connections
		cfg.Connection.RootCA = j.Ground.caFile()
		sender, err := fcm.New(cfg, credential, providers.NewMetrics(prometheus.NewRegistry()), nil, complaints())
		if err != nil {
			return err
		}
		return feed(ctx, j, t, sender, func(n uint64) providers.Push { return providers.Push{Token: fcmToken(n)} })
	}
}

// complaints is where a sender tells of trouble.
func complaints() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// feed gives a sender pushes as the engine does: in batches, as many as may be under way, and more when results come.
func feed(ctx context.Context, j *job, t *tally, sender providers.Sender, pushOf func(n uint64) providers.Push) error {
	defer sender.Close()
	var (
		answered atomic.Int64
		progress = newBell()
		refused  sync.Once
		failure  = newBell()
		fault    error // of the first push that was not accepted; set before failure rings
	)
	done := func(results []providers.Result) {
		for i := range results {
			if r := &results[i]; r.Outcome != providers.Accepted {
				refused.Do(func() { fault = fmt.Errorf("a push was not accepted: %d %s", r.Status, r.Reason); failure.ring() })
			}
		}
		t.accept(int64(len(results)))
		answered.Add(int64(len(results)))
		progress.ring()
	}
	limit := int64(j.Connections * j.Streams)
	expires := time.Now().Add(time.Hour)
	var batch []providers.Push
	for sent := int64(0); ; {
		batch = batch[:0]
		for sent-answered.Load() < limit && int64(len(batch)) < limit {
			push := pushOf(uint64(sent))
			push.Expires = expires
			batch = append(batch, push)
			sent++
		}
		if len(batch) > 0 {
			sender.Send(batch, done)
		}
		select {
		case <-progress:
		case <-failure:
			return fault
		case <-ctx.Done():
			return nil
		}
	}
}

// bell is rung by who has news, and heard once by who waits, however often it was rung.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}
