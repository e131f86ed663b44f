package connection

import (
	"log/slog"
	"time"
)

// repeatAfter is how often the same kind of failure is logged again while it lasts.
const repeatAfter = time.Minute

// complaints keep a provider that is away from filling the log: of one credential each kind of failure is a line once, and
// again each minute, with the number of those in between. Pool.mu guards them.
type complaints map[Kind]*complaint

type complaint struct {
	told    time.Time
	leftOut int // since then
}

// about says whether a failure is to be logged, and how many of its kind were left out before it.
func (c complaints) about(kind Kind, now time.Time) (loud bool, leftOut int) {
	last := c[kind]
	if last != nil && now.Sub(last.told) < repeatAfter {
		last.leftOut++
		return false, 0
	}
	c[kind] = &complaint{told: now}
	if last != nil {
		leftOut = last.leftOut
	}
	return true, leftOut
}

// over forgets what was logged: there is a connection again, and the next failure is a new one.
func (c complaints) over() { clear(c) }

// complain logs why there is no connection.
func (p *Pool) complain(failure *Failure, leftOut int) {
	log := p.logger
	if leftOut > 0 {
		log = log.With(slog.Int("left_out", leftOut))
	}
	log.Warn("no connection to the provider", "host", p.dialer.host, "port", p.dialer.port, "kind", failure.Kind.String(), "error", failure.Err)
}
