package dispatcher

import (
	"slices"

	"pushd/queue"
	"pushd/store"
)

// rare are states that are hardly ever reached, and in which what is wrong hides. Over all seeds each must be reached, or the
// simulation proves nothing about it.
type rare uint8

const (
	zombieLeft rare = iota
	metadataRestored
	metadataRefused
	commitRefused
	abandoned
	strayAnswered
	parkedWhileReleased
	restoredWhileResting
	restoredWhileHeld
	restoredWhileOwing
	restoredWhileSuspect
	waitedWithoutTenure
	windowFull
	laneCrowded
	budgetUsedUp
	ledgerBroken
	batchLost
	wakeLostWithDisk
	clockJumpedWhileParked
	breakerIsOpen
	breakerIsRamping
	guardTripped
	partitionStopped
	outletRetiredInFlight
	wakeMoot
	wakeDirty
	dirtyWhileReporting
	duplicateDropped
	pushCovered
	rewoken
	staleAnswered
	acceptedUnheard
	bothSend
	recordAdopted
	recordJoined
	recordOrphaned
	parkedUnadopted
	zombieWrites
	diskLostAndKept
	rares // their number
)

var rareNames = [rares]string{
	metadataRestored:       "what is done beyond a committed offset is restored",
	metadataRefused:        "the metadata of a commit is refused",
	zombieLeft:             "a member is left behind by the group, and lives",
	commitRefused:          "a commit of an earlier generation is refused",
	abandoned:              "a release takes too long, and what is under way is given up",
	strayAnswered:          "an answer comes for a wake that was given up",
	parkedWhileReleased:    "a partition is released while wakes of it are parked",
	restoredWhileResting:   "a trailing wake is restored",
	restoredWhileHeld:      "a held wake is restored",
	restoredWhileOwing:     "a wake that owes a check-in is restored",
	restoredWhileSuspect:   "a suspect is restored",
	waitedWithoutTenure:    "a wake of the ledger is sent by who does not own its partition",
	windowFull:             "a window is full",
	laneCrowded:            "a lane crowds a window",
	budgetUsedUp:           "no more wakes may be parked",
	ledgerBroken:           "the ledger cannot be written",
	batchLost:              "a batch is lost with the power",
	wakeLostWithDisk:       "a wake is lost with its disk",
	clockJumpedWhileParked: "the clock jumps while wakes are parked",
	breakerIsOpen:          "a provider is down",
	breakerIsRamping:       "a provider answers again",
	guardTripped:           "a guard trips",
	partitionStopped:       "a partition is stopped",
	outletRetiredInFlight:  "a credential is replaced while pushes are under way",
	wakeMoot:               "a wake is settled while its push is under way",
	wakeDirty:              "an event comes while a push is under way",
	dirtyWhileReporting:    "an event comes while its wake is reported",
	duplicateDropped:       "a duplicate is dropped",
	pushCovered:            "an event is covered by a stored push",
	rewoken:                "a device that did not check in is woken again",
	staleAnswered:          "a dead token is found to be stale",
	acceptedUnheard:        "a push is accepted, and nobody hears of it",
	bothSend:               "two machines send to a device at the same time",
	recordAdopted:          "a record of a parked wake is adopted",
	recordJoined:           "it joins a wake that events have made meanwhile",
	recordOrphaned:         "it is adopted, and nothing is owed for it",
	parkedUnadopted:        "a wake is parked before the topic is read",
	zombieWrites:           "a member of an earlier generation writes to the topic of parked wakes",
	diskLostAndKept:        "a disk is lost, and the topic has what is parked",
}

// look sees which rare states a shard is in, after a step.
func (r *referee) look(p *process, h *shardHand) {
	c := h.core
	s := r.simulation
	s.reachedIf(strayAnswered, c.books.strays > 0)
	s.reachedIf(duplicateDropped, c.books.duplicates > 0)
	s.reachedIf(pushCovered, c.books.settled[store.Covered] > 0)
	s.reachedIf(staleAnswered, c.books.settled[store.Stale] > 0)
	s.reachedIf(windowFull, c.window != nil && c.backlog.len() > 0 && !c.run.stopped && c.window.Used() > queue.WindowSize/2)
	s.reachedIf(laneCrowded, len(c.crowds) > 0)
	s.reachedIf(budgetUsedUp, c.Budget.Load() <= 0)
	s.reachedIf(partitionStopped, c.run.stopped)
	for _, w := range c.wakes {
		s.reachedIf(parkedWhileReleased, c.draining && w.durable)
		s.reachedIf(parkedUnadopted, w.durable && s.replicated() && c.window != nil && !c.adopted)
		s.reachedIf(wakeMoot, w.moot)
		s.reachedIf(wakeDirty, w.dirty != nil && w.state == queued)
		s.reachedIf(dirtyWhileReporting, w.dirty != nil && w.state == reporting)
		s.reachedIf(rewoken, w.rewake > 0)
		s.reachedIf(waitedWithoutTenure, c.window == nil && w.begun())
		s.reachedIf(clockJumpedWhileParked, w.durable && p.jumped)
		s.reachedIf(guardTripped, w.state == suspect && w.content.lane.guard.rule(p.now()) == heldBack)
	}
	for _, g := range p.gates {
		s.reachedIf(breakerIsOpen, g.breaker.is(open))
		s.reachedIf(breakerIsRamping, g.breaker.is(ramping))
	}
}

// restored sees in which state a wake comes back from a ledger.
func (r *referee) restored(p *process, w *wake) {
	r.reachedIf(restoredWhileResting, w.state == resting)
	r.reachedIf(restoredWhileHeld, w.state == held)
	r.reachedIf(restoredWhileOwing, w.state == owing)
	r.reachedIf(restoredWhileSuspect, w.content.suspect)
	p.owes(p.devices[w.name], stored)
	p.knows(p.disk.synced[w.shard.core.partition].waiting[w.device].stands...)
}

// adopted sees which records of the topic of parked wakes a process takes.
func (r *referee) adopted(p *process, h *shardHand, records []queue.Record, stand [][]*simEvent) {
	for i := range records {
		r.reached(recordAdopted)
		w, err := openRecord(records[i].Value)
		if err != nil {
			r.fail("a record of a parked wake cannot be read: %v", err)
			continue
		}
		_, joined := h.core.device(w.Tenant, w.Device)
		r.reachedIf(recordJoined, joined != nil)
		r.reachedIf(recordOrphaned, !slices.ContainsFunc(stand[i], func(e *simEvent) bool { return !e.settled() }))
		r.note("%v adopts the wake of %s", p, w.Device)
		p.owes(p.devices[w.Device], stored)
		p.knows(stand[i]...)
	}
}

func (s *simulation) reached(what rare) { s.sometimes[what] = true }

func (s *simulation) reachedIf(what rare, is bool) {
	if is {
		s.sometimes[what] = true
	}
}
