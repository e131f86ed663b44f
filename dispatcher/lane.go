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

// weights are the pushes that each class of a lane gets while all have wakes: urgent overtakes, bulk never starves.
var weights = [classes]int{32, 8, 1}

// lane is one credential's road to its provider. It outlives the credential: a renewed one is a new outlet of the same
// lane. Its fields belong to the goroutine of its gate, but for those that say otherwise.
type lane struct {
	tenant   string // set once
	provider string // set once
	gate     *gate  // set once

	// outlet is what pushes go through now; nil where there is no usable credential, and every wake is barred. The gate's
	// goroutine sets it, shards read it.
	outlet  atomic.Pointer[outlet]
	retired []*outlet   // replaced, and not all answered yet
	gone    atomic.Bool // the tenant has no such credential any more: events for it are dead letters

	rate   float64       // of the credential, pushes per second for the whole group; 0: no limit
	limit  *rate.Limiter // this process's part of it; nil: no limit
	cap    int           // pushes under way at most
	weight int           // its share of turns, relative to other lanes

	queues   [classes]fifo[*wake]
	places   atomic.Int64  // in the queues; any goroutine may read it
	credit   [classes]int  // pushes that are left of each class's weight
	listed   [classes]bool // stands in the line's ring of that class
	round    int64         // of the line in which it had its share
	owed     int           // pushes that are left of that share
	spent    bool          // none is: it stands in the line for the next round
	inFlight int           // over all outlets
	until    time.Time     // not before: the provider asked the whole credential to wait
	timed    bool          // stands among the gate's timed lanes, until wakeAt
	wakeAt   time.Time

	probing     bool      // the credential was refused; one push tries it again
	barredUntil time.Time // when that may be

	tally tally // the breaker's
	slow  slow

	guard *guard // set once; nil where it is switched off
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

// refused says whether the credential is known to be refused, or cannot be used at all. Any goroutine may ask.
func (l *lane) refused() bool {
	o := l.outlet.Load()
	return o == nil || o.barred.Load()
}

// closed says whether the lane answers its wakes itself, how, and how long they should wait: its credential is refused and
// it is not yet time to try again, or the provider asked for a wait too long to stand in a queue holding offsets.
func (l *lane) closed(now time.Time) (providers.Outcome, time.Duration) {
	switch {
	case l.outlet.Load() == nil:
		return barred, 0
	case l.refused() && !l.probing && now.Before(l.barredUntil):
		return barred, 0
	case l.until.Sub(now) > parkAfter:
		return deferred, l.until.Sub(now)
	}
	return 0, 0
}

// begin takes up to n wakes off the queues, and appends their pushes to some. Wakes whose offer is gone (withdrawn, or begun
// from another place) cost nothing. Lapsed wakes are answered by the lane.
func (l *lane) begin(some []providers.Push, n int, now time.Time, expires time.Duration) (pushes []providers.Push, own []providers.Result) {
	for pushes = some; len(pushes) < n; {
		class := l.pick()
		if class < 0 {
			break
		}
		w := l.queues[class].pop()
		k := l.claim(w)
		switch {
		case k == nil:
		case k.expired(now):
			own = append(own, providers.Result{Ref: w, Outcome: lapsed})
		default:
			l.credit[class]--
			pushes = append(pushes, k.push(w, now, expires))
		}
	}
	return pushes, own
}

// pick chooses the class of the next wake by weight; -1 where there is none.
func (l *lane) pick() int {
	for range 2 {
		for class := range l.queues {
			if l.queues[class].len() > 0 && l.credit[class] > 0 {
				return class
			}
		}
		l.credit = weights
	}
	return -1
}

// waiting is how many places there are in the queues.
func (l *lane) waiting() (n int) {
	for class := range l.queues {
		n += l.queues[class].len()
	}
	return n
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
		Urgent: k.priority == event.Urgent, Suspect: k.suspect, Expires: k.expires,
	}
	if p.Expires.IsZero() {
		p.Expires = now.Add(expires)
	}
	return p
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

func reserve(limit *rate.Limiter, now time.Time, n int) {
	if limit != nil {
		limit.ReserveN(now, n)
	}
}

// newLimit makes a limiter of so many pushes per second, with a burst of 50 ms, so that the rate holds in every second
// and the gate need not wake for each push. 0 is no limit.
func newLimit(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), burst(perSecond))
}

func burst(perSecond float64) int { return max(1, int(perSecond/20)) }
