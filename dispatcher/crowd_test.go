package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

// tenantWake is a record of a tenant's device, at an offset.
func tenantWake(tenant string, offset int64, p event.Priority) queue.Record {
	key, value := event.Encode(&event.Event{
		ID: fmt.Sprint("e", offset), Tenant: tenant, Device: fmt.Sprint("d", offset), Provider: providers.FCM,
		Token: fmt.Sprintf("%s-%d", tenant, offset), Priority: p,
	})
	return queue.Reread(queue.Record{Offset: offset, Key: key, Value: value, Time: time.Now()})[0]
}

func TestAnUrgentWakeBehindAnotherTenantsBacklogIsSentWithinASecond(t *testing.T) {
	t.Parallel()
	for name, others := range map[string]RatesConfig{
		"the noisy tenant has a limit of its own": {InFlight: 1000},
		"both share the provider's limit":         {InFlight: 1000, FCM: 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := localConfig()
				cfg.Rates = others
				p := newPlant(t, vfs.NewMem(), cfg, &provider{latency: 10 * time.Millisecond})
				p.engine.deps.Open = func(tenant, _ string) (Credential, bool) {
					c := Credential{Sender: p.provider, InFlight: 1000}
					if tenant == "noisy" && others.FCM == 0 {
						c.Rate = 500
					}
					return c, true
				}
				defer p.stop()
				o := p.assign(0, 0)
				const bulk = 60_000 // nearly four windows
				if err := o.Take(t.Context(), []queue.Record{tenantWake("quiet", 0, event.Urgent)}); err != nil {
					t.Fatal(err)
				}
				for from := int64(1); from < bulk; from += 1000 {
					var batch []queue.Record
					for offset := from; offset < min(from+1000, bulk); offset++ {
						batch = append(batch, tenantWake("noisy", offset, event.Bulk))
					}
					if err := o.Take(t.Context(), batch); err != nil {
						t.Fatal(err)
					}
				}
				if err := o.Take(t.Context(), []queue.Record{tenantWake("quiet", bulk, event.Urgent)}); err != nil {
					t.Fatal(err)
				}
				pass(time.Second)
				p.provider.mu.Lock()
				pushed := p.provider.times[fmt.Sprint("quiet-", bulk)]
				p.provider.mu.Unlock()
				if pushed != 1 {
					t.Errorf("the urgent wake was pushed %d times within a second", pushed)
				}
				p.balanced()
				pass(5 * time.Minute)
				if open := p.metric("pushd_wakes"); open != 0 || o.Progress().Watermark != bulk+1 {
					t.Errorf("%v wakes are left, the watermark is %d", open, o.Progress().Watermark)
				}
				for token, times := range p.provider.times {
					if times != 1 {
						t.Fatalf("%s was pushed to %d times", token, times)
					}
				}
				p.balanced()
			})
		})
	}
}

func TestATenantAloneOnItsPartitionIsNotParked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := localConfig()
		cfg.Rates.FCM = 1000
		p := newPlant(t, vfs.NewMem(), cfg, &provider{latency: 10 * time.Millisecond})
		defer p.stop()
		o := p.assign(0, 0)
		ctx, cancel := context.WithCancel(t.Context())
		taken := make(chan int64)
		go func() {
			var from int64
			for ; ctx.Err() == nil; from += 1000 {
				if o.Take(ctx, wakes(0, from, from+1000)) != nil {
					break
				}
			}
			taken <- from
		}()
		pass(5 * time.Second)
		if n := p.metric("pushd_retry_queue_entries"); n != 0 {
			t.Errorf("%v wakes are parked", n)
		}
		cancel()
		if n := <-taken; n > 5_000+queue.WindowSize+maxBacklog+2000 {
			t.Errorf("%d records were taken in 5 s at 1000/s: the partition did not pause", n)
		}
	})
}

