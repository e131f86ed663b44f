package dispatcher

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
)

// referee knows everything that happens, which no part of pushd does, and says when a promise is broken. Its clock is the
// simulation's step.
type referee struct {
	*simulation
	events [][]*simEvent // by partition, beside topic.logs
	lost   int           // wakes lost with a disk, as documented
}

// simEvent is a record of the topic, as its publisher meant it.
type simEvent struct {
	*device
	kind      itemKind
	offset    int64
	at        time.Time // the event's own time
	expires   time.Time
	token     string
	id        string    // empty: it has none, and its copy counts as another event
	published time.Time // of the record
	original  *simEvent // of which this is a copy, with the same id
	copied    bool      // it has copies

	read    int    // the step at which pushd first read it; 0: not yet
	excused string // why no push is owed for it; empty: one is
	done    bool   // committed as done
	lost    bool   // with a disk, where that is documented
}

func (e *simEvent) String() string {
	s := fmt.Sprintf("%s of %s at %d/%d", itemNames[e.kind], e.name, e.partition, e.offset)
	if !e.expires.IsZero() {
		s += fmt.Sprintf(" (expires at %v)", e.expires.Sub(epoch))
	}
	if e.original != nil {
		s += fmt.Sprintf(" (a copy of %d)", e.original.offset)
	}
	return s
}

// record is what the referee knows of a device.
type record struct {
	acceptedBegun int // the step at which the latest of its accepted pushes was begun
	refusedBegun  int // the same of a push that was rejected, or whose token was dead
	calledDead    map[string]bool
}

// satisfied says whether a push that was begun after the event was read was accepted.
func (e *simEvent) satisfied() bool { return e.read > 0 && e.acceptedBegun > e.read }

// settled says whether nothing is owed for the event any more.
func (e *simEvent) settled() bool {
	switch {
	case e.kind != wakeUp || e.satisfied() || e.excused != "":
		return true
	case e.cfg.Merge.Until == UntilCheckin && e.acceptedBegun > 0 && !e.expires.IsZero() && !e.expires.After(e.time().Add(e.ahead)):
		return true // it was covered by a stored push for as long as it was to be pushed
	case e.original != nil:
		return e.original.settled() // else it counts for itself
	}
	return false
}

// family is the event and all that have its id: of them pushd may take the first that it reads for all.
func (e *simEvent) family() []*simEvent {
	if e.original == nil && !e.copied {
		return []*simEvent{e}
	}
	root := cmp.Or(e.original, e)
	var all []*simEvent
	for _, same := range e.device.events {
		if cmp.Or(same.original, same) == root {
			all = append(all, same)
		}
	}
	return all
}

// kept says whether a wake that stands for the event is stored, safe from a loss of power: in the topic of parked wakes, or in
// a ledger; but for one machine's, which may be nil.
func (r *referee) kept(e *simEvent, but *machine) bool {
	for _, record := range r.parked.partitions[e.partition] {
		if slices.Contains(record.stands, e) {
			return true
		}
	}
	for _, m := range r.machines {
		part := m.disk.synced[int32(e.partition)]
		if m == but || part == nil || len(part.waiting) == 0 {
			continue
		}
		if slices.Contains(part.waiting[m.disk.names.Device(r.tenants[e.tenant], e.name)].stands, e) {
			return true
		}
	}
	return false
}

// unstored checks events of wakes that are not stored any more, or otherwise: Kafka gives none again that is committed as done,
// so by now it is settled, or stored elsewhere.
func (r *referee) unstored(events []*simEvent) {
	for _, e := range events {
		if !e.done || slices.ContainsFunc(e.family(), func(same *simEvent) bool {
			return same.settled() || same.lost || !same.done || r.kept(same, nil)
		}) {
			continue
		}
		r.fail("I2: %v was committed as done, nothing has come of it, and no ledger and no record has it any more", e)
	}
}

// stands is for which events a wake stands that the process stores: those of its device that it knows, but for those that
// are newer.
func (p *process) stands(data []byte) (events []*simEvent) {
	w, err := decodeParked(data)
	if err != nil {
		p.referee.fail("%v stores a wake that cannot be read: %v", p, err)
		return nil
	}
	for _, e := range p.known[p.devices[w.Device]] {
		if !e.at.After(w.Newest) {
			events = append(events, e)
		}
	}
	return events
}

// knows notes that a process knows events.
func (p *process) knows(events ...*simEvent) {
	for _, e := range events {
		if !slices.Contains(p.known[e.device], e) {
			p.known[e.device] = append(p.known[e.device], e)
		}
	}
}

// committed checks a commit: all that it declares done is done (I1, I2), and in the ledger of who says so.
func (r *referee) committed(p *process, partition int, from, to *queue.Progress) {
	if to.Watermark < from.Watermark {
		r.fail("I1: partition %d is committed back from %d to %d", partition, from.Watermark, to.Watermark)
	}
	if end := r.topic.end(partition); to.Watermark > end {
		r.fail("I1: partition %d is committed up to %d, and ends at %d", partition, to.Watermark, end)
	}
	for _, e := range r.behind(partition, from.Watermark) {
		if !to.Done(e.offset) || e.done {
			continue
		}
		e.done = true
		if !slices.ContainsFunc(e.family(), func(same *simEvent) bool {
			return same.settled() || same.lost || !to.Done(same.offset) || r.kept(same, nil)
		}) {
			r.fail("I2: %v is committed as done, and it is neither pushed, nor reported, nor in a ledger", e)
		}
		if !r.remembers(p.disk, e) && !slices.ContainsFunc(e.family(), func(same *simEvent) bool { return same.read > 0 && !to.Done(same.offset) }) {
			r.fail("I2: %v is committed as done, and the ledger of %v does not know it", e, p)
		}
	}
}

