package dispatcher

import (
	"fmt"
	"slices"
	"time"

	"pushd/providers"
)

// A process begins a push to a device only with a reason that is newer than the last of its pushes to it that was accepted. So
// what a fault can cost is bounded: by the events that it lets be read again though neither the commit nor the ledger of who
// reads them knows that they are done, by the wakes that were stored, and by the answers that were lost.

// cause is why a push is made.
type cause uint8

const (
	fresh   cause = iota // an event was read for the first time
	reread               // one was read again
	stored               // a wake was found in the ledger, or in the topic of parked wakes
	unheard              // a push was accepted, and its process heard otherwise, or nothing
	rewoke               // the device did not check in
	causes               // their number
)

// tallied is how many pushes were accepted, by what they were for.
type tallied [causes]int

func (t tallied) String() string {
	return fmt.Sprintf("%d pushes needed, %d to wake again who did not check in, extra: %d after lost answers, %d of events read again, %d of stored wakes",
		t[fresh], t[rewoke], t[unheard], t[reread], t[stored])
}

// reason is the newest that a process has for a push to a device.
type reason struct {
	step   int
	why    cause
	pushed int // the step at which the last push was begun that was accepted
}

// owes gives the process a reason for a push to a device.
func (p *process) owes(d *device, why cause) {
	is := p.reasons[d]
	is.step, is.why = p.step, why
	p.reasons[d] = is
}

// asked takes an event that a process reads. It is a reason, unless the commit that the tenure went on from says that it is
// done, or the process's own ledger.
func (r *referee) asked(p *process, h *shardHand, e *simEvent) {
	switch {
	case h.from.Done(e.offset) || r.dedupes(p, e):
	case e.read == 0:
		p.owes(e.device, fresh)
	default:
		p.owes(e.device, reread)
	}
}

// justify checks that a push which is begun has a reason.
func (r *referee) justify(f *flight, w *wake) {
	is := f.process.reasons[f.device]
	f.why = is.why
	if w.rewake > 0 {
		f.why = rewoke
	} else if is.step <= is.pushed {
		r.fail("extra: %v begins a push to %v, of which it had one accepted that was begun at step %d; since then it has read nothing new",
			f.process, f.device, is.pushed)
	}
}

// count counts an accepted push: as one for something new, where some event that was read before it was begun was not
// satisfied, or else as an extra one, with its cause.
func (r *referee) count(f *flight) {
	is := f.process.reasons[f.device]
	is.pushed = max(is.pushed, f.begun)
	f.process.reasons[f.device] = is
	why := f.why
	if slices.ContainsFunc(f.device.events, func(e *simEvent) bool { return e.read > 0 && e.read < f.begun && !e.satisfied() }) {
		why = fresh
	}
	r.pushes[why]++
}

// late is how many results are of wakes that ended with their tenure: each of them is to count for nothing (I4).
func late(results []providers.Result) (n int64) {
	for i := range results {
		if results[i].Ref.(*wake).removed {
			n++
		}
	}
	return n
}

// outcomeOf finds the ledger's outcome of an event, by its id, or without one by its place.
func (d *disk) outcomeOf(e *simEvent, tenant string) (at time.Time, ok bool) {
	device := d.names.Device(tenant, e.name)
	id := d.names.OffsetID(int32(e.partition), e.offset, e.published)
	if e.id != "" {
		id = d.names.EventID(device, e.id)
	}
	at, ok = d.part(int32(e.partition)).known[outcomeKey{device, id}]
	return at, ok
}

// remembers says whether the ledger has an outcome of an event, or of the dead letter that was made of it.
func (r *referee) remembers(d *disk, e *simEvent) bool {
	if _, ok := d.outcomeOf(e, r.tenants[e.tenant]); ok {
		return true
	}
	_, ok := d.part(int32(e.partition)).known[outcomeKey{0, d.names.OffsetID(int32(e.partition), e.offset, e.published)}]
	return ok
}

// dedupes says whether a process is to know by its ledger that it has had an event. It forgets ids after the dedupe window,
// and sooner or later where its clock jumps.
func (r *referee) dedupes(p *process, e *simEvent) bool {
	at, ok := p.disk.outcomeOf(e, r.tenants[e.tenant])
	return ok && !p.jumped && p.now().Sub(at) < p.cfg.Dedupe.Window/2 && p.cfg.Dedupe.Window > time.Minute
}