func TestHoldersKeepTheirOrder(t *testing.T) {
	t.Parallel()
	var h holders
	a, b, c := &wake{name: "a"}, &wake{name: "b"}, &wake{name: "c"}
	names := func() (s string) {
		for w := range h.all {
			s += w.name
		}
		return s
	}
	for _, step := range []struct {
		do   func(*wake)
		w    *wake
		want string
	}{
		{h.drop, a, ""}, {h.add, a, "a"}, {h.add, b, "ab"}, {h.add, a, "ab"}, {h.add, c, "abc"}, {h.drop, b, "ac"}, {h.drop, b, "ac"},
		{h.add, b, "acb"}, {h.drop, a, "cb"}, {h.drop, b, "c"}, {h.drop, c, ""}, {h.add, b, "b"},
	} {
		if step.do(step.w); names() != step.want {
			t.Fatalf("%q, not %q", names(), step.want)
		}
	}
}

func TestAnUrgentWakeBehindSeveralBacklogsIsSentSoon(t *testing.T) {
	t.Parallel()
	for _, noisy := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(noisy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlant(t, vfs.NewMem(), localConfig(), &provider{latency: 10 * time.Millisecond})
				p.engine.deps.Open = func(tenant, _ string) (Credential, bool) {
					c := Credential{Sender: p.provider, InFlight: 1000}
					if tenant != "quiet" {
						c.Rate = 200 // its own limit, not the quiet one's
					}
					return c, true
				}
				defer p.stop()
				o := p.assign(0, 0)
				const bulk = 40_000
				go func() {
					r := []queue.Record{tenantWake("quiet", 0, event.Urgent)}
					for offset := int64(1); offset < bulk; offset++ {
						if r = append(r, tenantWake(fmt.Sprint("noisy", offset%int64(noisy)), offset, event.Bulk)); len(r) == 1000 {
							_ = o.Take(t.Context(), r)
							r = nil
						}
					}
					_ = o.Take(t.Context(), append(r, tenantWake("quiet", bulk, event.Urgent)))
				}()
				for s := range 300 {
					pass(time.Second)
					p.provider.mu.Lock()
					pushed := p.provider.times[fmt.Sprint("quiet-", bulk)]
					p.provider.mu.Unlock()
					if pushed > 0 {
						if s > 3 {
							t.Errorf("the urgent wake of a tenant far below its limit took %d s", s+1)
						}
						break
					}
				}
				pass(10 * time.Minute)
			})
		})
	}
}

func TestAForgottenDeviceIsNotParked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, localConfig())
	ev := func(ty event.Type) {
		w.event(event.Event{Type: ty, ID: fmt.Sprint("e", len(w.log)), Tenant: "acme", Device: "d", Provider: providers.FCM, Token: "t", Time: w.now, Priority: event.Normal})
		w.read()
	}
	ev(event.Wake)
	for _, wk := range w.offers() {
		w.begin(wk)
	}
	l := w.lanes[[2]string{"acme", providers.FCM}]
	l.gate = newGate(providers.FCM, DefaultConfig(), nil, nil)
	l.places.Store(crowded)
	w.core.crowds[l] = struct{}{}
	ev(event.Forget)
	ev(event.Wake)
	ev(event.Forget)
	w.flush()
	w.crash()
	w.advance(time.Second)
	if s := w.describe(); s != "" {
		t.Errorf("after the crash a device waits that was forgotten: %s", s)
	}
}

func TestARestAtTheHeadOfAWindowHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := localConfig()
		cfg.Merge.Interval = parkAfter // or it would be parked as it begins to rest
		p := newPlant(t, vfs.NewMem(), cfg, &provider{latency: 10 * time.Millisecond})
		defer p.stop()
		o := p.assign(0, 0)
		const behind = 4 * queue.WindowSize
		records := wakes(0, 0, behind)
		if err := o.Take(t.Context(), records[:1]); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		records[1].Key, records[1].Value = event.Encode(&event.Event{ // for the first one's device
			ID: "again", Tenant: "acme", Device: "d0-0", Provider: providers.FCM, Token: "token-d0-0", Priority: event.Normal,
		})
		for batch := range slices.Chunk(records[1:], 1000) {
			if err := o.Take(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		if n := p.metric("pushd_retry_queue_entries"); n != 1 {
			t.Errorf("%v wakes are parked, not the one that rests", n)
		}
		pass(cfg.Merge.Interval)
		if n := p.metric("pushd_wakes"); n != 0 || p.provider.times["token-d0-0"] != 2 {
			t.Errorf("%v wakes are left, the device that rested was pushed to %d times, not 2", n, p.provider.times["token-d0-0"])
		}
		p.balanced()
	})
}

