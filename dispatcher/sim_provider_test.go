package dispatcher

import (
	"fmt"
	"math/rand/v2"
	"time"

	"pushd/providers"
)

// cloud is a modelled APNs or FCM: it takes pushes, or does not, and its answers come, or do not.
type cloud struct {
	*simulation
	name       string
	downUntil  time.Duration
	silent     bool // down: no answer comes
	loseUntil  time.Duration
	loseOneIn  int
	tenants    []tenantTrouble
	deadTokens map[string]time.Time
}

// tenantTrouble is what a provider has against the credentials of a tenant.
type tenantTrouble struct {
	refusedUntil, slowUntil, deadUntil time.Duration
}

// flight is a push under way.
type flight struct {
	process *process
	outlet  *outlet
	push    providers.Push
	device  *device
	begun   int // the step at which it was begun
	tenant  int
	why     cause

	accepted bool // by the provider, whoever hears of it
}

// sender is a credential's sender in a process. It implements providers.Sender.
type sender struct {
	process *process
	tenant  int
	name    string // the provider's
}

// senderKey says which credential it is: one that is replaced is another.
type senderKey struct {
	tenant  int
	name    string
	version int
}

func (s *sender) Close() {}

// Send begins pushes. Each arrives at the provider after a while, or its connection is lost on the way.
func (s *sender) Send(pushes []providers.Push, _ func([]providers.Result)) {
	p := s.process
	outlet := p.engine.lanes[[2]string{p.tenants[s.tenant], s.name}].outlet.Load()
	for _, push := range pushes {
		w := push.Ref.(*wake)
		f := &flight{process: p, outlet: outlet, push: push, device: p.devices[w.name], begun: p.step, tenant: s.tenant}
		p.flights[f] = struct{}{}
		p.referee.begun(f, w)
		p.later(f.device.way(), func() { p.providers[s.name].arrived(f) })
	}
}

// arrived decides about a push. Where its process has ended meanwhile, it may have been sent or not.
func (v *cloud) arrived(f *flight) {
	rng := f.device.rng
	if !f.process.alive && rng.IntN(2) == 0 {
		return
	}
	back := f.device.way()
	r := v.judge(f)
	if r.Outcome == providers.Accepted {
		f.accepted = true
		v.referee.accepted(f)
		if lost := v.at < v.loseUntil && rng.IntN(v.loseOneIn+1) == 0; lost || rng.Float64() < v.storm/8 {
			v.referee.answerLost(f)
			r = one(rng,
				providers.Result{Outcome: providers.Again, Wait: time.Second, Reason: "transport: connection lost"},
				providers.Result{Outcome: providers.Later, Wait: time.Second, Reason: "transport: no answer in time"})
			back = one(rng, back, 5*time.Second, 10*time.Second)
		}
	}
	v.later(back, func() { f.answer(r) })
}

// judge is the provider's answer to a push.
func (v *cloud) judge(f *flight) providers.Result {
	rng, trouble := f.device.rng, &v.tenants[f.tenant]
	since, dead := v.deadTokens[f.push.Token]
	switch {
	case v.at < v.downUntil && v.silent:
		return providers.Result{Outcome: providers.Again, Wait: time.Second, Reason: "transport: cannot connect"}
	case v.at < v.downUntil:
		return providers.Result{Outcome: providers.Later, Wait: time.Second, Status: 503, Reason: "ServiceUnavailable"}
	case v.at < trouble.refusedUntil:
		return providers.Result{Outcome: providers.Refused, Status: 403, Reason: "InvalidProviderToken"}
	case v.at < trouble.slowUntil:
		return providers.Result{
			Outcome: providers.Later, Scope: providers.Credential, Status: 429, Obeyed: true, Reason: "QuotaExceeded",
			Wait: one(rng, 500*time.Millisecond, 2*time.Second, 10*time.Second),
		}
	case v.at < trouble.deadUntil:
		return providers.Result{Outcome: providers.TokenDead, Status: 410, Reason: "Unregistered"}
	case dead:
		return providers.Result{Outcome: providers.TokenDead, Status: 410, Reason: "Unregistered", Since: since}
	case rng.Float64() >= v.storm:
		return providers.Result{Outcome: providers.Accepted, Status: 200}
	}
	switch rng.IntN(8) {
	case 0:
		return providers.Result{Outcome: providers.Again, Reason: "transport: refused stream"}
	case 1:
		return providers.Result{Outcome: providers.Later, Wait: 15 * time.Minute, Status: 500, Reason: "InternalServerError"}
	case 2:
		return providers.Result{Outcome: providers.Rejected, Status: 400, Reason: "BadPayload"}
	case 3:
		return providers.Result{Outcome: providers.TokenDead, Status: 410, Reason: "Unregistered", Since: epoch.Add(-time.Hour)} // stale for most
	case 4:
		return providers.Result{Outcome: providers.Refused, Status: 403, Reason: "TopicDisallowed"}
	}
	return providers.Result{
		Outcome: providers.Later, Status: 429, Obeyed: true, Reason: "TooManyRequests",
		Wait: one(rng, 500*time.Millisecond, 5*time.Second, 20*time.Second),
	}
}

// answer brings a result to the process that sent the push, if it still is there.
func (f *flight) answer(r providers.Result) {
	f.process.do(func() {
		p := f.process
		delete(p.flights, f)
		r.Ref = f.push.Ref
		p.note("%v hears of %v: %v %s %v", p, f.device, outcomeLabels[r.Outcome], r.Reason, r.Wait)
		p.referee.answered(f, &r)
		f.outlet.take([]providers.Result{r}, p.now())
	})
}

// device is a modelled device: its address, and the dice of its pushes.
type device struct {
	*simulation
	index     int
	name      string
	tenant    int
	provider  string
	partition int
	token     string
	tokens    int // that it has had
	since     time.Time
	rng       *rand.Rand
	events    []*simEvent
	record
}

func (d *device) String() string { return d.name }

func (d *device) newToken(at time.Time) {
	d.tokens++
	d.token, d.since = fmt.Sprintf("%04x%04x", d.index, d.tokens), at
}

// way is how long a push or its answer is on its way.
func (d *device) way() time.Duration {
	least, most := 5*time.Millisecond, 60*time.Millisecond
	if d.plan.slowCloud {
		least, most = 50*time.Millisecond, 1500*time.Millisecond
	}
	return least + time.Duration(d.rng.Int64N(int64(most-least)))
}
