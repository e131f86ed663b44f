// Package dispatcher is the engine: it merges events into wakes, sends them through lanes, and settles them.
//
// # The promise
//
// W: for every wake event that pushd read, unless the device was forgotten, its token died, the event expired or it went
// to the dead-letter topic, some push for that device was accepted by the provider, and that push was begun after the
// event was read (or, with merge.until=checkin, the device checked in after the event). At least once, level-triggered.
// Duplicates are allowed and bounded; losses are not.
//
// It does no I/O of its own on the way: Kafka is behind queue.Owner and Publisher, the ledger behind store.Ledger,
// providers behind providers.Sender.
//
// # Words
//
// Beside those of the whole project (event, wake, shard, lane, push, result, ledger, window, feedback):
//
//	gate     what gives the lanes of one provider their turns under the limits they share
//	line     the lanes of a gate that want a turn; by rounds, so that each gets its share
//	outlet   what a lane's pushes go through: the sender of its credential; a new credential is a new outlet
//	breaker  what a gate knows of its provider's health: closed, open (it is down), ramping (it answers again)
//	guard    what a lane makes of dead tokens: while nearly all are said to be dead it holds them back
//	suspect  a wake whose token is said to be dead, and its guard does not believe it yet
//	crowd    to fill a window so that the other lanes of the partition are not read any more
//	bell     what wakes the goroutine of a shard or of a gate: at once, or soon, with what comes meanwhile
//	bad run  nearly all records of a partition are bad: it is stopped
//	road     a tenant and a provider: by it a lane is found again when its credential is replaced
//	tenure   one ownership of a partition, from its assignment to its release
//	owner    the queue's side of a tenure
//	notice   a message that has to be acknowledged before something goes on
//	books    a shard's account of its events, by which I7 is checked
//	moot     of a begun wake: its events are settled already, only the answer is awaited
//
// # Flow
//
//	queue.Consumer ── owner.Take ──▶ shard (one for a partition) ── offers ──▶ gate (one for a provider)
//	                                   core: read, merge, settle                  lanes: priority, rate, in flight
//	                                   ▲        │        │                              │ providers.Sender.Send
//	                                   │        │        └── notices ──▶ Publisher      ▼
//	                                   │        └── flush ──▶ flusher ──▶ ledger     lane.done
//	                                   └───────────────── results ──────────────────────┘
//
// # The life of a wake
//
//	           event                 lane takes it             accepted
//	 (none) ─────────▶ queued ──────────────────▶ begun ────────────────▶ at rest ──interval over, clean──▶ (none)
//	                    ▲  │ event: merge           │ event: makes it       │ event: a wake in state resting
//	                    │  └─ newest token and      │ dirty                 │ interval over
//	                    │     push magic win,       │                       ▼
//	                    │     highest priority,     │ retryable           queued
//	                    │     latest expiry         ▼
//	                    └───────── due ───────── waiting (merge as in queued)
//
//	begun ── credential refused ──▶ held ── probe due, credential replaced ──▶ queued
//	begun ── dead ──▶ suspect ── believed ──▶ reporting;  ── guard calmed or released ──▶ queued;  ── newer token ──▶ queued
//	begun, queued, waiting ── rejected, expired ──▶ reporting ── feedback acknowledged ──▶ settled; dirty: queued
//	accepted, merge.until=checkin ──▶ owing ── check-in ──▶ (none);  ── rewake due ──▶ queued;  ── event: covered
//
// Queued and begun are one state for the shard: which of the two it is, only the swap of wake.offer decides. A device at
// rest is no wake at all, only an entry of store.Index: that is what makes ten million of them cheap. A wait of more
// than parkAfter is parked: the ledger has the wake, and its events' offsets are done. So is a suspect, a wake that crowds a
// window, while it keeps its place in its lane, and one of few that wait in a window that is full.
//
// The drawings of the smaller machines stand where their types are: breaker, guard, outlet, badRun.
//
// # Invariants
//
//	I1  An offset is committed only when it and all before it are done (queue.Window, owner.Progress).
//	I2  Done means one of: its wake accepted; merged into a wake that is itself done; feedback acknowledged; dead letter
//	    acknowledged; parked durably; covered by a stored push. Always: feedback, then ledger, then offset, then commit.
//	I3  An event is settled exactly once. Its outcome and its offset go into the same flush: from settle.go at its end, from
//	    park.go when the ledger takes it over, from intake.go when it is a duplicate. The window panics at a second time.
//	I4  A result belongs to the tenure that sent it; later it changes nothing but a metric (core.answered).
//	I5  One device has at most one push in flight: there is one wake for a device, and one offer in a wake.
//	I6  queue knows no tokens, providers no offsets, store neither's rules. They meet here.
//	I7  Conservation: books.imbalance is 0 after every step.
//
// # Goroutines
//
//	goroutine   owns                               ends                      waits for it
//	shard.run   one core, its tenure               Engine.Stop               Engine.work
//	gate.run    the lanes of one provider          Engine.Stop               Engine.work
//	flushLoop   the order of writes to the ledger  Engine.Stop               Engine.work
//	adopt       nothing; reads parked wakes        the tenure                Engine.work
//	a closer    the sender of a retired outlet     Sender.Close              Engine.work
//
// Nothing else here has a goroutine, a timer or a context of its own: not a wake, not a tenant. (Senders may; a sender
// built on a library that waits for each answer has one for each push under way.)
//
// # Non-obvious
//
//   - An event that comes while a push is begun, or while its device is at rest, is never dropped because "it was pushed
//     just now": the device may have fetched its commands before this one existed. It makes the wake dirty.
//   - An event id is remembered when the event is read, not when it is settled; so whoever gives an event back unsettled
//     must call Index.Unsee, or the event is taken for a duplicate when it is read again, and lost.
//   - A wake may stand in a lane's queue more than once (its priority was raised, or it went to another lane). The first
//     claim finds the content, the others nothing. So a place in a queue proves nothing; only the claim does.
//   - A push that was begun with a credential says nothing about the one that replaced it: a refusal by the old one is a
//     plain retry (outlet.stale), or the new one would be held for its predecessor's fault.
//   - A dead token is not reported when it is answered but guard.settle later: by the time the guard trips, the first
//     answers would have erased a part of the fleet.
//   - Where a provider is down, its lanes keep their wakes in their places. A backoff for each wake would bring them all
//     back at once, when the provider has just recovered.
//   - Whoever fills a window is parked only where another lane shares the partition. Alone, it waits in Kafka, which has
//     more room than the ledger.
//   - The ledger gets a waiting wake as it is when the flush is made, not as it was when it was parked; else a flush
//     could hold "settled" and the wake itself, and a restart would send it again.
//   - A rest outlives the process (Accepted lines in the journal). So does the wake that an event in the rest makes: it is
//     parked. What makes a begun wake dirty does not: its offsets are not done, and it is read again.
//   - With retry.durability=replicated an event's outcome is journaled only when the record of its wake is acknowledged. The other
//     way round, a restart would find the event's id, take it for settled, and there would be no record.
//   - What a stored push covers depends on the rewake that follows it. So a covered event is done when the wake that owes a check-in
//     is stored with it, not before.
//   - What was read later is not always newer: dead letters are replayed. The address of a wake goes by when its token was
//     registered, then by the event's own time (content.address).
package dispatcher
