package dispatcher

import (
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"pushd/providers"
	"pushd/queue/event"
	"pushd/store"
)

// park makes a wake outlive the process: with the next flush the ledger has it, and then its offsets are done (I2).
// Parking again what is parked writes its newest form. Where the budget is used up nothing happens: the wake stays in
// memory, keeps its offsets, and the partition pauses when its window is full.
func (c *core) park(w *wake, now time.Time) {
	if !w.durable && !c.keep(w, c.Budget) {
		return
	}
	if (w.state == held || w.state == suspect) && w.storedState == w.state && w.stored == w.content && len(w.taken) == 0 {
		return // tried, or looked at, again in vain: the ledger has it as it is
	}
	kind := store.Parked
	if w.state == held {
		kind = store.Held
	}
	for _, t := range w.taken {
		c.outcomes = append(c.outcomes, store.Outcome{Device: w.device, Event: t.id, Kind: kind, At: now})
		c.offsets = append(c.offsets, t.offset)
	}
	c.holders.drop(w)
	w.parked += len(w.taken)
	w.taken = w.taken[:0]
	c.changed[w.device] = struct{}{}
}

// keep makes the wake one that the ledger has, where the budget allows.
func (c *core) keep(w *wake, budget *atomic.Int64) bool {
	if budget.Add(-1) < 0 {
		budget.Add(1)
		return false
	}
	w.durable, w.budget = true, budget
	c.books.parked++
	c.changed[w.device] = struct{}{}
	return true
}

// unpark drops a wake from the ledger with the next flush.
func (c *core) unpark(w *wake) {
	if !w.durable {
		return
	}
	w.durable, w.stored = false, nil
	w.budget.Add(1)
	c.books.parked--
	c.changed[w.device] = struct{}{}
}

// parkedWake is the form of a wake in the ledger. New fields may be added; a reader ignores those it does not know.
type parkedWake struct {
	Version     int       `json:"v"`
	State       string    `json:"state"`
	Tenant      string    `json:"tenant"`
	Device      string    `json:"device"`
	Provider    string    `json:"provider"`
	Token       string    `json:"token"`
	PushMagic   string    `json:"push_magic,omitempty"`
	Topic       string    `json:"topic,omitempty"`
	PushType    string    `json:"push_type,omitempty"`
	Payload     []byte    `json:"payload,omitempty"`
	Priority    uint8     `json:"priority"`
	Expires     time.Time `json:"expires,omitzero"`
	Registered  time.Time `json:"token_registered_at,omitzero"`
	Newest      time.Time `json:"newest,omitzero"`
	Read        time.Time `json:"read,omitzero"`
	ID          string    `json:"id,omitempty"`
	Traceparent string    `json:"traceparent,omitempty"`
	Since       time.Time `json:"since"`
	Due         time.Time `json:"due,omitzero"`
	Attempts    int       `json:"attempts,omitempty"`
	Events      int       `json:"events,omitempty"`
	Rewake      int       `json:"rewake,omitempty"`
	StaleSent   bool      `json:"stale_sent,omitempty"`
	StoredUntil time.Time `json:"stored_until,omitzero"`
}

const parkedVersion = 1

func (w *wake) encode() []byte {
	k := w.content
	data, err := json.Marshal(parkedWake{
		Version: parkedVersion, State: w.state.String(), Tenant: w.tenant, Device: w.name, Provider: k.lane.provider,
		Token: k.token, PushMagic: k.pushMagic, Topic: k.topic, PushType: k.pushType, Payload: k.payload,
		Priority: uint8(k.priority), Expires: k.expires, Registered: k.registered, Newest: k.newest, Read: k.read,
		ID: k.id, Traceparent: k.traceparent, Since: w.since, Due: w.due, Attempts: w.attempts, Events: w.parked,
		Rewake: w.rewake, StaleSent: w.staleSent, StoredUntil: w.storedUntil,
	})
	if err != nil {
		panic("dispatcher: a wake cannot be encoded: " + err.Error()) // strings, numbers and times always can
	}
	return data
}

// decodeParked is encode's other side.
func decodeParked(data []byte) (parkedWake, error) {
	var p parkedWake
	if err := json.Unmarshal(data, &p); err != nil {
		return p, err
	}
	switch {
	case p.Version != parkedVersion:
		return p, fmt.Errorf("format version %d; this pushd reads %d", p.Version, parkedVersion)
	case p.Tenant == "" || p.Device == "" || p.Token == "":
		return p, errors.New("tenant, device or token is missing")
	case p.Provider != providers.APNs && p.Provider != providers.FCM:
		return p, fmt.Errorf("provider %q is neither apns nor fcm", p.Provider)
	case p.Priority > uint8(event.Bulk) || p.Events < 0 || p.Attempts < 0 || p.Rewake < 0:
		return p, fmt.Errorf("priority %d, events %d, attempts %d or rewake %d is out of range", p.Priority, p.Events, p.Attempts, p.Rewake)
	}
	return p, nil
}

// restore takes what the ledger kept. Due times are wall-clock times, so after a jump of the clock they are brought
// back to where backoff could have put them.
func (c *core) restore(list []store.Waiting, orphan func(tenant, provider string) *lane, now time.Time) error {
	for i := range list {
		p, err := decodeParked(list[i].Data)
		if err != nil {
			return fmt.Errorf("waiting wake %016x of partition %d: %w", list[i].Device, c.partition, err)
		}
		to := c.Route(p.Tenant, p.Provider)
		if to == nil {
			to = orphan(p.Tenant, p.Provider)
		}
		w := &wake{
			shard: c.shard, device: list[i].Device, tenant: p.Tenant, name: p.Device, heapAt: -1, since: p.Since, attempts: p.Attempts,
			parked: p.Events, durable: true, rewake: p.Rewake, staleSent: p.StaleSent, storedUntil: p.StoredUntil, state: waiting,
			content: &content{
				lane: to, token: p.Token, pushMagic: p.PushMagic, topic: p.Topic, pushType: p.PushType,
				payload: p.Payload, suspect: p.State == suspect.String(), priority: event.Priority(p.Priority), expires: p.Expires,
				registered: p.Registered, newest: p.Newest, read: p.Read, id: p.ID, traceparent: p.Traceparent,
			},
		}
		for _, s := range []state{resting, held, owing} {
			if p.State == s.String() {
				w.state = s
			}
		}
		w.due = now.Add(p.Due.Sub(now)) // from here on the clock may jump
		if last := now.Add(c.longestWait()); w.due.Before(now) || w.due.After(last) {
			w.due = now
		}
		if p.State == suspect.String() {
			w.due = now // its guard is a new one, which has to hear it again
		}
		w.budget = c.Budget
		if w.state == owing {
			w.budget = c.Owing
		}
		w.budget.Add(-1)
		c.books.parked++
		c.books.restored += int64(w.parked)
		c.books.open[w.state] += int64(w.parked)
		c.wakes[w.device] = w
		heap.Push(&c.due, w)
	}
	return nil
}

// longestWait is the longest time that a wake can be scheduled ahead.
func (c *core) longestWait() time.Duration {
	longest := max(c.Config.Merge.Interval, c.Config.Merge.HoldProbe*2, 24*time.Hour+maxBackoff)
	for _, wait := range c.Config.Merge.Rewake {
		longest = max(longest, wait)
	}
	return longest
}
