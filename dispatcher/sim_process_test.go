package dispatcher

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"pushd/providers"
	"pushd/queue"
)

// machine has a disk, a clock and power, and a process of pushd, mostly.
type machine struct {
	*simulation
	index       int
	rng         *rand.Rand
	disk        *disk
	off         time.Duration // how far its wall clock is off
	jumped      bool          // it ever was
	brokenUntil time.Duration // its disk takes nothing
	process     *process
	starts      int
}

func (m *machine) now() time.Time { return clockOf(m.at, m.off) }

// within is a time that something takes.
func (m *machine) within(most time.Duration) time.Duration {
	return time.Duration(m.rng.Int64N(int64(most)))
}

// process is a running pushd: the real engine with its gates and shards, of which each does its steps when it is let, and
// models of what surrounds them: flusher, consumer, publisher.
type process struct {
	*machine
	number int
	alive  bool
	engine *Engine
	shards []*shardHand // by partition; nil where there is none yet
	gates  []*gateHand

	frozenUntil time.Duration
	cutUntil    time.Duration // it does not reach the coordinator
	mute        bool          // while cut off: commits do not come through either

	generation int // that it believes in
	claims     []*claim
	leaving    *leaving
	stopping   bool

	flushing   *flushing
	flushDue   bool
	commitDue  bool
	brokenDisk bool

	senders map[senderKey]*sender
	flights map[*flight]struct{}
	outbox  []*posted // for the topic of parked wakes, in order

	reasons map[*device]reason
	known   map[*device][]*simEvent // what it has read, and what the stored wakes that it took stood for
}

// underWay is the pushes that the process waits for, in the order in which they were begun.
func (p *process) underWay() []*flight {
	return slices.SortedFunc(maps.Keys(p.flights), func(a, b *flight) int { return cmp.Compare(a.begun, b.begun) })
}

// shardHand lets a shard do its steps.
type shardHand struct {
	*shard
	from     *queue.Progress // what its tenure went on from
	stepping bool
	dueAt    time.Duration // when it is to look at what is due; 0: never
}

// gateHand lets a gate do its steps.
type gateHand struct {
	*gate
	stepping bool
	dueAt    time.Duration
}

// start starts a process on a machine that has none.
func (m *machine) start() {
	m.starts++
	p := &process{
		machine: m, number: m.starts, alive: true, flights: make(map[*flight]struct{}), senders: make(map[senderKey]*sender),
		shards: make([]*shardHand, len(m.topic.logs)), known: make(map[*device][]*simEvent),
		reasons: make(map[*device]reason),
	}
	m.process, m.disk.wrote = p, false
	p.engine = newEngine(m.cfg, Deps{
		Publisher: p, Open: p.open, Topic: "pushd.checkin", Topics: Topics{Feedback: "pushd.feedback", Dead: "pushd.dead", Parked: parkedTopicName},
		Accepted: m.plan.accepted, Logger: quiet,
	}, m.disk.names)
	for _, name := range providerNames {
		p.gates = append(p.gates, &gateHand{gate: p.engine.gates[name]})
	}
	m.note("%v starts", p)
	for _, partition := range m.disk.partitions() {
		p.shard(int(partition))
	}
	m.group.join(p)
}

var (
	quiet         = slog.New(slog.DiscardHandler)
	providerNames = []string{providers.APNs, providers.FCM}
)

func (p *process) String() string { return fmt.Sprintf("m%d.%d", p.index, p.number) }

// open is Deps.Open. Each call that follows a renewal gives another sender.
func (p *process) open(tenant, name string) (Credential, bool) {
	t := slices.Index(p.tenants, tenant)
	if t < 0 || p.gone[t] {
		return Credential{}, false
	}
	key := senderKey{t, name, p.versions[t]}
	if p.senders[key] == nil {
		p.senders[key] = &sender{process: p, tenant: t, name: name}
	}
	return Credential{Sender: p.senders[key], InFlight: p.cfg.Rates.InFlight, Weight: 1 + t%2}, true
}

// shard is the shard of a partition; the first time it is made from what the disk has.
func (p *process) shard(partition int) *shardHand {
	if h := p.shards[partition]; h != nil {
		return h
	}
	restored := p.disk.restored(int32(partition), p.cfg)
	s, err := restoreShard(p.engine, int32(partition), restored, p.plan.seed, p.now())
	if err != nil {
		panic(err)
	}
	p.engine.shards[int32(partition)] = s
	h := &shardHand{shard: s}
	p.shards[partition] = h
	for _, w := range s.core.wakes {
		p.referee.restored(p, w)
	}
	p.stepSoon(h, 0)
	return h
}

