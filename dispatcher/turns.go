package dispatcher

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	// quantum is how many pushes a lane of weight 1 may begin in a round at most: enough for a sender to fill its frames,
	// few enough that the other lanes' turns come soon.
	quantum = 64
	// turnsPerStep is how many turns are given before the gate looks at its inbox again.
	turnsPerStep = 64
	// shortest is how soon the gate wakes for the next token: at high rates several pushes' worth.
	shortest = 2 * time.Millisecond
)

// line is the lanes of a gate that want a turn. It goes by rounds: in each, a lane may begin as many pushes as its share is,
// by weight, whatever their priority; who has used it up waits for the next (deficit round robin). Within a round those
// with urgent wakes come first, and then those with normal ones. So an urgent wake overtakes the bulk of all other tenants,
// and a tenant that calls everything urgent gets no more than its share.
type line struct {
	rings [classes]fifo[*lane] // by the classes that they have wakes of
	spent []*lane              // whose share of this round is used up
	round int64                // from 1 on
	unit  int                  // the share of weight 1 in this round; 0 where it is not yet known
}

// enlist puts a lane into the rings of the classes it has wakes of.
func (n *line) enlist(l *lane) {
	if l.spent {
		return // the next round does it
	}
	for class := range l.queues {
		if l.queues[class].len() > 0 && !l.listed[class] {
			l.listed[class] = true
			n.rings[class].push(l)
		}
	}
}

// first is the class of the next turn, and -1 where no lane wants one. Where all that want one have used up their share, a
// round begins.
func (n *line) first() int {
	for range 2 {
		for class := range n.rings {
			for n.rings[class].len() > 0 && n.rings[class].first().spent {
				n.leave(class)
			}
			if n.rings[class].len() > 0 {
				return class
			}
		}
		n.round++
		n.unit = 0
		spent := n.spent
		n.spent = n.spent[:0]
		for _, l := range spent {
			l.spent = false
			n.enlist(l)
		}
		clear(spent)
	}
	return -1
}

// share gives a lane its share of the round, if it does not have it yet. What a limit allows now is shared out among all
// lanes in line, so that with many of them each comes often for few.
func (n *line) share(l *lane, room int) {
	if l.round == n.round {
		return
	}
	if n.unit == 0 {
		lanes := 0
		for class := range n.rings {
			lanes += n.rings[class].len()
		}
		n.unit = max(1, min(quantum, room/lanes))
	}
	l.round, l.owed = n.round, n.unit*l.weight
}

// leave takes a lane off the head of a ring.
func (n *line) leave(class int) {
	n.rings[class].pop().listed[class] = false
}

// use counts pushes against a lane's share.
func (n *line) use(l *lane, pushes int) {
	if l.owed -= pushes; l.owed <= 0 {
		l.spent = true
		n.spent = append(n.spent, l)
	}
}

// turns gives the lanes their turns until nothing may be begun, or it is time to look at the inbox.
func (g *gate) turns(now time.Time) time.Time {
	if g.halted {
		return time.Time{}
	}
	for i := len(g.timed) - 1; i >= 0; i-- {
		if l := g.timed[i]; !now.Before(l.wakeAt) {
			l.timed = false
			g.timed[i] = g.timed[len(g.timed)-1]
			g.timed = g.timed[:len(g.timed)-1]
			g.line.enlist(l)
		}
	}
	ramp := g.breaker.ramp(now)
	for range turnsPerStep {
		class := g.line.first()
		if class < 0 {
			return g.soonest(g.breaker.settle(now))
		}
		room := tokens(ramp, now)
		for _, limit := range g.limits {
			room = min(room, tokens(limit, now))
		}
		if room < 1 {
			next := now.Add(g.untilToken(ramp, now))
			g.short.hold(next)
			return next
		}
		if g.breaker.is(open) {
			may, when := g.breaker.mayProbe(now)
			if !may {
				return when
			}
			room = 1
		}
		g.turn(class, room, now)
	}
	return now
}

// turn lets the first lane of a ring begin pushes, room at most. A lane whose share is not used up when the limit is stays
// at the head; but of a provider that is down, each lane in its turn tries whether it is.
func (g *gate) turn(class, room int, now time.Time) {
	l := g.line.rings[class].first()
	g.line.share(l, room)
	if outcome, wait := l.closed(now); outcome != 0 {
		g.line.leave(class)
		own, places := l.turnAway(outcome, wait)
		g.count(l, -places)
		g.answerSelf(l, own)
		return
	}
	if l.refused() {
		l.probing = true
	}
	room = min(room, l.owed, l.room(now))
	if room == 0 {
		g.line.leave(class)
		g.block(l, now)
		return
	}
	before := l.waiting()
	pushes, own := l.begin(g.pushes[:0], room, now, g.expires)
	g.count(l, l.waiting()-before)
	g.answerSelf(l, own)
	g.send(l, pushes, now)
	g.line.use(l, len(pushes))
	clear(pushes)
	g.pushes = pushes
	if !l.spent && l.queues[class].len() > 0 && !g.breaker.is(open) {
		return
	}
	g.line.leave(class)
	g.line.enlist(l)
}

// block leaves a lane out of the rings until an answer or a time lets it go on.
func (g *gate) block(l *lane, now time.Time) {
	switch {
	case now.Before(l.until):
		l.wakeAt = l.until
	case l.limit == nil || tokens(l.limit, now) > 0:
		l.slow.fill(now)
		return // full: its next answer enlists it
	default:
		l.wakeAt = now.Add(untilToken(l.limit, now))
	}
	l.slow.hold(l.wakeAt)
	if !l.timed {
		l.timed = true
		g.timed = append(g.timed, l)
	}
}

// soonest is when the first timed lane may go on, or next, whichever comes first; zero is never.
func (g *gate) soonest(next time.Time) time.Time {
	for _, l := range g.timed {
		if next.IsZero() || l.wakeAt.Before(next) {
			next = l.wakeAt
		}
	}
	return next
}

func (g *gate) untilToken(ramp *rate.Limiter, now time.Time) (wait time.Duration) {
	if ramp != nil {
		wait = untilToken(ramp, now)
	}
	for _, limit := range g.limits {
		wait = max(wait, untilToken(limit, now))
	}
	return wait
}

func untilToken(limit *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - limit.TokensAt(now)
	return max(shortest, time.Duration(missing/float64(limit.Limit())*float64(time.Second)))
}
