package dispatcher

import (
	"cmp"
	"context"
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

// claim is a partition that a process takes for its own.
type claim struct {
	partition int
	owner     *owner
	next      int64
	taking    bool
	fetching  bool
	told      *queue.Progress // committed
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

// flushing is a flush under way.
type flushing struct {
	reply chan collected
	asked int
	parts []collected
}

// flushSoon is the flusher's ticker: what there is to flush is flushed within flushEvery, or at once where the bell rings.
func (p *process) flushSoon(h *shardHand) {
	if f := p.flushing; f != nil && f.parts == nil && len(f.reply) == f.asked {
		p.write(f)
	}
	select {
	case <-p.engine.flushBell:
		p.after(0, p.flush)
	default:
	}
	if h.core.unflushed() && !p.flushDue {
		p.flushDue = true
		p.after(p.within(flushEvery), p.flush)
	}
}

// flush asks all shards for what they have to write, as Engine.collect does.
func (p *process) flush() {
	p.flushDue = false
	if p.flushing != nil || p.brokenDisk {
		return
	}
	f := &flushing{reply: make(chan collected, len(p.shards))}
	for _, h := range p.shards {
		if h != nil {
			f.asked++
			h.collect(f.reply)
		}
	}
	p.flushing = f
}

// write writes a flush: first it is only issued, then the operating system has it, then the disk, then the shards hear so.
func (p *process) write(f *flushing) {
	f.parts = []collected{}
	var parts []collected
	for range f.asked {
		if c := <-f.reply; c.shard != nil {
			parts = append(parts, c)
		}
	}
	if len(parts) == 0 {
		p.flushing = nil
		return
	}
	slices.SortFunc(parts, func(a, b collected) int { return int(a.shard.core.partition - b.shard.core.partition) })
	if p.at < p.brokenUntil {
		p.breakDown()
		return
	}
	b := &batch{}
	for _, c := range parts {
		b.flushes = append(b.flushes, c.flush)
		var stand [][]*simEvent
		for _, put := range c.flush.Put {
			stand = append(stand, p.stands(put.Data))
		}
		b.stand = append(b.stand, stand)
	}
	p.disk.batches = append(p.disk.batches, b)
	p.note("%v writes its ledger", p)
	slow := 2 * time.Millisecond
	if p.plan.slowDisk {
		slow = one(p.rng, 100*time.Millisecond, 700*time.Millisecond, 700*time.Millisecond, 10*time.Second)
	}
	p.after(p.within(slow), func() {
		b.written = true
		p.after(p.within(slow), func() {
			p.referee.unstored(p.disk.sync())
			p.after(p.within(time.Millisecond), func() {
				p.flushing = nil
				for _, c := range parts {
					c.shard.durable(c.done)
				}
			})
		})
	})
}

// breakDown is what Engine.flushOnce does where the ledger cannot be written: the engine is over, and the process ends.
func (p *process) breakDown() {
	p.note("%v cannot write its ledger", p)
	p.reached(ledgerBroken)
	p.brokenDisk = true
	p.engine.broken.Store(true)
	p.engine.Halt()
	p.after(p.within(3*time.Second), func() { p.kill(time.Second) })
}

const parkedTopicName = "pushd.parked"

// Publish is of Publisher: messages are in their topics after a while, and then the process hears of it.
func (p *process) Publish(messages []queue.Message, done func()) {
	var parked, told []queue.Message
	for _, m := range messages {
		if m.Topic == parkedTopicName {
			parked = append(parked, m)
		} else {
			told = append(told, m)
		}
	}
	left := 2
	part := func() {
		if left--; left == 0 {
			done()
		}
	}
	if len(parked) > 0 {
		p.post(parked, part)
	} else {
		left--
	}
	if len(told) > 0 {
		p.tell(told, part)
	} else {
		left--
	}
}

// tell publishes feedback and dead letters.
func (p *process) tell(messages []queue.Message, done func()) {
	arrives := func() {}
	arrives = func() {
		switch {
		case !p.alive && p.rng.IntN(2) == 0: // it ended before they were sent
		case p.at < p.topicDownUntil && p.alive:
			p.later(p.topicDownUntil-p.at+p.within(100*time.Millisecond), arrives)
		case p.at < p.topicDownUntil:
		default:
			p.referee.published(p, messages)
			p.after(p.within(10*time.Millisecond), done)
		}
	}
	p.later(p.within(20*time.Millisecond), arrives)
}

// hears says whether its heartbeats come through.
func (p *process) hears() bool { return p.alive && p.at >= p.cutUntil && p.at >= p.frozenUntil }

// hear is told of a rebalance: its heartbeat is answered so.
func (p *process) hear() {
	switch g := p.group; {
	case p.at < p.cutUntil:
		p.after(p.cutUntil-p.at+p.within(time.Second), p.hear)
	case slices.Contains(g.joined, p), g.stable && slices.Contains(g.members, p):
	default:
		p.part()
	}
}

// part ends the process's part in a generation: it releases its partitions and joins again.
func (p *process) part() {
	if p.leaving != nil || p.stopping {
		return
	}
	p.note("%v releases its partitions", p)
	p.release(revokeDrain, func() { p.group.join(p) })
}

// leaving is the end of a process's part in a generation.
type leaving struct {
	then func()
}

// release releases all claims. Who has not drained when the time is over gives up what is under way.
func (p *process) release(drain time.Duration, then func()) {
	l := &leaving{then: then}
	p.leaving = l
	for _, c := range p.claims {
		c.taking = false
		c.owner.release()
	}
	p.after(drain, func() {
		if p.leaving == l {
			p.reached(abandoned)
			for _, c := range p.claims {
				c.owner.abandon()
			}
		}
	})
	p.after(drain+lastFlush, func() {
		if p.leaving == l {
			p.parted()
		}
	})
	p.drained()
}

// drained looks whether all claims are released.
func (p *process) drained() {
	if p.leaving == nil {
		return
	}
	for _, c := range p.claims {
		select {
		case <-c.owner.released:
		default:
			return
		}
	}
	p.parted()
}

// parted makes the last commit of a generation, and goes on.
func (p *process) parted() {
	then := p.leaving.then
	p.commit()
	p.leaving, p.claims = nil, nil
	then()
}

// takeOver begins a generation: the partitions are read from where the group is.
func (p *process) takeOver(generation int, partitions []int) {
	if p.leaving != nil || p.stopping || generation != p.group.generation || slices.Contains(p.group.joined, p) {
		return // the next has begun already
	}
	p.generation = generation
	for _, partition := range partitions {
		h := p.shard(partition)
		from, err := p.topic.resumed(partition)
		p.reachedIf(metadataRefused, err != nil)
		p.reachedIf(metadataRestored, err == nil && from.Beyond() > 0)
		o := &owner{shard: h.shard, released: make(chan struct{}), end: func() {}}
		o.progress.Store(&from)
		c := &claim{partition: partition, owner: o, next: from.Watermark, told: &from}
		h.call(func(time.Time) {
			h.assign(o, queue.Assignment{
				Topic: p.topic.ids[partition], Partition: int32(partition), Generation: int32(generation), From: from,
			})
			h.from = &from
			c.taking = p.leaving == nil // records come to an owner only when its tenure has begun
			if p.replicated() {
				p.adopt(h, o)
			}
		})
		p.claims = append(p.claims, c)
		p.note("%v takes over partition %d from %d", p, partition, from.Watermark)
	}
}

// fetch reads on where there is something to read.
func (p *process) fetch() {
	for _, c := range p.claims {
		if !c.taking || c.fetching || p.topic.end(c.partition) <= c.next || c.owner.shard.backlog.Load() >= maxBacklog {
			continue
		}
		c.fetching = true
		p.after(p.within(30*time.Millisecond), func() { p.fetched(c) })
	}
}

func (p *process) fetched(c *claim) {
	c.fetching = false
	if !c.taking {
		return
	}
	records := p.topic.behind(c.partition, c.next)
	if most := one(p.rng, 1, 5, 1000); len(records) > most {
		records = records[:most]
	}
	if len(records) == 0 {
		return
	}
	c.next = records[len(records)-1].Offset + 1
	if err := c.owner.Take(context.Background(), slices.Clone(records)); err != nil {
		panic(err)
	}
	p.fetch()
}

// commitSoon is the committer's ticker.
func (p *process) commitSoon() {
	if p.commitDue {
		return
	}
	for _, c := range p.claims {
		if c.owner.Progress() != c.told {
			p.commitDue = true
			p.after(p.within(commitEvery), func() {
				p.commitDue = false
				p.commit()
			})
			return
		}
	}
}

// commit tells the group how far the claims are done.
func (p *process) commit() {
	for _, c := range p.claims {
		done := c.owner.Progress()
		if done == c.told || p.at < p.cutUntil && p.mute {
			continue
		}
		if p.group.commit(p, p.generation, c.partition, done) {
			c.told = done
		}
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
