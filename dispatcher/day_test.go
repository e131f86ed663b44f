package dispatcher

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	outside "pushd/loadtest/audit" // world has an audit of its own
	"pushd/loadtest/mixture"
	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

const (
	dayPartitions = 4
	dayDevices    = 2000 // of two tenants
	dayMortal     = 20   // of them; their tokens die at noon
)

// day is a day of an engine with a ledger in memory: the log, the providers, the publisher, and who looks on.
type day struct {
	t        *testing.T
	random   *rand.Rand // of what is published
	cfg      Config
	audit    *outside.Audit
	disk     *vfs.MemFS
	ledger   *store.Ledger
	engine   *Engine
	registry *prometheus.Registry
	owners   [dayPartitions]queue.Owner
	log      [dayPartitions][]queue.Record
	read     [dayPartitions]int
	failures []error

	mu         sync.Mutex // guards what is below: senders answer in goroutines of their own
	chance     *rand.Rand // of answers
	receipts   map[string][]time.Time
	down       bool       // the provider answers nothing
	refused    *daySender // the credential that is refused
	muted      []func()   // what the publisher has to acknowledge when it is heard again
	mute       bool
	sender     map[string]*daySender
	unanswered int
}

// daySender is one credential of a tenant.
type daySender struct {
	day    *day
	tenant string
}

func (s *daySender) Close() {}

// Send answers after 50 ms. What is accepted counts from when it was sent.
func (s *daySender) Send(pushes []providers.Push, done func([]providers.Result)) {
	d, begun := s.day, time.Now()
	batch := slices.Clone(pushes)
	time.AfterFunc(50*time.Millisecond, func() {
		results := make([]providers.Result, len(batch))
		d.mu.Lock()
		for i := range batch {
			results[i] = d.answer(s, batch[i].Token, begun)
			results[i].Ref = batch[i].Ref
		}
		d.mu.Unlock()
		done(results)
	})
}

func (d *day) answer(s *daySender, token string, begun time.Time) providers.Result {
	switch chance := d.chance.IntN(1000); {
	case d.down:
		return providers.Result{Outcome: providers.Again, Reason: "transport: connect"}
	case d.refused == s:
		return providers.Result{Outcome: providers.Refused, Status: 401, Reason: "UNAUTHENTICATED"}
	case d.died(token):
		return providers.Result{Outcome: providers.TokenDead, Status: 404, Reason: "UNREGISTERED"}
	case chance < 10:
		return providers.Result{Outcome: providers.Later, Status: 429, Reason: "QUOTA_EXCEEDED", Wait: time.Minute}
	case chance < 12: // it was accepted, and nobody hears of it
		d.unanswered++
		d.receipts[token] = append(d.receipts[token], begun)
		return providers.Result{Outcome: providers.Again, Reason: "transport: reset"}
	}
	d.receipts[token] = append(d.receipts[token], begun)
	return providers.Result{Outcome: providers.Accepted, Status: 200}
}

func (d *day) hour() time.Duration { return time.Since(midnight) }

// midnight is when a bubble begins.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (d *day) mortal(device int) bool { return device < dayMortal }

func (d *day) died(token string) bool {
	var device int
	_, err := fmt.Sscanf(token, "token-%d", &device)
	return err == nil && d.mortal(device) && d.hour() >= 12*time.Hour
}

// Publish is the publisher: what it is given is acknowledged, but not while it is mute.
func (d *day) Publish(messages []queue.Message, done func()) {
	for _, m := range messages {
		if f, err := event.DecodeFeedback(m.Value); err == nil {
			d.audit.Feedback(f)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mute {
		d.muted = append(d.muted, done)
		return
	}
	go done()
}

// hear lets the publisher be heard again.
func (d *day) hear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mute = false
	for _, done := range d.muted {
		go done()
	}
	d.muted = nil
}

// start opens the ledger and an engine, and reads each partition from where it is done.
func (d *day) start(from [dayPartitions]int64) {
	d.t.Helper()
	var err error
	d.ledger, err = store.Open(store.Config{
		Dir: "ledger", FS: d.disk, DedupeWindow: d.cfg.Dedupe.Window, DedupeMaxEntries: d.cfg.Dedupe.MaxEntries,
		MergeInterval: d.cfg.Merge.Interval, Tombstones: 720 * time.Hour, MemTableMB: 1, CacheMB: 1,
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		d.t.Fatal(err)
	}
	d.registry = prometheus.NewRegistry()
	d.engine = New(d.cfg, Deps{
		Ledger: d.ledger, Publisher: d, Topic: "pushd.checkin", Topics: Topics{Feedback: "pushd.feedback", Dead: "pushd.dead"},
		Open: func(tenant, _ string) (Credential, bool) {
			d.mu.Lock()
			defer d.mu.Unlock()
			return Credential{Sender: d.sender[tenant], InFlight: 500}, d.sender[tenant] != nil
		},
		Fail:     func(err error) { d.failures = append(d.failures, err) },
		Registry: d.registry, Logger: slog.New(slog.DiscardHandler),
	})
	if err := d.engine.Start(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	d.engine.Share(1, 1)
	for p := range d.owners {
		if d.owners[p], err = d.engine.Assign(d.t.Context(), queue.Assignment{Partition: int32(p), From: queue.At(from[p])}); err != nil {
			d.t.Fatal(err)
		}
		d.read[p] = int(from[p])
	}
}

// done is where the next owner of each partition goes on.
func (d *day) done() (marks [dayPartitions]int64) {
	for p, o := range d.owners {
		marks[p] = o.Progress().Watermark
	}
	return marks
}

func (d *day) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, o := range d.owners {
		o.Release(ctx)
	}
	d.balanced()
	d.engine.Stop(ctx)
	if err := d.ledger.Close(); err != nil {
		d.t.Fatal(err)
	}
}

// crash takes the disk as a power loss leaves it. What the old process then still does, nobody remembers.
func (d *day) crash() {
	marks := d.done()
	left := d.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: d.random})
	d.stop()
	d.disk = left
	d.start(marks)
}

