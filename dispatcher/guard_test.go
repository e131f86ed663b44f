package dispatcher

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pushd/providers"
	"pushd/queue/event"
	"pushd/store"
)

// badTokens answers that tokens are dead as long as bad says so.
func badTokens(bad *atomic.Bool) *provider {
	return &provider{latency: 10 * time.Millisecond, times: map[string]int{}, answer: func(*providers.Push) providers.Result {
		if bad.Load() {
			return providers.Result{Outcome: providers.TokenDead, Status: 400, Reason: "BadDeviceToken"}
		}
		return providers.Result{Outcome: providers.Accepted}
	}}
}

// dead are results that call the tokens of devices dead.
func dead(devices ...store.Device) (results []providers.Result) {
	for _, d := range devices {
		results = append(results, providers.Result{Ref: &wake{device: d}, Outcome: providers.TokenDead})
	}
	return results
}

// deadTokens counts the feedback that a token is dead.
func (p *plant) deadTokens() (n int) {
	p.t.Helper()
	p.kafka.mu.Lock()
	defer p.kafka.mu.Unlock()
	for _, m := range p.kafka.messages {
		if m.Topic == "pushd.parked" {
			continue
		}
		f, err := event.DecodeFeedback(m.Value)
		if err != nil {
			p.t.Fatal(err)
		}
		if f.Outcome == event.TokenDead {
			n++
		}
	}
	return n
}

// pushes is how many the provider got.
func (p *plant) pushes() (n int) {
	p.provider.mu.Lock()
	defer p.provider.mu.Unlock()
	for _, times := range p.provider.times {
		n += times
	}
	return n
}

func TestACredentialForWhichEveryTokenIsBadErasesNoFleet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		release func(p *plant, bad *atomic.Bool)
		dead    int // feedback in the end
		twice   bool
	}{
		"released, and the tokens are dead":       {func(p *plant, _ *atomic.Bool) { p.engine.ReleaseGuard("acme", "", false) }, 1000, true},
		"released, and the tokens were good":      {func(p *plant, bad *atomic.Bool) { bad.Store(false); p.engine.ReleaseGuard("acme", "", false) }, 0, true},
		"released, to be reported as they are":    {func(p *plant, _ *atomic.Bool) { p.engine.ReleaseGuard("acme", providers.FCM, true) }, 1000, false},
		"the credential is replaced by the right": {replaceByGood, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var bad atomic.Bool
				bad.Store(true)
				p := newPlant(t, vfs.NewMem(), localConfig(), badTokens(&bad))
				defer p.stop()
				o := p.assign(0, 0)
				for from := int64(0); from < 1000; from += 10 { // slowly, so that the first are long answered when the last come
					if err := o.Take(t.Context(), wakes(0, from, from+10)); err != nil {
						t.Fatal(err)
					}
					pass(time.Second)
				}
				pass(time.Hour)
				if n := p.deadTokens(); n != 0 {
					t.Fatalf("%d tokens were reported dead", n)
				}
				if len(p.engine.Guards()) != 1 || o.Progress().Watermark != 1000 || p.engine.Notes() == "" {
					t.Fatalf("guards %v, watermark %d, notes %q", p.engine.Guards(), o.Progress().Watermark, p.engine.Notes())
				}
				p.balanced()
				before := p.pushes()
				if samples := before - 1000; samples < 400 || samples > 600 { // 50 each 5 minutes
					t.Errorf("%d pushes were made to learn whether tokens are dead still", samples)
				}
				c.release(p, &bad)
				pass(time.Minute)
				if n := p.deadTokens(); n != c.dead {
					t.Errorf("%d tokens were reported dead after the release, not %d", n, c.dead)
				}
				if open := p.metric("pushd_wakes"); open != 0 {
					t.Errorf("%v wakes have no outcome", open)
				}
				if len(p.engine.Guards()) != 0 {
					t.Error("the guard is tripped still")
				}
				if again := p.pushes() - before; (again == 1000) != c.twice || (again == 0) == c.twice {
					t.Errorf("%d pushes followed the release", again)
				}
				p.balanced()
			})
		})
	}
}

