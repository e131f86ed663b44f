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
	"golang.org/x/time/rate"

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

	mu     sync.Mutex // guards the two below
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
	e := &Engine{
		cfg: cfg, deps: deps, publisher: deps.Publisher, flushBell: make(chan struct{}, 1),
		shards: make(map[int32]*shard), lanes: make(map[[2]string]*lane),
	}
	e.metrics = newMetrics(deps.Registry, e)
	e.gates = make(map[string]*gate)
	total, own := limits(cfg.Rates)
	for name, limit := range own {
		g := newGate(name, cfg, e.metrics, deps.Logger)
		g.limit(total, limit)
		g.close = func(s providers.Sender) { e.work.Go(s.Close) }
		g.tripped, g.calmed = e.guardTripped, e.guardCalmed
		e.gates[name] = g
	}
	budget := new(atomic.Int64)
	budget.Store(int64(cfg.Merge.MaxWaiting))
	owing := new(atomic.Int64)
	owing.Store(int64(cfg.Merge.MaxWaiting))
	e.env = Env{
		Config: cfg, Topic: deps.Topic, Topics: deps.Topics, Accepted: deps.Accepted,
		Identify: Identify{
			Device: deps.Ledger.Device, EventID: deps.Ledger.EventID, OffsetID: deps.Ledger.OffsetID, Token: deps.Ledger.Token,
			TokenHash: deps.Ledger.TokenHash,
		},
		Route:   e.route,
		Budget:  budget,
		Owing:   owing,
		Observe: e.metrics.observe,
	}
	e.workCtx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Start starts the engine's goroutines and serves the wakes that the ledger holds.
func (e *Engine) Start() error {
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
	o.progress.Store(&a.From)
	began := make(chan struct{})
	s.call(func(time.Time) {
		if s.owner != nil { // released, but the ledger could not write in time
			s.core.release()
			s.core.abandon()
			s.endTenure()
		}
		s.core.assign(a.From)
		s.owner = o
		close(began)
	})
	select {
	case <-began:
		return o, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.workCtx.Done():
		return nil, e.workCtx.Err()
	}
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
	s = newShard(e, p, restored)
	s.core.Rand = rand.New(rand.NewPCG(rand.Uint64(), uint64(p)))
	if err := s.core.restore(restored.Waiting, e.orphan, time.Now()); err != nil {
		return nil, fmt.Errorf("restore partition %d: %w", p, err)
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

// limits are the limiters of the rates that lanes share: over all, and by provider.
func limits(r RatesConfig) (total *rate.Limiter, own map[string]*rate.Limiter) {
	return newLimit(r.Total), map[string]*rate.Limiter{providers.APNs: newLimit(r.APNs), providers.FCM: newLimit(r.FCM)}
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
