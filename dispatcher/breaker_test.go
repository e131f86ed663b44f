package dispatcher

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
)

func TestAnAnswerSaysWhetherTheProviderIsWell(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		result       providers.Result
		failed, fine bool
	}{
		"accepted":                      {providers.Result{Outcome: providers.Accepted}, false, true},
		"dead token":                    {providers.Result{Outcome: providers.TokenDead, Status: 410}, false, true},
		"refused credential":            {providers.Result{Outcome: providers.Refused, Status: 403}, false, true},
		"refused in the TLS handshake":  {providers.Result{Outcome: providers.Refused}, false, false},
		"too many requests":             {providers.Result{Outcome: providers.Later, Status: 429}, false, true},
		"server error":                  {providers.Result{Outcome: providers.Later, Status: 500}, true, false},
		"unavailable, with Retry-After": {providers.Result{Outcome: providers.Later, Status: 503, Obeyed: true}, true, false},
		"no connection":                 {providers.Result{Outcome: providers.Again, Wait: time.Second, Reason: "transport: dial"}, true, false},
		"a time-out, of FCM":            {providers.Result{Outcome: providers.Later, Wait: 10 * time.Second, Reason: "transport: timeout"}, true, false},
		"no access token":               {providers.Result{Outcome: providers.Later, Scope: providers.Credential, Wait: 10 * time.Second, Reason: "oauth: unavailable"}, false, false},
		"drained by GOAWAY":             {providers.Result{Outcome: providers.Again, Reason: "transport: goaway"}, false, false},
		"closed by us":                  {providers.Result{Outcome: providers.Again, Wait: time.Second, Reason: providers.ReasonClosed}, false, false},
		"invalid, not sent":             {providers.Result{Outcome: providers.Rejected}, false, false},
	} {
		if failed, fine := health(&c.result); failed != c.failed || fine != c.fine {
			t.Errorf("%s: failed %v, fine %v", name, failed, fine)
		}
	}
}

func newBreaker(cfg BreakerConfig) *breaker {
	return &breaker{provider: providers.APNs, cfg: cfg, log: slog.New(slog.DiscardHandler)}
}

func TestOneTenantsTroubleIsNoOutage(t *testing.T) {
	t.Parallel()
	b := newBreaker(DefaultConfig().Breaker)
	noisy, others := &lane{}, []*lane{{}, {}, {}}
	for i := range 200 {
		now := epoch.Add(time.Duration(i) * 10 * time.Millisecond)
		b.observe(noisy, 100, 0, now)
		b.observe(others[i%3], 0, 1, now)
	}
	if !b.is(closed) {
		t.Error("20,000 failures of one lane beside 200 good answers of three others are taken for an outage")
	}
	for i := range 300 {
		now := epoch.Add(10*time.Second + time.Duration(i)*10*time.Millisecond)
		for _, l := range append(others, noisy) {
			b.observe(l, 1, 0, now)
		}
	}
	if !b.is(open) {
		t.Error("nothing but failures of all lanes is not taken for an outage")
	}
}

func TestABreakerOpensProbesRampsAndCloses(t *testing.T) {
	t.Parallel()
	cfg := BreakerConfig{Count: 10, Ratio: 0.9, Probe: 5 * time.Second, Ramp: 10 * time.Second}
	b, l := newBreaker(cfg), &lane{}
	now := epoch
	tick := func(d time.Duration) { now = now.Add(d) }
	for range 20 { // 4000/s for ten seconds
		b.observe(l, 0, 2000, now)
		tick(500 * time.Millisecond)
	}
	tick(3 * time.Second)
	b.observe(l, 9, 0, now)
	tick(600 * time.Millisecond)
	b.observe(l, 0, 1, now)
	if !b.is(closed) {
		t.Fatal("it opens before the count is reached")
	}
	b.observe(l, 1, 0, now)
	if !b.is(open) {
		t.Fatal("it does not open")
	}
	if may, when := b.mayProbe(now); may || !when.Equal(now.Add(cfg.Probe)) {
		t.Fatalf("a probe may go %v, at %v", may, when)
	}
	tick(cfg.Probe)
	if may, _ := b.mayProbe(now); !may {
		t.Fatal("no probe is due")
	}
	b.probing = true
	if may, when := b.mayProbe(now); may || !when.IsZero() {
		t.Fatal("a second probe may go beside the first")
	}
	b.observe(l, 1, 0, now)
	if may, when := b.mayProbe(now); may || !when.Equal(now.Add(cfg.Probe)) {
		t.Fatal("a failed probe is followed at once")
	}
	b.observe(l, 0, 1, now)
	rates := []int{}
	for range 16 {
		if b.ramp(now); b.limit == nil {
			t.Fatalf("the ramp ends after %v", rates)
		}
		rates = append(rates, int(b.limit.Limit()))
		tick(time.Second)
	}
	if rates[0] < 150 || rates[0] > 250 || rates[9] < 3000 || rates[9] > 4000 || rates[15] < 12_000 || rates[15] > 20_000 {
		t.Errorf("the ramp goes %v: to what was 4000/s in ten seconds, and then doubles every 2.5", rates)
	}
	if b.settle(now); !b.is(closed) || b.ramp(now) != nil {
		t.Error("nobody waits, and the ramp is not over")
	}
}