func (d *day) balanced() {
	d.t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "pushd_accounting_imbalance" && f.GetMetric()[0].GetGauge().GetValue() != 0 {
			d.t.Fatalf("I7: at %v the account is off by %v", d.hour(), f.GetMetric()[0].GetGauge().GetValue())
		}
	}
}

// publish publishes the events of a minute: many in the morning, few at night.
func (d *day) publish() {
	n := 4
	if h := d.hour(); h > 8*time.Hour && h < 10*time.Hour {
		n = 60
	}
	for range n {
		device := d.random.IntN(dayDevices)
		if h := d.hour(); d.mortal(device) && h > 8*time.Hour && h < 13*time.Hour {
			continue // what is under way when its token dies may end either way
		}
		p := device % dayPartitions
		r := mixture.Record{
			ID: fmt.Sprintf("e%d-%d", p, len(d.log[p])), Device: fmt.Sprintf("%s/d%d", []string{"acme", "zebra"}[device/dayPartitions%2], device),
			Provider: providers.FCM, Token: fmt.Sprintf("token-%d", device),
		}
		if d.died(r.Token) {
			r.Want = mixture.Dead
		}
		r.Key, r.Value = event.Encode(&event.Event{
			ID: r.ID, Tenant: r.Tenant(), Device: r.Device[len(r.Tenant())+1:], Provider: r.Provider, Token: r.Token, Priority: event.Normal,
		})
		d.audit.Publish([]mixture.Record{r}, time.Now())
		d.log[p] = append(d.log[p], queue.Record{Partition: int32(p), Offset: int64(len(d.log[p])), Key: r.Key, Value: r.Value, Time: time.Now()})
	}
	for p, o := range d.owners {
		if err := o.Take(d.t.Context(), queue.Reread(d.log[p][d.read[p]:]...)); err != nil {
			d.t.Fatal(err)
		}
		d.read[p] = len(d.log[p])
	}
}

// set changes what the senders see.
func (d *day) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// TestADay is 24 hours and what comes in one: a provider's outage, tokens that die, a credential that is refused and replaced,
// a topic that cannot be written, a restart, a power loss; then two hours for what waits. Kafka and HTTP/2 are not in it.
func TestADay(t *testing.T) {
	t.Parallel()
	seed, began := rand.Uint64N(1000), time.Now()
	synctest.Test(t, func(t *testing.T) {
		d := &day{
			t: t, random: rand.New(rand.NewPCG(seed, 0)), chance: rand.New(rand.NewPCG(seed, 1)), cfg: DefaultConfig(), audit: outside.New(), disk: vfs.NewCrashableMem(),
			receipts: map[string][]time.Time{},
		}
		d.cfg.Retry.Durability = Local // there is no topic of parked wakes
		d.sender = map[string]*daySender{"acme": {d, "acme"}, "zebra": {d, "zebra"}}
		happens := map[int]func(){ // by the minute
			3 * 60:    func() { d.stop(); d.start(d.done()) },
			9*60 + 10: func() { d.set(func() { d.down = true }) },
			9*60 + 50: func() { d.set(func() { d.down = false }) },
			9*60 + 55: d.crash,
			16 * 60:   func() { d.set(func() { d.refused = d.sender["acme"] }) },
			17 * 60:   d.crash,
			18*60 + 30: func() {
				d.set(func() { d.sender["acme"] = &daySender{d, "acme"} })
				d.engine.Renew([]Road{{"acme", providers.FCM}})
			},
			20 * 60:    func() { d.set(func() { d.mute = true }) },
			20*60 + 15: d.hear,
		}
		d.start([dayPartitions]int64{})
		for minute := range 24 * 60 {
			if happen := happens[minute]; happen != nil {
				happen()
			}
			d.publish()
			pass(time.Minute)
			d.balanced()
		}
		pass(2 * time.Hour)
		marks := d.done()
		for p := range marks {
			if marks[p] != int64(len(d.log[p])) {
				t.Errorf("partition %d is done up to %d of %d", p, marks[p], len(d.log[p]))
			}
		}
		d.stop()
		d.set(func() {
			v := d.audit.Check(func(token string) []time.Time { return d.receipts[token] }, d.cfg.Merge.Interval)
			pushes := 0
			for _, all := range d.receipts {
				pushes += len(all)
			}
			if len(v.Lost) > 0 || len(d.failures) > 0 {
				t.Errorf("seed %d: lost %d events, the first %s; failures: %v", seed, len(v.Lost), v.Lost[:min(1, len(v.Lost))], d.failures)
			}
			t.Logf("seed %d: %v simulated: %d events of %d devices, %d pushes accepted, %d of them with no answer, %d too many, %d lost; %d times feedback",
				seed, d.hour().Round(time.Minute), v.Published, dayDevices, pushes, d.unanswered, v.Extra, len(v.Lost), v.Feedbacks)
		})
	})
	t.Logf("in %v", time.Since(began).Round(time.Millisecond))
}