func replaceByGood(p *plant, _ *atomic.Bool) {
	good := &provider{times: map[string]int{}}
	p.engine.deps.Open = func(string, string) (Credential, bool) { return Credential{Sender: good, InFlight: 1000}, true }
	p.engine.Renew(acmeFCM)
}

func TestAGuardCalmsWhenTokensAreGoodAgainAndSendsAgainOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		var suspects atomic.Int64
		provider := badTokens(&bad)
		answer := provider.answer
		provider.answer = func(push *providers.Push) providers.Result {
			if push.Suspect {
				suspects.Add(1)
			}
			return answer(push)
		}
		p := newPlant(t, vfs.NewMem(), localConfig(), provider)
		defer p.stop()
		o := p.assign(0, 0)
		take := func(from, to int64) {
			if err := o.Take(t.Context(), wakes(0, from, to)); err != nil {
				t.Fatal(err)
			}
			pass(10 * time.Second)
		}
		take(0, 2000) // a healthy past does not hide what comes
		bad.Store(true)
		take(2000, 3000)
		if n := p.deadTokens(); n != 0 || len(p.engine.Guards()) != 1 {
			t.Fatalf("%d tokens were reported dead; guards: %v", n, p.engine.Guards())
		}
		if n := suspects.Load(); n != 0 {
			t.Errorf("%d pushes are suspect whose tokens were never called dead", n)
		}
		bad.Store(false)
		take(3000, 4000)
		pass(time.Minute)
		if n := p.deadTokens(); n != 0 || len(p.engine.Guards()) != 0 || p.metric("pushd_wakes") != 0 {
			t.Errorf("%d reported dead, guards %v, %v wakes left", n, p.engine.Guards(), p.metric("pushd_wakes"))
		}
		if n := p.provider.times["token-d0-2500"]; n != 2 {
			t.Errorf("a device whose token was in doubt was pushed to %d times, not 2", n)
		}
		if n := suspects.Load(); n != 1000 {
			t.Errorf("%d pushes are suspect, of 1000 whose tokens were called dead", n)
		}
	})
}

func TestFewDeadTokensAreReportedAfterTheyHaveSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, vfs.NewMem(), localConfig(), &provider{answer: func(push *providers.Push) providers.Result {
			if push.Token[len(push.Token)-1] == '7' { // a tenth
				return providers.Result{Outcome: providers.TokenDead, Status: 404, Reason: "UNREGISTERED"}
			}
			return providers.Result{Outcome: providers.Accepted}
		}})
		defer p.stop()
		o := p.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 1000)); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if n := p.deadTokens(); n != 0 {
			t.Errorf("%d tokens were reported dead at once", n)
		}
		pass(2 * time.Second)
		if n := p.deadTokens(); n != 100 || o.Progress().Watermark != 1000 {
			t.Errorf("%d of 100 tokens were reported dead, the watermark is %d", n, o.Progress().Watermark)
		}
	})
}

func TestTheOnlyDeviceOfATenantIsReportedInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		bad.Store(true)
		p := newPlant(t, vfs.NewMem(), localConfig(), badTokens(&bad))
		defer p.stop()
		o := p.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 1)); err != nil {
			t.Fatal(err)
		}
		pass(DefaultConfig().Guard.Patience - time.Second)
		if n := p.deadTokens(); n != 0 || o.Progress().Watermark != 1 {
			t.Errorf("%d tokens reported dead early; watermark %d", n, o.Progress().Watermark)
		}
		pass(time.Minute)
		if n := p.deadTokens(); n != 1 {
			t.Errorf("%d tokens reported dead", n)
		}
	})
}

