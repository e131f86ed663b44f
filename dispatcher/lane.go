package dispatcher

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"pushd/providers"
	"pushd/queue/event"
)

// classes is the number of priorities.
const classes = int(event.Bulk) + 1

// lane is one credential's road to its provider. Its fields belong to the goroutine of its gate, but for what is set
// once before the lane is used, and barred.
type lane struct {
	tenant   string
	provider string
	gate     *gate
	sender   providers.Sender // nil: there is no credential; every wake is barred
	limit    *rate.Limiter    // nil: no limit
	cap      int              // pushes under way at most

	queues   [classes]fifo
	listed   [classes]bool // stands in the gate's ring of that class
	inFlight int
	until    time.Time // not before: the provider asked the whole credential to wait
	timed    bool      // stands among the gate's timed lanes, until wakeAt
	wakeAt   time.Time

	probing     bool      // the credential was refused; one push tries it again
	barredUntil time.Time // when that may be

	// barred is true from the first refusal of the credential until a push is answered otherwise. It is also set by
	// the sender's goroutines, so that of many refusals under way only the first is reported.
	barred atomic.Bool
}

// room is how many pushes the lane may begin now.
func (l *lane) room(now time.Time) int {
	if now.Before(l.until) {
		return 0
	}
	room := l.cap - l.inFlight
	if l.probing {
		room = min(room, 1-l.inFlight)
	}
	return max(0, min(room, tokens(l.limit, now)))
}

// closed says whether the lane answers its wakes itself, how, and how long they should wait: its credential is refused and
// it is not yet time to try again, or the provider asked for a wait too long to stand in a queue holding offsets.
func (l *lane) closed(now time.Time) (providers.Outcome, time.Duration) {
	switch {
	case l.sender == nil, l.barred.Load() && !l.probing && now.Before(l.barredUntil):
		return barred, 0
	case l.until.Sub(now) > parkAfter:
		return deferred, l.until.Sub(now)
	}
	return 0, 0
}

// begin takes up to n wakes of a class off the queue. Wakes whose offer is gone (withdrawn, or begun from another place)
// cost nothing. Lapsed wakes are answered by the lane.
func (l *lane) begin(class, n int, now time.Time, expires time.Duration) (pushes []providers.Push, own []providers.Result) {
	q := &l.queues[class]
	for len(pushes) < n && q.len() > 0 {
		w := q.pop()
		k := l.claim(w)
		switch {
		case k == nil:
		case k.expired(now):
			own = append(own, providers.Result{Ref: w, Outcome: lapsed})
		default:
			pushes = append(pushes, k.push(w, now, expires))
		}
	}
	return pushes, own
}

// claim takes the wake's offer: with that the wake is begun. It says nil where the offer is gone or is another lane's.
func (l *lane) claim(w *wake) *content {
	for {
		k := w.offer.Load()
		if k == nil || k.lane != l {
			return nil
		}
		if w.offer.CompareAndSwap(k, nil) {
			return k
		}
	}
}

// turnAway takes all places off the queues and answers the wakes that are still there.
func (l *lane) turnAway(outcome providers.Outcome, wait time.Duration) (own []providers.Result, places int) {
	for class := range l.queues {
		for q := &l.queues[class]; q.len() > 0; places++ {
			if w := q.pop(); l.claim(w) != nil {
				own = append(own, providers.Result{Ref: w, Outcome: outcome, Wait: wait, Obeyed: true})
			}
		}
	}
	return own, places
}

// push makes the push of a wake that is begun.
func (k *content) push(w *wake, now time.Time, expires time.Duration) providers.Push {
	p := providers.Push{
		Ref: w, Token: k.token, PushMagic: k.pushMagic, Topic: k.topic, PushType: k.pushType, Payload: k.payload,
		Urgent: k.priority == event.Urgent, Expires: k.expires,
	}
	if p.Expires.IsZero() {
		p.Expires = now.Add(expires)
	}
	return p
}

// done is what the lane's sender calls with answers, from its own goroutines: each goes to the shard that owns the
// device, and their sum to the gate.
func (l *lane) done(results []providers.Result) {
	a := laneAnswer{lane: l, n: len(results)}
	for i := range results {
		switch r := &results[i]; {
		case r.Outcome == providers.Refused:
			a.refused = true
			if !l.barred.CompareAndSwap(false, true) {
				r.Outcome = barred
			}
		case r.Outcome == providers.Later && r.Scope == providers.Credential:
			a.wait = max(a.wait, r.Wait)
		case r.Outcome == providers.Accepted || r.Outcome == providers.TokenDead || r.Outcome == providers.Rejected && r.Status != 0:
			a.healthy = true // the provider itself judged a push of this credential
		}
	}
	l.gate.metrics.count(l.provider, results)
	deliver(results)
	l.gate.answered(a)
}

// deliver gives results to the shards of their wakes.
func deliver(results []providers.Result) {
	for i := 0; i < len(results); {
		sh := results[i].Ref.(*wake).shard
		j := i + 1
		for j < len(results) && results[j].Ref.(*wake).shard == sh {
			j++
		}
		sh.answered(results[i:j])
		i = j
	}
}

// tokens is how many pushes a limit allows now.
func tokens(limit *rate.Limiter, now time.Time) int {
	if limit == nil {
		return math.MaxInt
	}
	return int(math.Floor(limit.TokensAt(now) + 1e-9))
}

// newLimit makes a limiter of so many pushes per second, with a burst of 50 ms, so that the rate holds in every second
// and the gate need not wake for each push. 0 is no limit.
func newLimit(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/20)))
}

// fifo is a queue of wakes that reuses its memory.
type fifo struct {
	wakes []*wake
	head  int
}

func (f *fifo) len() int { return len(f.wakes) - f.head }

func (f *fifo) push(w *wake) {
	if f.head > 0 && f.head == len(f.wakes) {
		f.wakes, f.head = f.wakes[:0], 0
	} else if f.head > 1024 && f.head > len(f.wakes)/2 {
		n := copy(f.wakes, f.wakes[f.head:])
		clear(f.wakes[n:])
		f.wakes, f.head = f.wakes[:n], 0
	}
	f.wakes = append(f.wakes, w)
}

func (f *fifo) pop() *wake {
	w := f.wakes[f.head]
	f.wakes[f.head] = nil
	f.head++
	return w
}