// after does something in the process when that much time has passed, if it still lives; while it is frozen it does nothing.
func (p *process) after(in time.Duration, f func()) {
	p.later(in, func() { p.do(f) })
}

func (p *process) do(f func()) {
	switch {
	case !p.alive:
	case p.at < p.frozenUntil:
		p.later(p.frozenUntil-p.at, func() { p.do(f) })
	default:
		p.step++
		f()
		p.poke()
	}
}

// poke lets those do a step who have something in their inbox: soon, or not so soon.
func (p *process) poke() {
	for _, h := range p.shards {
		if h == nil || h.stepping {
			continue
		}
		in := &h.inbox
		if len(in.results)+len(in.acked)+len(in.calls)+len(in.records) > 0 {
			p.stepSoon(h, p.pause())
		}
	}
	for _, h := range p.gates {
		if in := &h.inbox; !h.stepping && (len(in.offers)+len(in.answers)+len(in.changes) > 0 || in.halt != h.halted) {
			h.stepping = true
			p.after(p.pause(), func() { p.stepGate(h) })
		}
	}
}

// pause is how long a goroutine takes until it runs: mostly not long.
func (p *process) pause() time.Duration {
	if p.rng.IntN(50) == 0 {
		return p.within(300 * time.Millisecond)
	}
	return p.within(5 * time.Millisecond)
}

func (p *process) stepSoon(h *shardHand, in time.Duration) {
	h.stepping = true
	p.after(in, func() { p.stepShard(h) })
}

func (p *process) stepShard(h *shardHand) {
	h.stepping = false
	in := h.inbox
	h.inbox = shardInbox{}
	c := h.core
	var next int64
	if c.window != nil {
		next = c.window.Next()
	}
	now := p.now()
	late, before := late(in.results), c.books
	h.step(&in, now)
	if c.books.strays < before.strays+late {
		p.referee.fail("I4: %v partition %d takes an answer of an earlier tenure for one of this", p, c.partition)
	}
	p.referee.stepped(p, h, next, c.books.read-before.read)
	p.explain()
	if due := c.nextDue(); !due.IsZero() {
		if at := p.at + max(dueGrain, due.Sub(now)); h.dueAt <= p.at || at < h.dueAt {
			h.dueAt = at
			p.after(at-p.at, func() {
				if !h.stepping && h.dueAt <= p.at { // a process that was frozen is late
					p.stepShard(h)
				}
			})
		}
	}
	p.flushSoon(h)
	p.commitSoon()
	p.drained()
	p.fetch()
}

func (p *process) stepGate(h *gateHand) {
	h.stepping = false
	in := h.inbox
	h.inbox = gateInbox{halt: in.halt}
	now := p.now()
	next := h.step(in, now)
	if next.IsZero() {
		return
	}
	if at := p.at + max(0, next.Sub(now)); h.dueAt <= p.at || at < h.dueAt {
		h.dueAt = at
		p.after(at-p.at, func() {
			if !h.stepping && h.dueAt <= p.at { // a process that was frozen is late
				p.stepGate(h)
			}
		})
	}
}

// kill ends the process at once. Its supervisor starts another.
func (p *process) kill(again time.Duration) {
	if !p.alive {
		return
	}
	p.end(false)
	p.later(again, p.machine.start)
}

// end ends the process, with the machine's power or alone.
func (p *process) end(powerLost bool) {
	p.note("%v ends", p)
	p.alive = false
	gone, lost := p.disk.survive(powerLost, p.rng)
	p.reachedIf(batchLost, lost)
	p.referee.unstored(gone)
	p.later(sessionTimeout, func() { p.group.expire(p) })
}

// stop ends the process as a signal does: it releases its partitions, leaves the group, and waits a little for the rest.
func (p *process) stop(again time.Duration) {
	if p.leaving != nil || p.stopping {
		p.after(time.Second, func() { p.stop(again) })
		return
	}
	p.note("%v is stopped", p)
	p.stopping = true
	p.release(5*time.Second, func() {
		p.group.leave(p)
		p.engine.Halt()
		p.after(2*time.Second, func() { p.kill(again) })
	})
}
