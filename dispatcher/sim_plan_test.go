package dispatcher

import (
	"math/rand/v2"
	"time"
)

// plan is a simulation's script: everything that is done to pushd from outside. It is made of a seed, and can be shrunk by
// leaving out items; what is not in it (delays, answers) is drawn from the seed for each machine and device apart, so that
// without an item the rest goes on much as it did.
type plan struct {
	seed       uint64
	cfg        Config
	accepted   bool // Deps.Accepted
	machines   int
	partitions int
	devices    int
	tenants    int
	storm      float64 // how often a provider answers otherwise than with success
	slowDisk   bool
	slowCloud  bool          // a push and its answer take long
	horizon    time.Duration // then all faults end
	items      []item
}

// item is one thing that is done at a time. What a, b and c mean, its kind says.
type item struct {
	at      time.Duration
	kind    itemKind
	a, b    int
	lasting time.Duration
}

type itemKind uint8

const (
	wakeUp         itemKind = iota // device a is to check in; b makes the variants of its event
	checkIn                        // device a checked in; b: a while ago
	forgetIt                       // device a is gone; b: since a while
	garbage                        // a record for device a that is no event, or of a tenant that nobody has
	repeated                       // an earlier record of device a is published again
	gap                            // compaction leaves out offsets in the partition of device a, b of them
	salvo                          // b devices from a on are to check in
	newToken                       // device a gets another token; the one before is dead
	killed                         // machine a's process ends, as by kill -9
	powerLost                      // machine a's power fails: what its disk had not synced is gone
	diskLost                       // machine a's disk is gone
	restarted                      // machine a's process is stopped and started again, as for a new version
	cutOff                         // machine a does not reach the group's coordinator; b: commits neither
	frozen                         // machine a's process stands still
	clockJumped                    // machine a's wall clock jumps by lasting
	diskBroken                     // machine a's ledger cannot be written
	reshuffled                     // the group shares the partitions out anew
	metadataSpoilt                 // what partition a's commit has beside its offset is not what was written; then as above
	topicDown                      // feedback and dead letters cannot be published
	providerDown                   // provider a is down; b: it answers 503, or nothing
	refusedAll                     // provider's credentials of tenant a are refused
	slowedDown                     // tenant a is told to wait as a whole
	calledDead                     // all tokens of tenant a are said to be dead
	answersLost                    // provider a's answers get lost on their way; b: of one in b pushes
	renewed                        // tenant a's credentials are replaced
	tenantGone                     // tenant a's files are taken away
	itemKinds                      // their number
)

var itemNames = [itemKinds]string{
	"wake", "check-in", "forget", "garbage", "repeat", "gap", "burst", "new token", "kill", "power loss", "disk loss", "restart",
	"cut off", "freeze", "clock jump", "broken disk", "rebalance", "spoilt metadata", "topics down", "outage", "refusal of credentials",
	"limit on credentials", "dead tokens", "lost answers", "renewal", "absence",
}

// lasts says whether it goes on for a while.
func (k itemKind) lasts() bool {
	switch k {
	case cutOff, frozen, diskBroken, topicDown, providerDown, refusedAll, slowedDown, calledDead, answersLost, tenantGone:
		return true
	}
	return false
}

// fault says whether it is none of a publisher's records.
func (k itemKind) fault() bool { return k >= killed }

