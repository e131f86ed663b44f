package dispatcher

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pushd/providers"
	"pushd/queue"
	"pushd/store"
)

// Publisher sends messages to Kafka; done is called once all of them are acknowledged. queue.Publisher is one.
type Publisher interface {
	Publish(messages []queue.Message, done func())
}

// Credential is what a lane is made of.
type Credential struct {
	Sender   providers.Sender // nil: there is one, but it cannot be used; its wakes are held until it is replaced
	Rate     float64          // pushes per second; 0: no limit
	InFlight int              // pushes under way at most
	Weight   int              // its share of what lanes share, relative to others; at least 1
}

// Road names a lane: a tenant's credential at a provider.
type Road struct{ Tenant, Provider string }

// Deps is what the engine works with. It owns none of it but the senders it is given, which it closes.
type Deps struct {
	Ledger    *store.Ledger
	Publisher Publisher
	// Parked reads what the topic of parked wakes has of a partition: the newest record of each key. nil where
	// retry.durability is local.
	Parked func(ctx context.Context, partition int32) ([]queue.Record, error)
	// Open gives the credential of a tenant for a provider; false where the tenant has none. It is called at the first wake
	// for each, and again by Renew; it must not block. The same sender means the same credential.
	Open     func(tenant, provider string) (Credential, bool)
	Topic    string // of the events, named in dead letters
	Topics   Topics
	Accepted bool        // publish feedback for accepted wakes too
	Fail     func(error) // called once when the engine cannot go on; the process is to end
	Registry prometheus.Registerer
	Logger   *slog.Logger
}

// Engine is the whole of shards, lanes and gates.
type Engine struct {
	cfg       Config
	deps      Deps
	env       Env
	publisher Publisher
	metrics   *metrics
	gates     map[string]*gate // by provider
	flushBell chan struct{}
	adoptRoom chan struct{} // has as much room as partitions may be read at once
	adopting  atomic.Int64  // partitions whose parked wakes are being read
	blank     atomic.Int64  // partitions that the group knows and this ledger, which is new, does not

	mu     sync.Mutex // guards the four below
	rates  RatesConfig
	share  float64 // of the group's partitions
	shards map[int32]*shard
	lanes  map[[2]string]*lane // by tenant and provider

	flushMu sync.Mutex  // one flush at a time: the flusher's, or Stop's last
	broken  atomic.Bool // the ledger could not write

	work    sync.WaitGroup
	workCtx context.Context // ends every goroutine of the engine
	cancel  context.CancelFunc
}

// New makes an engine. Nothing runs before Start.
func New(cfg Config, deps Deps) *Engine {
	l := deps.Ledger
	return newEngine(cfg, deps, Identify{Device: l.Device, EventID: l.EventID, OffsetID: l.OffsetID, Token: l.Token, TokenHash: l.TokenHash})
}

