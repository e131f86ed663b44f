package dispatcher

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"pushd/providers"
	"pushd/queue/event"
)

// sent is a provider that answers when it is told to.
type sent struct {
	lane   *lane
	pushes []providers.Push
	order  *[]string // the devices, over all lanes
}

func (s *sent) Send(pushes []providers.Push, _ func([]providers.Result)) {
	s.pushes = append(s.pushes, pushes...)
	for i := range pushes {
		*s.order = append(*s.order, pushes[i].Ref.(*wake).name)
	}
}

func (s *sent) Close() {}

// answer answers all pushes under way.
func (s *sent) answer(o providers.Outcome) {
	results := make([]providers.Result, len(s.pushes))
	for i := range s.pushes {
		results[i] = providers.Result{Ref: s.pushes[i].Ref, Outcome: o}
	}
	s.pushes = nil
	s.lane.outlet.Load().done(results)
}

// road is a gate with its lanes, driven by hand.
type road struct {
	gate  *gate
	shard *shard
	now   time.Time
	order []string
	n     int
}

func newRoad(rates RatesConfig) *road {
	cfg := DefaultConfig()
	cfg.Rates = rates
	e := &Engine{cfg: cfg}
	r := &road{
		gate:  newGate(providers.APNs, cfg, newMetrics(nil, e), slog.New(slog.DiscardHandler)),
		shard: &shard{bell: newBell()},
		now:   epoch,
	}
	r.gate.limit(newLimit(rates.Total), newLimit(rates.APNs))
	return r
}

func (r *road) lane(tenant string, perSecond float64, inFlight int) (*lane, *sent) {
	s := &sent{order: &r.order}
	l := &lane{tenant: tenant, provider: providers.APNs, gate: r.gate}
	l.equip(Credential{Sender: s, Rate: perSecond, InFlight: inFlight})
	s.lane = l
	return l, s
}

// offer puts n wakes into a lane.
func (r *road) offer(l *lane, n int, p event.Priority) []*wake {
	wakes := make([]*wake, n)
	for i := range wakes {
		r.n++
		wakes[i] = &wake{name: fmt.Sprintf("%s-%d-%d", l.tenant, p, r.n), shard: r.shard, heapAt: -1}
		wakes[i].offer.Store(&content{lane: l, priority: p})
	}
	r.gate.offer(wakes, p == event.Urgent)
	return wakes
}

// step gives the gate its inbox and returns when it wants to be called again.
func (r *road) step() time.Time {
	r.gate.mu.Lock()
	in := r.gate.inbox
	r.gate.inbox = gateInbox{halt: in.halt}
	r.gate.mu.Unlock()
	return r.gate.step(in, r.now)
}

// drive lets time pass, calling the gate whenever it asked to be called.
func (r *road) drive(d time.Duration, between func()) {
	for end := r.now.Add(d); ; {
		next := r.step()
		if between != nil {
			between()
		}
		if next.IsZero() {
			next = r.now.Add(time.Millisecond)
		}
		if next.After(end) {
			r.now = end
			return
		}
		r.now = next
		if next.Equal(end) {
			return
		}
	}
}

func TestLimitsHoldTogetherOverAnySeconds(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{APNs: 2000, InFlight: 1})
	slow, slowSent := r.lane("slow", 500, 1<<20)
	fast, _ := r.lane("fast", 0, 1<<20)
	r.offer(slow, 100_000, event.Normal)
	r.offer(fast, 100_000, event.Normal)
	r.drive(10*time.Second, nil)
	if n := len(slowSent.pushes); n < 4900 || n > 5125 {
		t.Errorf("the lane of 500/s began %d pushes in 10 s", n)
	}
	if n := len(r.order); n < 19_600 || n > 20_400 {
		t.Errorf("the provider of 2000/s got %d pushes in 10 s", n)
	}
}

func TestUrgentOvertakesOtherTenantsBulkUnderASharedLimit(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{APNs: 1000})
	noisy, _ := r.lane("noisy", 0, 1<<20)
	quiet, quietSent := r.lane("quiet", 0, 1<<20)
	r.offer(noisy, 100_000, event.Bulk)
	r.drive(time.Second, nil)
	r.offer(quiet, 1, event.Urgent)
	r.drive(100*time.Millisecond, nil)
	if len(quietSent.pushes) != 1 {
		t.Fatal("the urgent wake was not begun within 100 ms")
	}
}