// newPlan makes the plan of a seed.
func newPlan(seed uint64) *plan {
	rng := rand.New(rand.NewPCG(seed, 0x51a1))
	p := &plan{
		seed: seed, cfg: newSimConfig(rng), accepted: rng.IntN(5) == 0, machines: 1 + rng.IntN(3), partitions: 1 + rng.IntN(4),
		devices: 3 + rng.IntN(40), tenants: 1 + rng.IntN(4), slowDisk: rng.IntN(4) == 0,
		horizon: time.Duration(10+rng.IntN(50)) * time.Second,
	}
	if rng.IntN(3) == 0 { // what happens to few devices meets more often
		p.devices = 1 + rng.IntN(3)
	}
	p.slowCloud = rng.IntN(4) == 0
	p.storm = one(rng, 0.0, 0.05, 0.3, 0.6)
	gappy := rng.IntN(8) == 0
	brief := rng.IntN(4) == 0  // most events expire soon
	moving := rng.IntN(3) == 0 // partitions move, for every reason that there is
	span := func(most time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(most))) }
	add := func(kind itemKind, a, b int, lasting time.Duration) {
		p.items = append(p.items, item{span(p.horizon), kind, a, b, lasting})
	}
	for range 10 + rng.IntN(90) {
		device := rng.IntN(p.devices)
		switch n := rng.IntN(40); {
		case n < 3 && p.cfg.Merge.Until == UntilCheckin:
			add(checkIn, device, rng.IntN(2), 0)
		case n == 3:
			add(forgetIt, device, rng.IntN(2), 0)
		case n == 4:
			add(garbage, device, rng.IntN(3), 0)
		case n < 7:
			add(repeated, device, rng.IntN(1000), 0)
		case n == 7 && rng.IntN(4) == 0, n > 20 && gappy:
			add(gap, device, one(rng, 1, 100, 5000, 16000), 0)
		case n == 8:
			add(salvo, device, 2+rng.IntN(20), 0)
		case n == 9:
			add(newToken, device, rng.IntN(2), 0)
		default:
			variant := rng.IntN(1 << 20)
			if brief && rng.IntN(4) > 0 {
				variant &^= 0x700
			}
			add(wakeUp, device, variant, 0)
		}
	}
	for range rng.IntN(10) {
		kind := killed + itemKind(rng.IntN(int(itemKinds-killed)))
		if moving {
			kind = one(rng, killed, powerLost, diskLost, restarted, cutOff, frozen, reshuffled)
		}
		add(kind, rng.IntN(12), rng.IntN(4), span(15*time.Second))
		if kind == clockJumped {
			p.items[len(p.items)-1].lasting = one(rng, -time.Hour, time.Hour)
		}
	}
	return p
}

func one[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// newSimConfig draws settings, mostly such that something happens: small counts, short times.
func newSimConfig(rng *rand.Rand) Config {
	cfg := localConfig()
	cfg.Retry.Durability = one(rng, Local, Replicated)
	cfg.Merge.Interval = one(rng, 0, 2*time.Second, 10*time.Second, 30*time.Second)
	cfg.Merge.Until = one(rng, UntilInterval, UntilInterval, UntilInterval, UntilCheckin)
	cfg.Merge.Rewake = []time.Duration{one(rng, time.Second, 5*time.Second), time.Minute}
	cfg.Merge.HoldProbe = one(rng, 2*time.Second, 30*time.Second)
	cfg.Merge.GiveUp = one(rng, 24*time.Hour, 24*time.Hour, 2*time.Minute)
	cfg.Merge.MaxWaiting = one(rng, 1_000_000, 1_000_000, 3)
	cfg.Dedupe.Window = one(rng, 10*time.Minute, 10*time.Minute, 10*time.Second)
	cfg.Rates.Total = one(rng, 0.0, 0, 100, 5)
	cfg.Rates.FCM = one(rng, 0.0, 0, 20)
	cfg.Rates.InFlight = one(rng, 1, 4, 1000)
	cfg.Breaker.Count = one(rng, 0, 3, 3, 50)
	cfg.Breaker.Probe = one(rng, time.Second, 5*time.Second)
	cfg.Breaker.Ramp = one(rng, 0, 2*time.Second, time.Minute)
	cfg.Guard.Count = one(rng, 0, 3, 50)
	cfg.Guard.Settle = one(rng, 100*time.Millisecond, 2*time.Second)
	cfg.Guard.Patience = one(rng, time.Second, time.Minute)
	cfg.DeadLetters = DeadLettersConfig{StopCount: one(rng, 0, 2, 1000), StopRatio: 0.5}
	return cfg
}
