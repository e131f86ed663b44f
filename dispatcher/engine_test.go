package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/client_golang/prometheus"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

// kafka acknowledges what is published, unless it is down.
type kafka struct {
	mu       sync.Mutex
	down     bool
	messages []queue.Message
	waiting  []func()
	parked   *parkedTopic // nil where nothing is replicated
}

func (k *kafka) Publish(messages []queue.Message, done func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.messages = append(k.messages, messages...)
	if k.parked != nil {
		k.parked.take(messages)
	}
	if k.down {
		k.waiting = append(k.waiting, done)
		return
	}
	go done()
}

func (k *kafka) recover() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = false
	for _, done := range k.waiting {
		go done()
	}
	k.waiting = nil
}

// provider answers each push after a while, as it is told to.
type provider struct {
	latency time.Duration
	gone    bool                                   // the tenant has no credential
	rate    float64                                // of the credential; 0: no limit
	answer  func(*providers.Push) providers.Result // nil accepts
	mu      sync.Mutex
	times   map[string]int // pushes by token
	closed  atomic.Bool
}

func (p *provider) Send(pushes []providers.Push, done func([]providers.Result)) {
	results := make([]providers.Result, len(pushes))
	p.mu.Lock()
	for i := range pushes {
		p.times[pushes[i].Token]++
		results[i] = providers.Result{Outcome: providers.Accepted}
		if p.answer != nil {
			results[i] = p.answer(&pushes[i])
		}
		results[i].Ref = pushes[i].Ref
	}
	p.mu.Unlock()
	time.AfterFunc(p.latency, func() { done(results) })
}

func (p *provider) Close() { p.closed.Store(true) }

// plant is an engine with what it needs, inside a synctest bubble.
type plant struct {
	t        *testing.T
	engine   *Engine
	ledger   *store.Ledger
	kafka    *kafka
	provider *provider
	registry *prometheus.Registry
	failures []error // the flusher's; to be read when the bubble is idle
}

func newPlant(t *testing.T, fs vfs.FS, cfg Config, p *provider) *plant {
	t.Helper()
	return newPlantWith(t, fs, cfg, p, nil)
}

// newPlantWith has a topic of parked wakes, where cfg wants one.
func newPlantWith(t *testing.T, fs vfs.FS, cfg Config, p *provider, parked *parkedTopic) *plant {
	t.Helper()
	ledger, err := store.Open(store.Config{
		Dir: "ledger", FS: fs, DedupeWindow: cfg.Dedupe.Window, DedupeMaxEntries: cfg.Dedupe.MaxEntries,
		MergeInterval: cfg.Merge.Interval, Tombstones: 720 * time.Hour, MemTableMB: 1, CacheMB: 1,
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pl := &plant{t: t, ledger: ledger, kafka: &kafka{parked: parked}, provider: p, registry: prometheus.NewRegistry()}
	p.times = map[string]int{}
	pl.engine = New(cfg, Deps{
		Ledger: ledger, Publisher: pl.kafka, Topic: "pushd.checkin",
		Topics: Topics{Feedback: "pushd.feedback", Dead: "pushd.dead", Parked: "pushd.parked"}, Parked: parked.Read,
		Open: func(tenant, name string) (Credential, bool) {
			return Credential{Sender: p, InFlight: 1000, Rate: p.rate}, tenant == "acme" && !p.gone
		},
		Fail:     func(err error) { pl.failures = append(pl.failures, err) },
		Registry: pl.registry, Logger: slog.New(slog.DiscardHandler),
	})
	if err := pl.engine.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	pl.engine.Share(1, 1)
	return pl
}

func (p *plant) stop() {
	p.t.Helper()
	p.balanced()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p.engine.Stop(ctx)
	if err := p.ledger.Close(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) assign(partition int32, offset int64) queue.Owner {
	p.t.Helper()
	o, err := p.engine.Assign(context.Background(), queue.Assignment{Partition: partition, From: queue.At(offset)})
	if err != nil {
		p.t.Fatal(err)
	}
	return o
}

// metric is what a gauge without labels says.
func (p *plant) metric(name string) float64 {
	p.t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	p.t.Fatalf("there is no metric %s", name)
	return 0
}

// counter is what a counter without labels says.
func (p *plant) counter(name string) float64 {
	p.t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

// accept makes the provider accept from now on.
func (p *provider) accept() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = nil
}

// balanced fails the test where I7 does not hold at a scrape.
func (p *plant) balanced() {
	p.t.Helper()
	if n := p.metric("pushd_accounting_imbalance"); n != 0 {
		p.t.Fatalf("I7: the imbalance is %v", n)
	}
}

// wakes makes records n to m of a partition, one device each.
func wakes(partition int32, from, to int64) []queue.Record {
	var records []queue.Record
	for offset := from; offset < to; offset++ {
		device := fmt.Sprintf("d%d-%d", partition, offset)
		key, value := event.Encode(&event.Event{
			ID: "e" + device, Tenant: "acme", Device: device, Provider: providers.FCM, Token: "token-" + device, Priority: event.Normal,
		})
		records = append(records, queue.Record{Partition: partition, Offset: offset, Key: key, Value: value, Time: time.Now()})
	}
	return queue.Reread(records...)
}

func pass(d time.Duration) { <-time.After(d) }

func TestEveryRecordIsPushedOnceAndDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, vfs.NewMem(), localConfig(), &provider{latency: 20 * time.Millisecond})
		defer p.stop()
		const n = 3000
		for partition := range int32(3) {
			o := p.assign(partition, 0)
			for from := int64(0); from < n; from += 500 {
				if err := o.Take(t.Context(), wakes(partition, from, from+500)); err != nil {
					t.Fatal(err)
				}
			}
			pass(time.Second)
			p.balanced()
			if mark := o.Progress().Watermark; mark != n {
				t.Errorf("partition %d: the watermark is %d, not %d", partition, mark, n)
			}
		}
		for token, times := range p.provider.times {
			if times != 1 {
				t.Errorf("%s was pushed to %d times", token, times)
			}
		}
		if len(p.provider.times) != 3*n {
			t.Errorf("%d devices were woken, not %d", len(p.provider.times), 3*n)
		}
	})
}

func TestAFullWindowPausesThePartitionOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := localConfig()
		cfg.Breaker.Count = 0 // so many failures would be taken for an outage
		var open atomic.Bool
		p := newPlant(t, vfs.NewMem(), cfg, &provider{latency: time.Millisecond, answer: func(push *providers.Push) providers.Result {
			if !open.Load() && push.Token[:8] == "token-d0" {
				return providers.Result{Outcome: providers.Again, Wait: time.Second}
			}
			return providers.Result{Outcome: providers.Accepted}
		}})
		defer p.stop()
		stuck, free := p.assign(0, 0), p.assign(1, 0)
		taken := make(chan error, 1)
		go func() {
			var err error
			for from := int64(0); from < 40_000 && err == nil; from += 1000 {
				err = stuck.Take(context.Background(), wakes(0, from, from+1000))
			}
			taken <- err
		}()
		pass(500 * time.Millisecond)
		select {
		case <-taken:
			t.Error("40000 records were taken although none could be settled")
		default:
		}
		if err := free.Take(t.Context(), wakes(1, 0, 1000)); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if mark := free.Progress().Watermark; mark != 1000 {
			t.Errorf("the other partition's watermark is %d, not 1000", mark)
		}
		open.Store(true)
		if err := <-taken; err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if mark := stuck.Progress().Watermark; mark != 40_000 {
			t.Errorf("the watermark is %d, not 40000", mark)
		}
		p.balanced()
	})
}

func TestFeedbackComesBeforeTheOffset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := localConfig()
		cfg.Guard.Count = 0 // all tokens are dead, and to be believed so
		p := newPlant(t, vfs.NewMem(), cfg, &provider{answer: func(*providers.Push) providers.Result {
			return providers.Result{Outcome: providers.TokenDead, Reason: "UNREGISTERED"}
		}})
		defer p.stop()
		p.kafka.down = true
		o := p.assign(0, 0)
		records := append(wakes(0, 0, 10), queue.Record{Offset: 10, Key: []byte("acme/x"), Value: []byte("{")})
		if err := o.Take(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if mark := o.Progress().Watermark; mark != 0 || len(p.kafka.messages) != 11 {
			t.Fatalf("watermark %d with %d messages, none acknowledged", mark, len(p.kafka.messages))
		}
		p.kafka.recover()
		pass(time.Second)
		if mark := o.Progress().Watermark; mark != 11 {
			t.Errorf("watermark %d after the acknowledgements", mark)
		}
	})
}

func TestReleaseWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, vfs.NewMem(), localConfig(), &provider{latency: 2 * time.Second})
		defer p.stop()
		o := p.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 1500)); err != nil { // 1000 begin, 500 stand in the lane
			t.Fatal(err)
		}
		pass(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		o.Release(ctx)
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("the release took %v, the answers came after 1 s", took)
		}
		if mark := o.Progress().Watermark; mark != 1000 {
			t.Errorf("the watermark is %d, not 1000", mark)
		}
		again := p.assign(0, 1000)
		if err := again.Take(t.Context(), wakes(0, 1000, 1500)); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		if mark := again.Progress().Watermark; mark != 1500 {
			t.Errorf("the next owner's watermark is %d, not 1500", mark)
		}
		for token, times := range p.provider.times {
			if times != 1 {
				t.Errorf("%s was pushed to %d times", token, times)
			}
		}
		p.balanced()
	})
}