// mixed makes records of both providers in turn, for one tenant.
func mixed(from, to int64) []queue.Record {
	var records []queue.Record
	for offset := from; offset < to; offset++ {
		e := event.Event{ID: fmt.Sprint("e", offset), Tenant: fmt.Sprint("acme", offset%200), Device: fmt.Sprint("d", offset), Provider: providers.FCM, Token: fmt.Sprint("t", offset), Priority: event.Normal}
		if offset%2 == 0 {
			e.Provider, e.Token, e.PushMagic, e.PushType = providers.APNs, fmt.Sprintf("%08x", offset), "m", "mdm"
		}
		key, value := event.Encode(&e)
		records = append(records, queue.Record{Offset: offset, Key: key, Value: value, Time: time.Now()})
	}
	return queue.Reread(records...)
}

func TestAnOutageOfOneProviderPausesItAloneAndEndsSlowly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := localConfig()
		cfg.Breaker.Ramp = 10 * time.Second
		var down atomic.Bool
		apple := &provider{latency: 10 * time.Millisecond, times: map[string]int{}, answer: func(*providers.Push) providers.Result {
			if down.Load() {
				return providers.Result{Outcome: providers.Again, Wait: time.Second, Reason: "transport: dial"}
			}
			return providers.Result{Outcome: providers.Accepted}
		}}
		google := &provider{latency: 10 * time.Millisecond}
		p := newPlant(t, vfs.NewMem(), cfg, google)
		p.engine.deps.Open = func(_, name string) (Credential, bool) {
			return Credential{Sender: map[string]*provider{providers.APNs: apple, providers.FCM: google}[name], InFlight: 1000}, true
		}
		defer p.stop()
		o := p.assign(0, 0)
		attempts := func() (n int) {
			apple.mu.Lock()
			defer apple.mu.Unlock()
			for _, times := range apple.times {
				n += times
			}
			return n
		}
		offset := int64(0)
		second := func() (apns int) { // 1000 events of each provider
			before := attempts()
			for range 10 {
				if err := o.Take(t.Context(), mixed(offset, offset+200)); err != nil {
					t.Fatal(err)
				}
				offset += 200
				pass(100 * time.Millisecond)
				p.balanced()
			}
			return attempts() - before
		}
		var rates []int
		for s := range 60 {
			down.Store(s >= 5 && s < 35)
			rates = append(rates, second())
			google.mu.Lock()
			pushed := len(google.times)
			google.mu.Unlock()
			if behind := int(offset/2) - pushed; behind > 200 {
				t.Fatalf("second %d: FCM is %d wakes behind, while APNs is down or comes back", s, behind)
			}
		}
		outage := 0
		for _, n := range rates[7:35] {
			outage += n
		}
		if outage > 28/5+2 {
			t.Errorf("%d attempts from the third second of the outage on; one each 5 s is right", outage)
		}
		if first := rates[40]; first > 700 {
			t.Errorf("%d pushes/s just after the outage, no ramp: %v", first, rates[33:55])
		}
		for s := 36; s < len(rates); s++ {
			if most := rates[s-1]*8/5 + 200; rates[s] > most {
				t.Errorf("second %d has %d pushes, more than %d: no ramp: %v", s, rates[s], most, rates[33:])
			}
		}
		pass(time.Minute)
		for i := int64(0); i < offset; i += 2 {
			if apple.times[fmt.Sprintf("%08x", i)] == 0 {
				t.Fatalf("device %d was never pushed to", i)
			}
		}
		if o.Progress().Watermark != offset {
			t.Errorf("the watermark is %d of %d", o.Progress().Watermark, offset)
		}
		if !p.engine.gates[providers.APNs].breaker.is(closed) {
			t.Error("the breaker is not closed in the end")
		}
		p.balanced()
	})
}