// behind is the events of a partition from an offset on.
func (r *referee) behind(partition int, offset int64) []*simEvent {
	all := r.events[partition]
	return all[len(all)-len(r.topic.behind(partition, offset)):]
}

// begun checks a push that is begun.
func (r *referee) begun(f *flight, w *wake) {
	r.justify(f, w)
	for other := range f.process.flights {
		o := other.push.Ref.(*wake)
		if other != f && o.device == w.device && o.shard == w.shard && !o.removed {
			r.fail("I5: %v begins a push to %v, and one is under way", f.process, f.device)
		}
	}
	for _, m := range r.machines {
		if m != f.process.machine && m.process != nil && m.process.alive {
			for other := range m.process.flights {
				r.reachedIf(bothSend, other.device == f.device)
			}
		}
	}
	r.note("%v begins a push to %v (token %s)", f.process, f.device, f.push.Token)
}

// accepted notes what a provider took.
func (r *referee) accepted(f *flight) {
	r.count(f)
	f.device.acceptedBegun = max(f.device.acceptedBegun, f.begun)
	r.note("the provider accepts the push to %v of %v", f.device, f.process)
}

// answerLost notes that a process will never hear that a push was accepted.
func (r *referee) answerLost(f *flight) {
	r.reached(acceptedUnheard)
}

// answered notes what a process heard.
func (r *referee) answered(f *flight, result *providers.Result) {
	if f.accepted && result.Outcome != providers.Accepted {
		f.process.owes(f.device, unheard)
	}
	switch result.Outcome {
	case providers.TokenDead:
		if f.device.calledDead == nil {
			f.device.calledDead = make(map[string]bool)
		}
		f.device.calledDead[f.push.Token] = true
		f.device.refusedBegun = max(f.device.refusedBegun, f.begun)
	case providers.Rejected:
		f.device.refusedBegun = max(f.device.refusedBegun, f.begun)
	}
}

// stepped checks a shard after a step, and notes which events it has read in it: so many, from an offset on.
func (r *referee) stepped(p *process, h *shardHand, from, n int64) {
	if fault := audit(h.core); fault != "" {
		r.fail("%v partition %d: %s", p, h.core.partition, fault)
	}
	if n > 0 {
		for _, e := range r.behind(int(h.core.partition), from)[:n] {
			r.note("%v reads %v", p, e)
			r.asked(p, h, e)
			if e.read == 0 {
				e.read = r.step
			}
			if !h.from.Done(e.offset) {
				p.knows(e)
			}
		}
	}
	r.look(p, h)
}

// published takes messages that their topic has: from then on the publisher knows.
func (r *referee) published(p *process, messages []queue.Message) {
	for _, m := range messages {
		if m.Topic == "pushd.dead" {
			r.deadLetter(m)
			continue
		}
		f, err := event.DecodeFeedback(m.Value)
		if err != nil {
			r.fail("report: it cannot be read: %v", err)
			continue
		}
		r.feedback(p, &f)
	}
}

func (r *referee) deadLetter(m queue.Message) {
	letter, ok := event.ParseDeadLetter(m.Headers)
	if !ok {
		r.fail("report: a dead letter has no headers")
		return
	}
	for _, e := range r.behind(int(letter.Partition), letter.Offset)[:1] {
		e.excused = "dead letter"
		r.note("%v is a dead letter: %s", e, letter.Reason)
	}
}

func (r *referee) feedback(p *process, f *event.Feedback) {
	d := r.devices[f.Device]
	r.note("%v reports %v: %v %s", p, d, f.Outcome, f.Reason)
	hash := p.disk.names.TokenHash
	var newest *simEvent // of the events with that token
	for _, e := range d.events {
		if e.read > 0 && hash(e.token) == f.TokenHash && (newest == nil || e.at.After(newest.at)) {
			newest = e
		}
	}
	for _, e := range d.events {
		if e.read == 0 {
			continue
		}
		switch f.Outcome {
		case event.TokenDead:
			if newest != nil && !e.at.After(newest.at) {
				e.excuse("token dead")
			}
		case event.Expired:
			if !e.expires.IsZero() || f.Reason[:min(8, len(f.Reason))] == "given up" {
				e.excuse("expired")
			}
		case event.Rejected, event.Stale:
			if e.read < d.refusedBegun {
				e.excuse("rejected")
			}
		}
	}
	if f.Outcome == event.TokenDead && newest != nil && !d.calledDead[newest.token] {
		r.fail("report: %v says that the token of %v is dead, and its provider never said so", p, d)
	}
}

func (e *simEvent) excuse(why string) {
	if e.excused == "" {
		e.excused = why
	}
}

// diskLost marks the wakes that only a lost disk had. Kafka gives none of them again; where retry.durability is local, that is
// documented. Where it is replicated no disk has any.
func (r *referee) diskLost(m *machine) {
	if r.replicated() {
		r.reachedIf(diskLostAndKept, r.parked.left() > 0)
		return
	}
	for partition, events := range r.events {
		done, _ := r.topic.resumed(partition)
		for _, e := range events {
			if done.Done(e.offset) && !e.settled() && !slices.ContainsFunc(e.family(), func(same *simEvent) bool { return r.kept(same, m) }) {
				e.lost = true
				r.reached(wakeLostWithDisk)
				r.note("%v is lost with the disk", e)
			}
		}
	}
}

// final checks W, when all has come to rest.
func (r *referee) final() {
	for _, events := range r.events {
		for _, e := range events {
			switch {
			case e.settled() || e.original != nil && e.original.lost:
			case e.lost:
				r.lost++
			default:
				r.fail("W: %v, read at step %d, has no accepted push begun after that, and nothing excuses it", e, e.read)
			}
		}
	}
}