func TestReleaseGivesUpWhatDoesNotAnswerInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, vfs.NewMem(), localConfig(), &provider{latency: 20 * time.Second})
		defer p.stop()
		o := p.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 10)); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		o.Release(ctx)
		mark := o.Progress().Watermark
		pass(time.Minute) // the strays come in
		if mark != 0 || o.Progress().Watermark != 0 {
			t.Errorf("the watermark went from %d to %d after the release (I4)", mark, o.Progress().Watermark)
		}
		p.balanced()
	})
}

func TestARestartSendsNothingThatWasAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		first := newPlant(t, fs, localConfig(), &provider{latency: time.Millisecond, answer: func(p *providers.Push) providers.Result {
			if p.Token == "token-d0-0" { // the head: nothing can be committed
				return providers.Result{Outcome: providers.Again, Wait: 2 * time.Second}
			}
			return providers.Result{Outcome: providers.Accepted}
		}})
		o := first.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 1000)); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		o.Release(ctx)
		mark := o.Progress().Watermark
		first.stop()

		second := newPlant(t, fs, localConfig(), &provider{latency: time.Millisecond})
		defer second.stop()
		o = second.assign(0, mark)
		if err := o.Take(t.Context(), wakes(0, mark, 1000)); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if o.Progress().Watermark != 1000 {
			t.Errorf("the watermark is %d", o.Progress().Watermark)
		}
		if len(second.provider.times) != 1 || second.provider.times["token-d0-0"] != 1 {
			t.Errorf("after the restart %d devices were pushed to, not the one that was left", len(second.provider.times))
		}
	})
}

func TestWaitingWakesAreServedAfterARestartWithoutThePartition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		first := newPlant(t, fs, localConfig(), &provider{answer: func(*providers.Push) providers.Result {
			return providers.Result{Outcome: providers.Later, Wait: time.Hour}
		}})
		o := first.assign(7, 0)
		if err := o.Take(t.Context(), wakes(7, 0, 50)); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if o.Progress().Watermark != 50 {
			t.Fatalf("the watermark is %d: the wakes are not parked", o.Progress().Watermark)
		}
		first.stop()

		second := newPlant(t, fs, localConfig(), &provider{})
		defer second.stop()
		pass(3 * time.Hour)
		if len(second.provider.times) != 50 {
			t.Errorf("%d of 50 parked wakes were sent", len(second.provider.times))
		}
		second.balanced()
	})
}

func TestWaitingWakesOfATenantThatIsGoneAreHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		first := newPlant(t, fs, localConfig(), &provider{answer: func(*providers.Push) providers.Result {
			return providers.Result{Outcome: providers.Later, Wait: time.Minute}
		}})
		o := first.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 20)); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		first.stop()

		second := newPlant(t, fs, localConfig(), &provider{gone: true})
		pass(time.Hour)
		if n := second.metric("pushd_holds"); n != 20 {
			t.Errorf("%v events are held, not 20", n)
		}
		second.balanced()
		second.stop()

		third := newPlant(t, fs, localConfig(), &provider{})
		defer third.stop()
		pass(time.Hour)
		if len(third.provider.times) != 20 {
			t.Errorf("%d of 20 wakes were sent when the tenant was back", len(third.provider.times))
		}
	})
}

func TestALedgerThatCannotWriteEndsTheEngineBeforeAnOffset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return errors.New("no space left on device")
			}
			return nil
		}))
		p := newPlant(t, fs, localConfig(), &provider{})
		o := p.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 100)); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		full.Store(true)
		if err := o.Take(t.Context(), wakes(0, 100, 200)); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		pushed := len(p.provider.times)
		if err := o.Take(t.Context(), wakes(0, 200, 300)); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if ok, _ := p.engine.Ready(); ok || len(p.failures) != 1 || !errors.Is(p.failures[0], store.ErrBroken) {
			t.Errorf("ready: %v, failures: %v", ok, p.failures)
		}
		if o.Progress().Watermark != 100 || len(p.provider.times) != pushed {
			t.Errorf("watermark %d, %d pushes after %d", o.Progress().Watermark, len(p.provider.times), pushed)
		}
		full.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p.engine.Stop(ctx)
		p.ledger.Close() // with an error, or not
	})
}

func FuzzParkedWake(f *testing.F) {
	w := &wake{tenant: "acme", name: "d1", parked: 2, due: epoch, since: epoch, content: &content{
		lane: &lane{provider: providers.APNs}, token: "aa", pushMagic: "m", payload: []byte(`{"a":1}`), expires: epoch,
	}}
	f.Add(w.encode(w.parked))
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(`{"v":1,"tenant":"a","device":"d","provider":"fcm","token":"t","priority":9}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodeParked(data)
		if err == nil && (p.Priority > uint8(event.Bulk) || p.Tenant == "" || p.Token == "") {
			t.Errorf("a wake that cannot be sent was taken: %+v", p)
		}
	})
}
