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
)

func TestAThousandTenantsShareALimitWithinATenth(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{APNs: 2000})
	const tenants = 1000
	sents := make([]*sent, tenants)
	for i := range sents {
		var l *lane
		l, sents[i] = r.lane(fmt.Sprint("t", i), 0, 1<<20)
		r.offer(l, 100+i, event.Normal)
	}
	r.drive(30*time.Second, nil)
	for i, s := range sents {
		if n := len(s.pushes); n < 54 || n > 66 {
			t.Errorf("tenant %d got %d pushes of a fair 60", i, n)
		}
	}
}

func TestTenantsShareALimitByWeight(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{APNs: 1000})
	sents := map[int]*sent{}
	for _, weight := range []int{1, 2, 7} {
		l, s := r.lane(fmt.Sprint("w", weight), 0, 1<<20)
		l.equip(Credential{Sender: s, InFlight: 1 << 20, Weight: weight})
		r.offer(l, 20_000, event.Normal)
		sents[weight] = s
	}
	r.drive(10*time.Second, nil)
	for weight, s := range sents {
		if n, fair := len(s.pushes), 1000*weight; n < fair*9/10 || n > fair*11/10 {
			t.Errorf("weight %d got %d pushes of a fair %d", weight, n, fair)
		}
	}
}

func TestLimitsChangeWhileALaneRuns(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{APNs: 100})
	l, s := r.lane("a", 0, 1<<20)
	r.offer(l, 100_000, event.Normal)
	r.drive(10*time.Second, nil)
	slow := len(s.pushes)
	r.gate.change(func() { r.gate.limit(nil, newLimit(1000)) })
	r.drive(10*time.Second, nil)
	fast := len(s.pushes) - slow
	r.gate.change(func() { r.gate.equip(l, Credential{Sender: s, Rate: 10, InFlight: 1 << 20}) })
	r.drive(10*time.Second, nil)
	own := len(s.pushes) - slow - fast
	if slow > 1050 || fast < 9_500 || fast > 10_500 || own < 90 || own > 110 {
		t.Errorf("in 10 s each: %d pushes at 100/s, %d at 1000/s, %d at the lane's own 10/s", slow, fast, own)
	}
}

func TestAReplacedCredentialTakesNewPushesAndTheOldEndsItsOwn(t *testing.T) {
	t.Parallel()
	r := newRoad(RatesConfig{})
	l, first := r.lane("a", 0, 4)
	var closed []providers.Sender
	r.gate.close = func(s providers.Sender) { closed = append(closed, s) }
	r.offer(l, 2, event.Normal)
	r.step()
	old := l.outlet.Load()
	second := &sent{lane: l, order: &r.order}
	r.gate.change(func() { r.gate.equip(l, Credential{Sender: second, InFlight: 4}) })
	r.offer(l, 6, event.Normal)
	r.step()
	if len(first.pushes) != 2 || len(second.pushes) != 2 || len(closed) != 0 {
		t.Fatalf("%d pushes on the old sender, %d on the new of a cap of 4; %d closed", len(first.pushes), len(second.pushes), len(closed))
	}
	old.done([]providers.Result{{Ref: first.pushes[0].Ref, Outcome: providers.Refused}, {Ref: first.pushes[1].Ref, Outcome: providers.Accepted}})
	r.step()
	if len(closed) != 1 || closed[0] != first {
		t.Fatalf("closed: %v", closed)
	}
	if got := r.shard.inbox.results[0].Outcome; l.refused() || got != providers.Again {
		t.Errorf("the old credential's refusal bars the new one: outcome %v", got)
	}
	if len(second.pushes) != 4 {
		t.Errorf("%d pushes on the new sender after the old one's answers, not 4", len(second.pushes))
	}
}

// credentials is what Deps.Open says, and may be changed.
type credentials struct {
	current atomic.Pointer[Credential]
	known   atomic.Bool
}

func (c *credentials) open(string, string) (Credential, bool) {
	if !c.known.Load() {
		return Credential{}, false
	}
	return *c.current.Load(), true
}

var acmeFCM = []Road{{"acme", providers.FCM}}

func TestWhatIsHeldForACredentialIsReleasedByItsReplacement(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]Credential{
		"refused":  {Sender: &provider{times: map[string]int{}, answer: refuse}, InFlight: 1000},
		"unusable": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				good := &provider{times: map[string]int{}}
				var c credentials
				c.current.Store(&broken)
				c.known.Store(true)
				p := newPlant(t, vfs.NewMem(), localConfig(), good)
				p.engine.deps.Open = c.open
				defer p.stop()
				o := p.assign(0, 0)
				if err := o.Take(t.Context(), wakes(0, 0, 500)); err != nil {
					t.Fatal(err)
				}
				pass(10 * time.Second)
				if held := p.metric("pushd_holds"); held != 500 || o.Progress().Watermark != 500 {
					t.Fatalf("%v events are held, the watermark is %d", held, o.Progress().Watermark)
				}
				c.current.Store(&Credential{Sender: good, InFlight: 1000})
				p.engine.Renew(acmeFCM)
				pass(time.Second)
				if len(good.times) != 500 {
					t.Errorf("%d of 500 wakes were pushed within a second of the replacement", len(good.times))
				}
				if sender, ok := broken.Sender.(*provider); ok && !sender.closed.Load() {
					t.Error("the replaced sender was not closed")
				}
				p.balanced()
			})
		})
	}
}

func refuse(*providers.Push) providers.Result {
	return providers.Result{Outcome: providers.Refused, Reason: "BadCertificate", Status: 403}
}

func TestATenantThatGoesIsDeadLetteredAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := &provider{times: map[string]int{}}, &provider{times: map[string]int{}}
		var c credentials
		c.current.Store(&Credential{Sender: first, InFlight: 1000})
		c.known.Store(true)
		p := newPlant(t, vfs.NewMem(), localConfig(), first)
		p.engine.deps.Open = c.open
		defer p.stop()
		o := p.assign(0, 0)
		for i, known := range []bool{true, false, true} {
			c.known.Store(known)
			if i == 2 {
				c.current.Store(&Credential{Sender: second, InFlight: 1000})
			}
			p.engine.Renew(acmeFCM)
			pass(time.Second)
			if err := o.Take(t.Context(), wakes(0, int64(i*10), int64(i*10+10))); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
		}
		if len(first.times) != 10 || len(second.times) != 10 || o.Progress().Watermark != 30 || len(p.kafka.messages) != 10 {
			t.Errorf("%d pushes before, %d after, %d dead letters between, watermark %d",
				len(first.times), len(second.times), len(p.kafka.messages), o.Progress().Watermark)
		}
		p.balanced()
	})
}

func TestATenantThatLeftIsNoTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pr := &provider{}
		p := newPlant(t, vfs.NewMem(), localConfig(), pr)
		defer p.stop()
		o := p.assign(0, 0)
		if err := o.Take(t.Context(), wakes(0, 0, 10)); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		p.engine.deps.Open = func(string, string) (Credential, bool) { return Credential{}, false }
		p.engine.Renew(acmeFCM)
		pass(time.Hour)
		if n := p.engine.Notes(); n != "" {
			t.Errorf("nothing waits, and: %s", n)
		}
	})
}
