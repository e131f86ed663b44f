// Package audit checks the promise from outside: from the publisher's own list and the providers' own accounts, never
// from pushd's counters. It can therefore say that pushd lost something when pushd does not know it.
//
// What it can see of the promise W: for every wake event that was published, a push for its token was received by the
// provider, and accepted, after the event had been published. (That the push was also begun after the event was read
// is not visible from outside; the dispatcher's own tests check it.)
package audit

import (
	"slices"
	"sync"
	"time"

	"pushd/loadtest/mixture"
	"pushd/queue/event"
)

// Audit collects what was published and what came of it. It is safe for concurrent use.
type Audit struct {
	mu        sync.Mutex // guards all
	published []published
	feedback  map[string][]event.Feedback // by tenant/device
	refused   map[string]string           // reasons of refused credentials, by tenant
	dead      map[string]int              // dead letters by key
	feedbacks int
	letters   int
}

type published struct {
	*mixture.Record
	at time.Time // just before it was handed to Kafka
}

// Receipts says when pushes for a token were accepted, in order, as the providers' accounts have it.
type Receipts func(token string) []time.Time

func New() *Audit {
	return &Audit{feedback: make(map[string][]event.Feedback), refused: make(map[string]string), dead: make(map[string]int)}
}

// Publish notes records that are about to be published.
func (a *Audit) Publish(records []mixture.Record, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range records {
		a.published = append(a.published, published{&records[i], at})
	}
}

// Feedback notes a record of the feedback topic.
func (a *Audit) Feedback(f event.Feedback) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.feedbacks++
	key := f.Tenant + "/" + f.Device
	a.feedback[key] = append(a.feedback[key], f)
	if f.Outcome == event.CredentialRefused {
		a.refused[f.Tenant] = f.Reason
	}
}

// Refused is why the provider refuses a tenant's credential, or refused it last, as feedback says; empty where none does.
func (a *Audit) Refused(tenant string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused[tenant]
}

// DeadLetter notes a record of the dead-letter topic.
func (a *Audit) DeadLetter(key []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.letters++
	a.dead[string(key)]++
}

// Verdict is what the audit found.
type Verdict struct {
	Published int
	Lost      []string    // the ids of events that nothing was done for
	Extra     int         // accepted pushes that no event asked for
	ExtraAt   []time.Time // when they were accepted, in order
	Latencies []Latency   // of each event that wanted a push, and got it
	First     time.Time   // when the first record was published
	Last      time.Time   // when the last push that was wanted was accepted
	Feedbacks int
	Letters   int
}

// Latency is of an event that wanted a push.
type Latency struct {
	*mixture.Record
	Due      time.Time // when it was published or, where its device rested then, when the rest was over
	Accepted time.Time // the first push after it was published
}

// Took is how long the push took from when it was due.
func (l *Latency) Took() time.Duration { return max(0, l.Accepted.Sub(l.Due)) }

// Check holds everything published so far against what came of it. interval is merge.interval: two accepted pushes to a
// device that are closer together than that are one too many, and so is a push to a device beyond its number of events.
func (a *Audit) Check(receipts Receipts, interval time.Duration) Verdict {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := Verdict{Published: len(a.published), Feedbacks: a.feedbacks, Letters: a.letters}
	asked := make(map[string]int) // token: events that can have asked for a push
	for i := range a.published {
		p := &a.published[i]
		if v.First.IsZero() {
			v.First = p.at
		}
		switch {
		case !a.satisfied(p, receipts):
			v.Lost = append(v.Lost, p.ID)
		case p.Want == mixture.Push:
			v.measure(p, receipts(p.Token), interval)
		}
		if p.Want != mixture.Garbage && p.Want != mixture.Duplicate {
			asked[p.Token]++
		}
	}
	for token, events := range asked {
		times := receipts(token)
		for i, at := range times {
			if i >= events || i > 0 && at.Sub(times[i-1]) < interval {
				v.ExtraAt = append(v.ExtraAt, at)
			}
		}
	}
	v.Extra = len(v.ExtraAt)
	slices.SortFunc(v.ExtraAt, time.Time.Compare)
	return v
}

// Published is how many records were published.
func (a *Audit) Published() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.published)
}

// Told is how much feedback with an outcome there was for a tenant's devices.
func (a *Audit) Told(tenant string, outcome event.Outcome) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, all := range a.feedback {
		for _, f := range all {
			if f.Tenant == tenant && f.Outcome == outcome {
				n++
			}
		}
	}
	return n
}

// Pending is how many records are not satisfied yet.
func (a *Audit) Pending(receipts Receipts) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for i := range a.published {
		if !a.satisfied(&a.published[i], receipts) {
			n++
		}
	}
	return n
}

// satisfied says whether what had to become of a record did.
func (a *Audit) satisfied(p *published, receipts Receipts) bool {
	pushed := func() bool {
		times := receipts(p.Token)
		return firstAfter(p, times) < len(times)
	}
	switch p.Want {
	case mixture.Push:
		return pushed()
	case mixture.Dead:
		return a.told(p, event.TokenDead)
	case mixture.Expired:
		return a.told(p, event.Expired) || pushed()
	case mixture.Garbage:
		return a.dead[string(p.Key)] > 0
	}
	return true
}

// firstAfter is the place of the first push after a record was published.
func firstAfter(p *published, times []time.Time) int {
	i, _ := slices.BinarySearchFunc(times, p.at, time.Time.Compare)
	return i
}

// measure notes how long it took until the push that satisfies p.
func (v *Verdict) measure(p *published, times []time.Time, interval time.Duration) {
	i := firstAfter(p, times)
	due := p.at
	if i > 0 {
		if rested := times[i-1].Add(interval); rested.After(due) {
			due = rested
		}
	}
	v.Latencies = append(v.Latencies, Latency{p.Record, due, times[i]})
	if times[i].After(v.Last) {
		v.Last = times[i]
	}
}

func (a *Audit) told(p *published, outcome event.Outcome) bool {
	return slices.ContainsFunc(a.feedback[p.Device], func(f event.Feedback) bool {
		return f.Outcome == outcome && !f.ObservedAt.Before(p.at.Truncate(time.Millisecond))
	})
}
