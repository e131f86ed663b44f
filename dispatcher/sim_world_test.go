package dispatcher

import (
	"fmt"
	"math/rand/v2"
	"time"

	"pushd/queue"
)

// simulation is one history: machines with their processes, Kafka, providers, and the referee who watches. Nothing in it
// moves but by the agenda, in one goroutine.
type simulation struct {
	agenda
	plan      *plan
	cfg       Config
	storm     float64 // plan.storm, until all faults end
	step      int     // counts what happens; of two things the one with the lower step was first
	machines  []*machine
	topic     *topic
	parked    *parkedLog
	group     *group
	providers map[string]*cloud
	devices   map[string]*device
	inOrder   []*device
	tenants   []string
	gone      []bool // tenants whose files are taken away
	versions  []int  // of tenants' credentials

	topicDownUntil time.Duration
	ahead          time.Duration // how far the fastest clock of a machine ever was
	referee        *referee
	sometimes      [rares]bool
	pushes         tallied // those that were accepted
	fault          string
	trace          []string // what happened, if somebody wants to know
	tracing        bool
}

// replicated says whether parked wakes are records of their topic, and not of ledgers.
func (s *simulation) replicated() bool { return s.cfg.Retry.Durability == Replicated }

func newSimulation(p *plan) *simulation {
	s := &simulation{plan: p, cfg: p.cfg, storm: p.storm, devices: make(map[string]*device), providers: make(map[string]*cloud)}
	dice := func(what, which int) *rand.Rand { return rand.New(rand.NewPCG(p.seed, uint64(what)<<32|uint64(which))) }
	s.topic = &topic{logs: make([][]queue.Record, p.partitions), committed: make([]commit, p.partitions), ids: make([]queue.TopicID, p.partitions)}
	for i := range s.topic.ids {
		s.topic.ids[i] = queue.TopicID{1, byte(i)}
	}
	s.parked = newParkedLog(p.partitions)
	s.referee = &referee{simulation: s, events: make([][]*simEvent, p.partitions)}
	s.group = &group{simulation: s, rng: dice(1, 0), stable: true}
	for i := range p.tenants {
		s.tenants = append(s.tenants, fmt.Sprint("t", i))
	}
	s.gone, s.versions = make([]bool, p.tenants), make([]int, p.tenants)
	for _, name := range providerNames {
		s.providers[name] = &cloud{
			simulation: s, name: name, tenants: make([]tenantTrouble, p.tenants), deadTokens: make(map[string]time.Time),
		}
	}
	for i := range p.devices {
		d := &device{
			simulation: s, index: i, name: fmt.Sprint("d", i), tenant: i % p.tenants, provider: providerNames[i/p.tenants%2], partition: i % p.partitions,
			rng: dice(2, i),
		}
		d.newToken(epoch.Add(-time.Minute))
		s.devices[d.name] = d
		s.inOrder = append(s.inOrder, d)
	}
	for i := range p.machines {
		m := &machine{simulation: s, index: i, rng: dice(3, i)}
		m.disk = newDisk(m.rng.Uint64())
		s.machines = append(s.machines, m)
		s.later(m.within(time.Second), m.start)
	}
	for _, item := range p.items {
		s.later(item.at, func() {
			s.step++
			s.happen(item)
		})
	}
	return s
}

// note remembers what happened.
func (s *simulation) note(format string, args ...any) {
	if s.tracing {
		s.trace = append(s.trace, fmt.Sprintf("%12s %6d  %s", s.at.Round(time.Millisecond), s.step, fmt.Sprintf(format, args...)))
	}
}

// fail says that a promise is broken. The first counts.
func (s *simulation) fail(format string, args ...any) {
	if s.fault == "" {
		s.fault = fmt.Sprintf(format, args...)
		s.note("VIOLATION %s", s.fault)
	}
}

// mostSteps is far more than a history takes that comes to rest.
const mostSteps = 500_000

// restBy is how long a simulation may take to come to rest when all faults have ended. Waits that the providers asked for
// go on, and a backoff can be more than an hour.
const restBy = 12 * time.Hour