func TestOneOfTwoTenantsInTroubleIsNoOutage(t *testing.T) {
	t.Parallel()
	b := newBreaker(DefaultConfig().Breaker)
	a, well := &lane{}, &lane{}
	for i := range 300 {
		now := epoch.Add(time.Duration(i) * 10 * time.Millisecond)
		b.observe(a, 100, 0, now)
		b.observe(well, 0, 10, now) // 1000/s accepted
	}
	if !b.is(closed) {
		t.Error("one tenant's failures stop the other, of which 1000 pushes a second are accepted")
	}
}

func TestAProbeWhoseAnswerSaysNothingIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]providers.Result{
		"rejected by the sender":   {Outcome: providers.Rejected, Reason: "invalid: token"},
		"refused in the handshake": {Outcome: providers.Refused, Reason: "transport: certificate refused"},
		"goaway":                   {Outcome: providers.Again, Reason: "transport: goaway"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mode atomic.Int32 // 0 well, 1 down, 2 one neutral answer, then well
				pr := &provider{latency: 10 * time.Millisecond, answer: func(*providers.Push) providers.Result {
					switch mode.Load() {
					case 1:
						return providers.Result{Outcome: providers.Again, Wait: time.Second, Reason: "transport: dial"}
					case 2:
						mode.Store(0)
						return r
					}
					return providers.Result{Outcome: providers.Accepted, Status: 200}
				}}
				p := newPlant(t, vfs.NewMem(), localConfig(), pr)
				defer p.stop()
				o := p.assign(0, 0)
				mode.Store(1)
				for i := int64(0); i < 20; i++ {
					if err := o.Take(t.Context(), wakes(0, i*20, i*20+20)); err != nil {
						t.Fatal(err)
					}
					pass(100 * time.Millisecond)
				}
				b := p.engine.gates[providers.FCM].breaker
				if !b.is(open) {
					t.Fatal("not open")
				}
				mode.Store(2)
				pass(time.Hour)
				if !b.is(closed) || p.metric("pushd_wakes") != 0 {
					t.Errorf("an hour after the provider is well the breaker is in state %d, probing %v, wakes %v", b.state.Load(), b.probing, p.metric("pushd_wakes"))
				}
			})
		})
	}
}

func TestABlackHoleIsAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pr := &provider{latency: 10 * time.Second, answer: func(*providers.Push) providers.Result {
			return providers.Result{Outcome: providers.Again, Wait: time.Second, Reason: "transport: timeout"}
		}}
		p := newPlant(t, vfs.NewMem(), localConfig(), pr)
		defer p.stop()
		o := p.assign(0, 0)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for from := int64(0); ctx.Err() == nil; from += 1000 {
				if o.Take(ctx, wakes(0, from, from+1000)) != nil {
					return
				}
			}
		}()
		pass(5 * time.Minute)
		if !p.engine.gates[providers.FCM].breaker.is(open) {
			t.Error("after five minutes in which every push timed out the breaker is not open")
		}
		cancel()
		pass(time.Second)
	})
}

func TestEachLaneInItsTurnProbes(t *testing.T) {
	t.Parallel()
	for name, weight := range map[string]int{"weight 1": 1, "weight 100": 100} {
		t.Run(name, func(t *testing.T) {
			r := newRoad(RatesConfig{})
			bad, badSent := r.lane("bad", 0, 1)
			bad.equip(Credential{Sender: badSent, InFlight: 1, Weight: weight})
			good, goodSent := r.lane("good", 0, 1)
			r.offer(bad, 5000, event.Normal)
			r.offer(good, 5000, event.Normal)
			r.gate.breaker.open(100, 0, r.now)
			probes := 0
			for ; probes < 100; probes++ {
				r.now = r.now.Add(r.gate.breaker.cfg.Probe)
				r.step()
				if len(goodSent.pushes) > 0 {
					break
				}
				for _, p := range badSent.pushes {
					bad.outlet.Load().done([]providers.Result{{Ref: p.Ref, Outcome: providers.Again, Wait: time.Second, Reason: "transport: dial"}})
				}
				badSent.pushes = nil
				r.step()
			}
			if probes > 1 {
				t.Errorf("%d probes, %v, went to the bad lane before the good one had one", probes, time.Duration(probes)*r.gate.breaker.cfg.Probe)
			}
		})
	}
}
