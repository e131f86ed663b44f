package dispatcher

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What an operator sees of the engine's troubles, and can do about them.

// GuardState is how the guard of a credential stands.
type GuardState struct {
	Road
	Since    time.Time // when it tripped
	Accepted int       // of the newest answers
	Dead     int
}

// Guards are the guards that are tripped.
func (e *Engine) Guards() []GuardState {
	var all []GuardState
	for _, l := range e.allLanes() {
		if tripped, since, accepted, dead := l.guard.counts(); tripped {
			all = append(all, GuardState{Road{l.tenant, l.provider}, since, accepted, dead})
		}
	}
	return all
}

// ReleaseGuard believes what the provider says of a tenant's tokens where its guard is tripped, for an hour. What was held
// back is sent again or, where report says so, reported as it was answered. An empty provider means both. It returns the
// roads whose guard was tripped, and whether there is any road of the tenant's; a guard that is not tripped stays as it is.
func (e *Engine) ReleaseGuard(tenant, provider string, report bool) (released []Road, known bool) {
	of := make(map[*lane]bool)
	for _, l := range e.allLanes() {
		if l.tenant != tenant || provider != "" && l.provider != provider {
			continue
		}
		known = true
		if l.guard.trust(time.Now()) {
			released = append(released, Road{l.tenant, l.provider})
			of[l] = true
		}
	}
	if len(of) > 0 {
		e.eachCore(func(c *core, now time.Time) { c.absolve(now, report, func(l *lane) bool { return of[l] }) })
	}
	return released, known
}

// guardTripped says so.
func (e *Engine) guardTripped(l *lane) {
	_, _, accepted, dead := l.guard.counts()
	e.metrics.trips[l.provider].Add(1)
	e.deps.Logger.Error("nearly all tokens of a credential are said to be dead: none of it is reported until that is cleared up, nothing is lost",
		"tenant", l.tenant, "provider", l.provider, "dead", dead, "accepted", accepted,
		"mend", "check that the provider's host fits the certificate (sandbox or production) and the topic or project fits the devices; replace the credential, or if the devices really are gone: pushd guard release "+l.tenant)
}

// guardCalmed sends again what the guard held back.
func (e *Engine) guardCalmed(l *lane) {
	e.deps.Logger.Info("tokens of a credential are believed to be dead again; what was held back is sent again", "tenant", l.tenant, "provider", l.provider)
	e.eachCore(func(c *core, now time.Time) { c.absolve(now, false, func(other *lane) bool { return other == l }) })
}

// told says that a partition stopped, or goes on.
func (e *Engine) told(partition int32, stopped bool) {
	if !stopped {
		e.deps.Logger.Info("a stopped partition is read on", "partition", partition)
		return
	}
	e.deps.Logger.Error("nearly all records of a partition are bad: it is stopped, so that they do not all become dead letters",
		"partition", partition, "mend", "see pushd dead list for the reasons; mend the publisher or the tenants' files, then: pushd partitions proceed")
}

// Stopped are the partitions on which nearly all records are bad.
func (e *Engine) Stopped() []int32 {
	var all []int32
	e.eachShard(func(s *shard) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.stopped {
			all = append(all, s.core.partition)
		}
	})
	slices.Sort(all)
	return all
}

// StoppedPartition is a partition that is not read on.
type StoppedPartition struct {
	Partition int32
	Bad, Of   int       // of the newest records that were read
	Waiting   time.Time // when the first record that is not read was published; zero where none is waiting
}

// StoppedPartitions says of each partition that is stopped how bad it is, and what waits.
func (e *Engine) StoppedPartitions() []StoppedPartition {
	all := ask(e, func(c *core, _ time.Time) (p StoppedPartition, ok bool) {
		p = StoppedPartition{Partition: c.partition, Bad: c.run.records.count(), Of: c.run.records.length()}
		if c.backlog.len() > 0 {
			p.Waiting = c.backlog.first().Time
		}
		return p, c.run.stopped
	})
	slices.SortFunc(all, func(a, b StoppedPartition) int { return cmp.Compare(a.Partition, b.Partition) })
	return all
}

