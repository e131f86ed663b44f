package dispatcher

import (
	"bytes"
	"time"

	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

// settle is where events end (I3). Their outcomes go into the next flush, and with it their offsets are done: the
// ledger is written before an offset can be committed, and feedback was acknowledged before this was called (report).
// Of the events of one wake the newest has the wake's end; the others merged into it.
func (c *core) settle(w *wake, kind store.Kind, now time.Time) {
	n := int64(w.events())
	for i, t := range w.taken {
		k := kind
		if pushed(kind) && i < len(w.taken)-1 {
			k = store.Merged
		}
		c.outcomes = append(c.outcomes, store.Outcome{Device: w.device, Event: t.id, Kind: k, At: now})
		c.offsets = append(c.offsets, t.offset)
	}
	if len(w.taken) == 0 && (w.parked > 0 || kind == store.Accepted) {
		c.outcomes = append(c.outcomes, store.Outcome{Device: w.device, Kind: kind, At: now})
	}
	c.books.open[w.state] -= n
	if pushed(kind) && n > 1 {
		c.books.settled[store.Merged] += n - 1
		n = 1
	}
	c.books.settled[kind] += n
	c.holders.drop(w)
	w.taken, w.parked = nil, 0
	c.unpark(w)
}

// pushed says whether a kind is the end of a wake that was sent, or given up; into such a wake events merge.
func pushed(kind store.Kind) bool {
	switch kind {
	case store.Accepted, store.TokenDead, store.Stale, store.Expired, store.Rejected:
		return true
	}
	return false
}

// settleDirty ends what made a wake dirty.
func (c *core) settleDirty(w *wake, kind store.Kind, now time.Time) {
	for _, t := range w.dirtyTaken {
		c.settleOne(w.device, t, kind, now)
	}
	c.books.settled[kind] += int64(w.dirtyCopy.events)
	c.books.dirty -= int64(len(w.dirtyTaken) + w.dirtyCopy.events)
	c.settled = append(c.settled, w.dirtyCopy.at...)
	w.dirty, w.dirtyTaken, w.dirtyCopy = nil, nil, found{}
}

// settleOne ends an event that is counted in no wake.
func (c *core) settleOne(d store.Device, t taken, kind store.Kind, now time.Time) {
	c.outcomes = append(c.outcomes, store.Outcome{Device: d, Event: t.id, Kind: kind, At: now})
	c.offsets = append(c.offsets, t.offset)
	c.books.settled[kind]++
}

// note ends an event that asks for no push.
func (c *core) note(d store.Device, t taken, now time.Time) { c.settleOne(d, t, store.Noted, now) }

// feedbackOutcomes are the ends that are reported, in the feedback topic's words.
var feedbackOutcomes = map[store.Kind]event.Outcome{
	store.TokenDead: event.TokenDead,
	store.Stale:     event.Stale,
	store.Expired:   event.Expired,
	store.Rejected:  event.Rejected,
}

// report publishes the end of a wake. Only when the feedback is acknowledged is the wake settled (acknowledged): had we
// settled first, a crash in between would have lost the news that a token is dead.
func (c *core) report(w *wake, kind store.Kind, v verdict, now time.Time) {
	c.publish(w, feedbackOutcomes[kind], v, now, func(now time.Time) {
		c.settle(w, kind, now)
		c.next(w, now)
	})
}

// publish publishes feedback about a wake, and goes on with after when it is acknowledged.
func (c *core) publish(w *wake, outcome event.Outcome, v verdict, now time.Time, after func(time.Time)) {
	c.unschedule(w)
	message := c.feedback(w, outcome, v, now)
	c.enter(w, reporting)
	c.send(&notice{wake: w, after: after, message: message})
}

func (c *core) feedback(w *wake, outcome event.Outcome, v verdict, now time.Time) queue.Message {
	f := event.Feedback{
		Outcome: outcome, Tenant: w.tenant, Device: w.name, Provider: w.content.lane.provider,
		TokenHash: c.Identify.TokenHash(w.content.token), Reason: v.reason, Status: v.status,
		ProviderTimestamp: v.since, TokenRegisteredAt: w.content.registered,
		EventID: w.content.id, Attempts: w.attempts, ObservedAt: now, Traceparent: w.content.traceparent,
	}
	return queue.Message{
		Topic: c.Topics.Feedback, Key: event.Key(w.tenant, w.name), Value: f.AppendJSON(nil), Headers: f.Headers(),
	}
}

// deadLetter publishes a record that cannot be understood, or that nobody has a credential for.
func (c *core) deadLetter(r *queue.Record, why error, now time.Time) {
	t := taken{offset: r.Offset, id: c.Identify.OffsetID(r.Partition, r.Offset, r.Time)}
	if c.index.See(0, t.id, now) {
		c.books.duplicates++ // read again after a crash
		c.offsets = append(c.offsets, t.offset)
		return
	}
	c.run.note(true)
	c.books.open[reporting]++
	c.send(&notice{
		dead: &t,
		after: func(now time.Time) {
			c.books.open[reporting]--
			c.books.letters[event.ReasonOf(why)]++
			c.settleOne(0, t, store.DeadLetter, now)
		},
		message: queue.Message{
			Topic: c.Topics.Dead, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), // the record's are released
			Headers: event.DeadLetterHeaders(r.Headers, r.Cut, why, c.Topic, r.Partition, r.Offset, now),
		},
	})
}

func (c *core) send(n *notice) {
	c.notices[n] = struct{}{}
	c.out.notices = append(c.out.notices, n)
}

// acknowledged takes notices that all in-sync replicas of their topic have, and settles what they are about.
func (c *core) acknowledged(notices []*notice, now time.Time) {
	for _, n := range notices {
		if _, ours := c.notices[n]; !ours {
			continue // given up when its tenure ended
		}
		delete(c.notices, n)
		if n.after != nil {
			n.after(now)
		}
	}
}