func TestAcceptedPushesOfThePastDoNotVouchForTheDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		p := newPlant(t, vfs.NewMem(), localConfig(), badTokens(&bad))
		defer p.stop()
		o := p.assign(0, 0)
		for from := int64(0); from < 3000; from += 1000 {
			if err := o.Take(t.Context(), wakes(0, from, from+1000)); err != nil {
				t.Fatal(err)
			}
			pass(10 * time.Second)
		}
		bad.Store(true)
		if err := o.Take(t.Context(), wakes(0, 3000, 3100)); err != nil { // a small fleet, though of a busy tenant
			t.Fatal(err)
		}
		pass(time.Hour)
		if n := p.deadTokens(); n != 0 || len(p.engine.Guards()) != 1 {
			t.Errorf("%d of 100 tokens were reported dead; guards %v", n, p.engine.Guards())
		}
	})
}

func TestAReleaseOfAGuardThatIsNotTrippedDoesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		p := newPlant(t, vfs.NewMem(), localConfig(), badTokens(&bad))
		defer p.stop()
		o := p.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 100)); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		if released, known := p.engine.ReleaseGuard("acme", "", false); len(released) != 0 || !known {
			t.Errorf("released %v, known %v", released, known)
		}
		bad.Store(true)
		if err := o.Take(t.Context(), wakes(0, 100, 1000)); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if n := p.deadTokens(); n != 0 || len(p.engine.Guards()) != 1 {
			t.Errorf("%d tokens were reported dead; guards %v", n, p.engine.Guards())
		}
	})
}

func TestARestartWhileAGuardIsTrippedReportsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		bad.Store(true)
		fs := vfs.NewMem()
		first := newPlant(t, fs, localConfig(), badTokens(&bad))
		o := first.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 500)); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		first.stop()
		second := newPlant(t, fs, localConfig(), badTokens(&bad))
		defer second.stop()
		pass(time.Hour)
		if n := first.deadTokens() + second.deadTokens(); n != 0 || len(second.engine.Guards()) != 1 {
			t.Errorf("%d tokens were reported dead; guards %v", n, second.engine.Guards())
		}
		bad.Store(false)
		second.engine.ReleaseGuard("acme", "", false)
		pass(time.Minute)
		if n := second.metric("pushd_wakes"); n != 0 {
			t.Errorf("%v wakes have no outcome", n)
		}
		second.balanced()
	})
}

func TestANewTokenFreesASuspect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, vfs.NewMem(), localConfig(), &provider{answer: func(push *providers.Push) providers.Result {
			if push.Token == "old" {
				return providers.Result{Outcome: providers.TokenDead, Status: 404, Reason: "UNREGISTERED"}
			}
			return providers.Result{Outcome: providers.Accepted}
		}})
		defer p.stop()
		o := p.assign(0, 0)
		for offset, token := range []string{"old", "new"} {
			r := wakes(0, int64(offset), int64(offset)+1)
			r[0].Key, r[0].Value = event.Encode(&event.Event{ID: token, Tenant: "acme", Device: "d", Provider: providers.FCM, Token: token, Priority: event.Normal})
			if err := o.Take(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			pass(30 * time.Second)
		}
		if p.provider.times["new"] != 1 || p.deadTokens() != 0 || o.Progress().Watermark != 2 {
			t.Errorf("pushes %v, %d reported dead, watermark %d", p.provider.times, p.deadTokens(), o.Progress().Watermark)
		}
		p.balanced()
	})
}

func TestWhatAReplacedCredentialSaysOfTokensIsNotBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pr := &provider{latency: 2 * time.Second, answer: func(*providers.Push) providers.Result {
			return providers.Result{Outcome: providers.TokenDead, Status: 400, Reason: "BadDeviceToken"}
		}}
		p := newPlant(t, vfs.NewMem(), localConfig(), pr)
		defer p.stop()
		o := p.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 500)); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		if len(p.engine.Guards()) != 1 {
			t.Fatal("not tripped")
		}
		if err := o.Take(t.Context(), wakes(0, 500, 1000)); err != nil {
			t.Fatal(err)
		}
		pass(time.Second) // 500 pushes are under way
		replaceByGood(p, nil)
		pass(time.Minute)
		if n := p.deadTokens(); n != 0 {
			t.Errorf("%d tokens were reported dead on the word of the credential that was replaced for its wrong word", n)
		}
	})
}