// Proceed lets stopped partitions go on, all where none is named: what is bad on them becomes dead letters. It returns
// those that were stopped, and all that are assigned to this process.
func (e *Engine) Proceed(partitions ...int32) (proceeded, assigned []int32) {
	type answer struct {
		partition int32
		was       bool
	}
	answers := ask(e, func(c *core, now time.Time) (answer, bool) {
		chosen := len(partitions) == 0 || slices.Contains(partitions, c.partition)
		was := chosen && c.run.proceed()
		if was {
			c.read(now)
		}
		return answer{c.partition, was}, c.window != nil
	})
	for _, a := range answers {
		assigned = append(assigned, a.partition)
		if a.was {
			proceeded = append(proceeded, a.partition)
		}
	}
	slices.Sort(assigned)
	slices.Sort(proceeded)
	return proceeded, assigned
}

// ask lets the goroutine of each shard answer between two steps, and waits for those that have an answer. Where the engine
// ends meanwhile there are fewer.
func ask[T any](e *Engine, f func(*core, time.Time) (T, bool)) (all []T) {
	type answer struct {
		what T
		ok   bool
	}
	var pending []chan answer
	e.eachShard(func(s *shard) {
		reply := make(chan answer, 1)
		pending = append(pending, reply)
		s.call(func(now time.Time) {
			what, ok := f(s.core, now)
			reply <- answer{what, ok}
		})
	})
	for _, reply := range pending {
		select {
		case a := <-reply:
			if a.ok {
				all = append(all, a.what)
			}
		case <-e.workCtx.Done():
			return all
		}
	}
	return all
}

// allLanes are the lanes there are, in order.
func (e *Engine) allLanes() []*lane {
	e.mu.Lock()
	lanes := make([]*lane, 0, len(e.lanes))
	for _, l := range e.lanes {
		lanes = append(lanes, l)
	}
	e.mu.Unlock()
	slices.SortFunc(lanes, func(a, b *lane) int {
		return cmp.Or(strings.Compare(a.tenant, b.tenant), strings.Compare(a.provider, b.provider))
	})
	return lanes
}

// TokenHash is what the feedback of this engine calls a token.
func (e *Engine) TokenHash(token string) string { return e.deps.Ledger.TokenHash(token) }

// Ready says whether the engine can do its work, and if not, why.
func (e *Engine) Ready() (bool, string) {
	if e.broken.Load() {
		return false, "the ledger cannot be written; see the disk of store.dir"
	}
	if stopped := e.Stopped(); len(stopped) > 0 {
		return false, fmt.Sprintf("partitions %v are stopped: nearly all of their records are bad; look at the dead letters, then: pushd partitions proceed", stopped)
	}
	return true, ""
}

// Notes says what an operator should know of the providers and the credentials, though the engine does its work; empty is
// nothing.
func (e *Engine) Notes() string {
	var notes []string
	for _, g := range e.gates {
		switch {
		case g.breaker.is(open):
			notes = append(notes, g.provider+" is down: its wakes wait, and one push at a time tries it")
		case g.breaker.is(ramping):
			notes = append(notes, g.provider+" answers again: the rate goes up")
		}
	}
	slices.Sort(notes)
	refused, tripped := []string{}, []string{}
	for _, l := range e.allLanes() {
		if l.refused() && !l.gone.Load() {
			refused = append(refused, l.tenant+"/"+l.provider)
		}
		if is, _, _, _ := l.guard.counts(); is {
			tripped = append(tripped, l.tenant+"/"+l.provider)
		}
	}
	if len(refused) > 0 {
		notes = append(notes, "credentials refused, wakes held until they are replaced: "+firstOf(refused))
	}
	if len(tripped) > 0 {
		notes = append(notes, "dead tokens held back, see pushd guard: "+firstOf(tripped))
	}
	return strings.Join(notes, "; ")
}

// firstOf names some, and how many more there are.
func firstOf(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