// run lets all of it happen, ends the faults, and lets it come to rest. What panics breaks a promise too.
func (s *simulation) run() {
	defer func() {
		if fault := recover(); fault != nil {
			s.fail("panic: %v", fault)
		}
	}()
	for s.fault == "" && s.step <= mostSteps && s.next(s.plan.horizon) {
	}
	s.heal()
	for s.fault == "" && !s.atRest() {
		if s.at > restBy || s.step > mostSteps {
			s.fail("it does not come to rest: %s", s.restless())
			return
		}
		s.operate()
		for until := s.at + 20*time.Second; s.fault == "" && s.step <= mostSteps && s.next(until); {
		}
	}
	if s.fault == "" {
		s.referee.final()
	}
}

// heal ends all faults that last.
func (s *simulation) heal() {
	s.step++
	s.note("all faults end")
	s.topicDownUntil = 0
	s.storm = 0
	for _, m := range s.machines {
		m.brokenUntil = 0
		if p := m.process; p != nil {
			p.cutUntil = min(p.cutUntil, s.at)
		}
	}
	for _, v := range s.providers {
		v.downUntil, v.loseUntil = 0, 0
		clear(v.tenants)
	}
	for t, gone := range s.gone {
		if gone { // the others go on by themselves
			s.gone[t] = false
			s.renew(t)
		}
	}
}

// operate is what an operator does who looks from time to time: guards are released, partitions that stopped go on. Where the
// topic of parked wakes has records that nobody knows of, the partitions are shared out anew.
func (s *simulation) operate() {
	s.step++
	if s.busy() == "" {
		s.group.prepare()
	}
	all := func(*lane) bool { return true }
	for _, m := range s.machines {
		p := m.process
		if p == nil || !p.alive {
			continue
		}
		p.do(func() {
			for _, l := range p.engine.allLanes() {
				l.guard.trust(p.now())
			}
			p.engine.eachCore(func(c *core, now time.Time) {
				c.absolve(now, false, all)
				if c.run.proceed() {
					c.read(now)
				}
			})
		})
	}
}

// atRest says whether nothing is left to do: all is read, committed and settled, and no wake is stored anywhere.
func (s *simulation) atRest() bool { return s.restless() == "" }

func (s *simulation) restless() string {
	busy := s.busy()
	if n := s.parked.left(); busy == "" && n > 0 {
		return fmt.Sprintf("the topic of parked wakes has %d records", n)
	}
	return busy
}

// busy says what somebody still has to do.
func (s *simulation) busy() string {
	for p := range s.topic.logs {
		if end := s.topic.end(p); s.topic.committed[p].offset < end {
			return fmt.Sprintf("partition %d is committed up to %d of %d", p, s.topic.committed[p].offset, end)
		}
	}
	for _, m := range s.machines {
		p := m.process
		if p == nil || !p.alive {
			return fmt.Sprintf("machine %d has no process", m.index)
		}
		if len(p.flights) > 0 {
			return fmt.Sprintf("%v has %d pushes under way", p, len(p.flights))
		}
		if len(p.outbox) > 0 {
			return fmt.Sprintf("%v has something to write to the topic of parked wakes", p)
		}
		if left := p.leftOver(); left != "" {
			return fmt.Sprintf("%v %s", p, left)
		}
		for partition, part := range m.disk.synced {
			if len(part.waiting) > 0 {
				return fmt.Sprintf("the ledger of machine %d holds %d wakes of partition %d", m.index, len(part.waiting), partition)
			}
		}
	}
	return ""
}

// leftOver is what an engine at rest should not have: wakes, places in queues, pushes under way, used budgets.
func (p *process) leftOver() string {
	for _, h := range p.shards {
		if h == nil {
			continue
		}
		for _, w := range h.core.wakes {
			return fmt.Sprintf("has a wake of %s in partition %d: %v", w.name, h.core.partition, w.state)
		}
		budget, owing := h.core.Budget.Load(), h.core.Owing.Load()
		if most := int64(p.cfg.Merge.MaxWaiting); budget != most || owing != most {
			return fmt.Sprintf("has no wakes, and of %d places in the ledger %d and %d are free", most, budget, owing)
		}
	}
	for _, g := range p.gates {
		if n, places := g.inFlight.Load(), g.waiting.Load(); n != 0 || places != 0 {
			return fmt.Sprintf("has nothing under way to %s, and counts %d pushes and %d places", g.provider, n, places)
		}
	}
	return ""
}