func TestBulkNeverStarves(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{APNs: 1000})
	l, s := r.lane("a", 0, 1<<20)
	r.offer(l, 50_000, event.Urgent)
	r.offer(l, 50_000, event.Normal)
	r.offer(l, 50_000, event.Bulk)
	r.drive(20*time.Second, nil)
	counts := map[byte]int{}
	for _, p := range s.pushes {
		counts[p.Ref.(*wake).name[2]]++
	}
	urgent, normal, bulk := counts['0'], counts['1'], counts['2']
	if bulk < 200 || normal < 4*bulk || urgent < 2*normal {
		t.Errorf("of 20000 pushes %d urgent, %d normal, %d bulk", urgent, normal, bulk)
	}
}

func TestTenantsShareALimitEqually(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{APNs: 5000})
	const tenants = 50
	sents := make([]*sent, tenants)
	for i := range sents {
		var l *lane
		l, sents[i] = r.lane(fmt.Sprint("t", i), 0, 1<<20)
		r.offer(l, 2000*(1+i%10), event.Normal)
	}
	r.drive(10*time.Second, nil)
	for i, s := range sents {
		if n := len(s.pushes); n < 900 || n > 1100 {
			t.Errorf("tenant %d got %d pushes of a fair 1000", i, n)
		}
	}
}

func TestPushesUnderWayStayBelowTheCap(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{})
	l, s := r.lane("a", 0, 10)
	r.offer(l, 25, event.Normal)
	for round, want := range []int{10, 10, 5, 0} {
		r.step()
		if len(s.pushes) != want {
			t.Fatalf("round %d: %d pushes under way, not %d", round, len(s.pushes), want)
		}
		s.answer(providers.Accepted)
	}
	r.step()
	if n := r.gate.inFlight.Load(); n != 0 {
		t.Errorf("%d pushes are still counted", n)
	}
}

func TestWithdrawnWakesCostNothing(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{APNs: 20}) // a burst of one
	l, s := r.lane("a", 0, 1)
	wakes := r.offer(l, 10, event.Normal)
	for _, w := range wakes[:9] {
		w.withdraw()
	}
	r.step()
	if len(s.pushes) != 1 || s.pushes[0].Ref != wakes[9] {
		t.Fatalf("the one wake that is left was not begun at once: %v", s.pushes)
	}
}

func TestARefusedCredentialIsTriedAgainWithOnePush(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{})
	l, s := r.lane("a", 0, 4)
	other, otherSent := r.lane("b", 0, 4)
	r.offer(l, 6, event.Normal)
	r.offer(other, 2, event.Normal)
	r.step()
	s.answer(providers.Refused)
	r.step()
	var refused, shut int
	for _, res := range r.shard.inbox.results {
		switch res.Outcome {
		case providers.Refused:
			refused++
		case barred:
			shut++
		}
	}
	if refused != 1 || shut != 5 {
		t.Fatalf("%d refusals and %d barred wakes reached the shard, not 1 and 5", refused, shut)
	}
	if len(otherSent.pushes) != 2 {
		t.Error("the other tenant was held up")
	}

	r.offer(l, 3, event.Normal)
	r.step()
	if len(s.pushes) != 0 {
		t.Fatal("a push was begun while the credential is refused")
	}
	r.now = r.now.Add(r.gate.probe)
	r.offer(l, 3, event.Normal)
	r.step()
	if len(s.pushes) != 1 {
		t.Fatalf("%d pushes try the credential again, not 1", len(s.pushes))
	}
	s.answer(providers.Accepted)
	r.step()
	if len(s.pushes) != 2 {
		t.Fatalf("%d pushes follow the accepted probe, not 2", len(s.pushes))
	}
}

func TestAShortWaitOfTheCredentialPausesItsLaneOnly(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{})
	l, s := r.lane("a", 0, 100)
	other, otherSent := r.lane("b", 0, 100)
	r.offer(l, 1, event.Normal)
	r.step()
	l.outlet.Load().done([]providers.Result{{Ref: s.pushes[0].Ref, Outcome: providers.Later, Scope: providers.Credential, Wait: 2 * time.Second}})
	s.pushes = nil
	r.offer(l, 1, event.Normal)
	r.offer(other, 1, event.Normal)
	next := r.step()
	if len(s.pushes) != 0 || len(otherSent.pushes) != 1 {
		t.Fatalf("%d pushes of the paused lane, %d of the other", len(s.pushes), len(otherSent.pushes))
	}
	if want := r.now.Add(2 * time.Second); !next.Equal(want) {
		t.Fatalf("the gate wakes at %v, not %v", next, want)
	}
	r.now = next
	r.step()
	if len(s.pushes) != 1 {
		t.Fatal("the lane did not go on after the wait")
	}
}