func newEngine(cfg Config, deps Deps, identify Identify) *Engine {
	e := &Engine{
		cfg: cfg, deps: deps, publisher: deps.Publisher, flushBell: make(chan struct{}, 1),
		adoptRoom: make(chan struct{}, adoptPartitions),
		shards:    make(map[int32]*shard), lanes: make(map[[2]string]*lane),
	}
	e.metrics = newMetrics(deps.Registry, e)
	e.gates = make(map[string]*gate)
	e.rates, e.share = cfg.Rates, unknownShare
	for _, name := range []string{providers.APNs, providers.FCM} {
		g := newGate(name, cfg, e.metrics, deps.Logger)
		g.close = func(s providers.Sender) { e.work.Go(s.Close) }
		g.tripped, g.calmed = e.guardTripped, e.guardCalmed
		e.gates[name] = g
	}
	e.ration()
	budget := new(atomic.Int64)
	budget.Store(int64(cfg.Merge.MaxWaiting))
	owing := new(atomic.Int64)
	owing.Store(int64(cfg.Merge.MaxWaiting))
	e.env = Env{
		Config: cfg, Topic: deps.Topic, Topics: deps.Topics, Accepted: deps.Accepted, Identify: identify,
		Route: e.route, Budget: budget, Owing: owing, Observe: e.metrics.observe,
	}
	e.workCtx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Start starts the engine's goroutines and serves the wakes that the ledger holds; or, where retry.durability is
// replicated, moves them to the topic of parked wakes first, for which ctx is the limit.
func (e *Engine) Start(ctx context.Context) error {
	if e.cfg.Retry.Durability == Replicated {
		if err := e.moveOut(ctx); err != nil {
			return err
		}
	}
	for _, g := range e.gates {
		e.work.Go(func() { g.run(e.workCtx) })
	}
	e.work.Go(func() { e.flushLoop(e.workCtx) })
	partitions, err := e.deps.Ledger.Partitions()
	if err != nil {
		return fmt.Errorf("list the partitions with waiting wakes: %w", err)
	}
	for _, p := range partitions {
		if _, err := e.shard(p); err != nil {
			return err
		}
	}
	return nil
}

// Assign begins a tenure: from now on the owner it returns takes the partition's records.
func (e *Engine) Assign(ctx context.Context, a queue.Assignment) (queue.Owner, error) {
	s, err := e.shard(a.Partition)
	if err != nil {
		return nil, err
	}
	o := &owner{shard: s, released: make(chan struct{})}
	o.tenure, o.end = context.WithCancel(e.workCtx)
	o.progress.Store(&a.From)
	began := make(chan struct{})
	s.call(func(time.Time) {
		s.assign(o, a)
		close(began)
	})
	select {
	case <-began:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.workCtx.Done():
		return nil, e.workCtx.Err()
	}
	switch {
	case e.cfg.Retry.Durability == Replicated:
		e.work.Go(func() { e.adopt(o.tenure, s, o) })
	case a.Committed && e.deps.Ledger.Fresh() && s.unknown.CompareAndSwap(true, false):
		e.alarm(a.Partition)
	}
	return o, nil
}

// alarm says that what waited for a partition may be lost with the ledger that had it.
func (e *Engine) alarm(partition int32) {
	if e.blank.Add(1) > 1 {
		return // the metric counts them
	}
	e.deps.Logger.Error("the ledger is new, but the group has committed offsets before: unless this machine is new too, the wakes that waited in the ledger before it are lost",
		"partition", partition, "mend", "where the old directory of store.dir still exists, stop pushd and put it back; retry.durability=replicated would have kept them")
}

// shard returns the shard of a partition; the first time it is made from what the ledger kept.
func (e *Engine) shard(p int32) (*shard, error) {
	e.mu.Lock()
	s := e.shards[p]
	e.mu.Unlock()
	if s != nil {
		return s, nil
	}
	restored, err := e.deps.Ledger.Partition(p)
	if err != nil {
		return nil, fmt.Errorf("read what the ledger kept of partition %d: %w", p, err)
	}
	if s, err = restoreShard(e, p, restored, rand.Uint64(), time.Now()); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if other := e.shards[p]; other != nil {
		return other, nil
	}
	e.shards[p] = s
	e.work.Go(func() { s.run(e.workCtx) })
	return s, nil
}

// Halt lets no further push begin. What is under way is still answered and settled.
func (e *Engine) Halt() {
	for _, g := range e.gates {
		g.halt()
	}
}

// Stop halts the engine, waits until what is under way is answered and written or ctx ends, and stops every goroutine.
// The partitions should have been released before; what is still under way then belongs to waiting wakes, which the
// ledger has, or was given up.
func (e *Engine) Stop(ctx context.Context) {
	e.Halt()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for ctx.Err() == nil && !e.idle() {
		select {
		case <-ctx.Done():
		case <-poll.C:
		}
	}
	e.cancel()
	e.work.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.lanes {
		for _, o := range append(l.retired, l.outlet.Load()) {
			if o != nil {
				o.sender.Close()
			}
		}
	}
}

// idle says whether no push is under way and the ledger has everything.
func (e *Engine) idle() bool {
	for _, g := range e.gates {
		if g.inFlight.Load() > 0 {
			return false
		}
	}
	return e.flushOnce() == 0
}

// eachShard calls f for every shard.
func (e *Engine) eachShard(f func(*shard)) {
	e.mu.Lock()
	shards := make([]*shard, 0, len(e.shards))
	for _, s := range e.shards {
		shards = append(shards, s)
	}
	e.mu.Unlock()
	for _, s := range shards {
		f(s)
	}
}