func TestACredentialReplacedWhileItsGuardTripsErasesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pr := &provider{latency: 2 * time.Second, answer: func(*providers.Push) providers.Result {
			return providers.Result{Outcome: providers.TokenDead, Status: 400, Reason: "BadDeviceToken"}
		}}
		p := newPlant(t, vfs.NewMem(), localConfig(), pr)
		defer p.stop()
		p.engine.gates[providers.FCM].tripped = func(l *lane) { // runs in outlet.done, as the log's line does
			replaceByGood(p, nil)
			time.Sleep(time.Second)
		}
		o := p.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 60)); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if n := p.deadTokens(); n != 0 {
			t.Errorf("%d tokens were reported dead", n)
		}
	})
}

func TestAGuardThatHoldsBackAWholeFleetCalmsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		bad.Store(true)
		p := newPlant(t, vfs.NewMem(), localConfig(), badTokens(&bad))
		defer p.stop()
		o := p.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 1000)); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		bad.Store(false) // for good
		offset := int64(1000)
		for range 48 { // each hour an event for each device
			r := wakes(0, 0, 1000)
			for i := range r {
				r[i].Key, r[i].Value = event.Encode(&event.Event{ID: fmt.Sprint("again", offset), Tenant: "acme", Device: fmt.Sprintf("d0-%d", i), Provider: providers.FCM, Token: fmt.Sprintf("token-d0-%d", i), Priority: event.Normal})
				r[i].Offset = offset
				offset++
			}
			if err := o.Take(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			pass(time.Hour)
		}
		if len(p.engine.Guards()) != 0 || p.metric("pushd_wakes") != 0 {
			t.Errorf("two days after the provider is well: guards %v, %v wakes wait", p.engine.Guards(), p.metric("pushd_wakes"))
		}
	})
}

func TestASuspectExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		bad.Store(true)
		p := newPlant(t, vfs.NewMem(), localConfig(), badTokens(&bad))
		defer p.stop()
		o := p.assign(0, 0)
		r := wakes(0, 0, 200)
		for i := range r {
			r[i].Key, r[i].Value = event.Encode(&event.Event{ID: fmt.Sprint("x", i), Tenant: "acme", Device: fmt.Sprint("d", i), Provider: providers.FCM, Token: fmt.Sprint("t", i), Priority: event.Normal, Expires: time.Now().Add(time.Hour)})
		}
		if err := o.Take(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		pass(48 * time.Hour)
		if n := p.metric("pushd_wakes"); n != 0 {
			t.Errorf("%v wakes wait two days after they expired, %d messages", n, len(p.kafka.messages))
		}
	})
}

func TestOneDeadDeviceThatIsAskedForAgainAndAgainTripsNoGuard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlant(t, vfs.NewMem(), localConfig(), &provider{answer: func(push *providers.Push) providers.Result {
			if push.Token == "dead" {
				return providers.Result{Outcome: providers.TokenDead, Status: 404, Reason: "UNREGISTERED"}
			}
			return providers.Result{Outcome: providers.Accepted, Status: 200}
		}})
		defer p.stop()
		o := p.assign(0, 0)
		offset := int64(0)
		for m := range 3 * 24 * 60 {
			devices := []string{"dead"}
			if m%60 == 0 {
				for i := range 5 {
					devices = append(devices, fmt.Sprint("well", i))
				}
			}
			for _, d := range devices {
				r := wakes(0, 0, 1)
				r[0].Offset = offset
				r[0].Key, r[0].Value = event.Encode(&event.Event{ID: fmt.Sprint("z", offset), Tenant: "acme", Device: d, Provider: providers.FCM, Token: d, Priority: event.Normal})
				offset++
				if err := o.Take(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			pass(time.Minute)
			if g := p.engine.Guards(); len(g) > 0 {
				t.Fatalf("after %d min one dead device of six has tripped the guard: %+v", m, g)
			}
		}
	})
}