// TestAFewWakesDoNotHoldUpAWindowOfWhichAllElseIsDone has two of a window's pushes unanswered, alone on their partition.
func TestAFewWakesDoNotHoldUpAWindowOfWhichAllElseIsDone(t *testing.T) {
	t.Parallel()
	for _, durability := range []Durability{Local, Replicated} {
		t.Run(string(durability), func(t *testing.T) {
			t.Parallel()
			cfg := DefaultConfig()
			cfg.Retry.Durability = durability
			w := newWorld(t, cfg)
			if durability == Replicated {
				w.adopt()
			}
			for _, r := range wakes(0, 0, queue.WindowSize+10) {
				w.append(r.Key, r.Value)
			}
			w.read()
			for _, l := range w.lanes {
				l.gate = newGate(providers.FCM, cfg, nil, nil)
			}
			slow := 0
			for _, wk := range w.offers() {
				if w.begin(wk); wk.name == "d0-0" || wk.name == "d0-700" {
					slow++
					continue
				}
				w.result(wk.name, providers.Result{Outcome: providers.Accepted})
			}
			w.flush()
			if slow != 2 || w.done.Watermark != 0 {
				t.Fatalf("the watermark is %d with %d pushes under way", w.done.Watermark, slow)
			}
			w.advance(time.Second)
			w.core.read(w.now)
			for range 2 { // in the ledger, or on the way to the topic and then done
				w.flush()
				w.ack()
			}
			w.flush()
			if w.done.Watermark < queue.WindowSize {
				t.Errorf("the watermark is %d: two pushes hold it up", w.done.Watermark)
			}
			w.result("d0-0", providers.Result{Outcome: providers.Accepted})
			w.result("d0-700", providers.Result{Outcome: providers.Accepted})
			w.flush()
			if n := w.core.books.settled[store.Accepted]; n != queue.WindowSize {
				t.Errorf("%d wakes were accepted, want %d", n, queue.WindowSize)
			}
		})
	}
}

// While merge.max_waiting is used up a rest keeps its offset, however long it is. When there is room again it does not hold up
// the window until it is over.
func TestALongRestMakesWayWhenWakesMayBeParkedAgain(t *testing.T) {
	t.Parallel()
	cfg := localConfig()
	w := newWorld(t, cfg)
	w.orphan("acme", providers.FCM).gate = &gate{breaker: &breaker{}}
	asks := func(id, device string) {
		w.event(event.Event{Type: event.Wake, Tenant: "acme", Device: device, Provider: providers.FCM, ID: id, Token: "of-" + device, Time: w.now})
	}
	asks("first", "rests")
	w.read()
	w.begin(w.offers()[0])
	w.result("rests", providers.Result{Outcome: providers.Accepted})
	w.flush()
	w.core.Budget.Store(0)
	asks("second", "rests")
	for i := range queue.WindowSize + 100 {
		asks(fmt.Sprint("other-", i), fmt.Sprint("other-", i))
	}
	w.read()
	w.core.Budget.Store(int64(cfg.Merge.MaxWaiting))
	for _, o := range w.offers() {
		if w.begin(o) != nil {
			w.result(o.name, providers.Result{Outcome: providers.Accepted})
		}
	}
	w.flush()
	w.advance(time.Second)
	w.core.read(w.now)
	w.flush()
	w.core.read(w.now)
	if n := w.core.backlog.len(); n != 0 {
		t.Errorf("%d events wait for a rest of %v at the head of the window", n, cfg.Merge.Interval)
	}
}