func TestALongWaitOfTheCredentialKeepsNoWakeInItsLane(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{})
	l, s := r.lane("a", 0, 1)
	r.offer(l, 3, event.Normal)
	r.step()
	l.outlet.Load().done([]providers.Result{{Ref: s.pushes[0].Ref, Outcome: providers.Later, Scope: providers.Credential, Wait: time.Hour}})
	s.pushes = nil
	r.step()
	r.offer(l, 1, event.Normal)
	r.step()
	put := 0
	for _, res := range r.shard.inbox.results {
		if res.Outcome == deferred && res.Wait == time.Hour && res.Obeyed {
			put++
		}
	}
	if put != 3 || len(s.pushes) != 0 || r.gate.waiting.Load() != 0 {
		t.Fatalf("%d wakes were put off, %d begun, %d stand in the lane", put, len(s.pushes), r.gate.waiting.Load())
	}
	r.now = r.now.Add(time.Hour)
	r.offer(l, 1, event.Normal)
	r.step()
	if len(s.pushes) != 1 {
		t.Fatal("the lane did not go on after the wait")
	}
}

func TestARefusalBesideSuccessesBarsNothing(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{})
	l, s := r.lane("a", 0, 4)
	r.offer(l, 4, event.Normal)
	r.step()
	pushes := s.pushes
	s.pushes = nil
	l.outlet.Load().done([]providers.Result{{Ref: pushes[0].Ref, Outcome: providers.Refused}})
	r.step()
	l.outlet.Load().done([]providers.Result{{Ref: pushes[1].Ref, Outcome: providers.Accepted}, {Ref: pushes[2].Ref, Outcome: providers.Accepted}})
	r.offer(l, 2, event.Normal)
	r.step()
	if len(s.pushes) != 2 {
		t.Fatalf("%d of 2 wakes were begun after others had been accepted", len(s.pushes))
	}
}

func TestAGateLeavesAnotherGatesLaneAlone(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{})
	l, s := r.lane("a", 0, 4)
	elsewhere := newGate(providers.FCM, DefaultConfig(), r.gate.metrics, slog.New(slog.DiscardHandler))
	moved := &lane{tenant: "a", provider: providers.FCM, gate: elsewhere, cap: 1}
	w := r.offer(l, 1, event.Normal)[0]
	w.offer.Store(&content{lane: moved}) // the shard has rerouted it before the gate looks
	r.step()
	if len(s.pushes) != 0 || moved.queues[0].len() != 0 || w.offer.Load() == nil {
		t.Fatalf("%d pushes, %d places in the other gate's lane", len(s.pushes), moved.queues[0].len())
	}
}

func TestALapsedWakeIsAnsweredByItsLane(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{})
	l, s := r.lane("a", 0, 100)
	w := &wake{name: "d", shard: r.shard, heapAt: -1}
	w.offer.Store(&content{lane: l, expires: r.now})
	r.gate.offer([]*wake{w}, false)
	r.step()
	if got := r.shard.inbox.results; len(s.pushes) != 0 || len(got) != 1 || got[0].Outcome != lapsed {
		t.Fatalf("%d pushes, results %v", len(s.pushes), got)
	}
}

func TestAHaltedGateBeginsNothing(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{})
	l, s := r.lane("a", 0, 100)
	r.gate.halt()
	r.offer(l, 5, event.Normal)
	r.step()
	if len(s.pushes) != 0 {
		t.Fatal("a push was begun")
	}
}

func TestWhoCallsEverythingUrgentGetsNoMoreThanItsShare(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{APNs: 1000})
	noisy, noisySent := r.lane("noisy", 0, 1<<20)
	r.offer(noisy, 50_000, event.Urgent)
	sents := make([]*sent, 19)
	for i := range sents {
		var l *lane
		l, sents[i] = r.lane(fmt.Sprint("t", i), 0, 1<<20)
		r.offer(l, 5000, event.Normal)
	}
	r.drive(20*time.Second, nil)
	for i, s := range append(sents, noisySent) {
		if n := len(s.pushes); n < 900 || n > 1100 {
			t.Errorf("tenant %d got %d pushes of a fair 1000", i, n)
		}
	}
}
