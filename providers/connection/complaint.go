package connection

import (
	"log/slog"
	"time"
)

// repeatAfter is how often the same kind of failure is logged again while it lasts.
const repeatAfter = time.Minute

// Complaints keep a provider that is away from filling the log: of one credential each kind of failure is a line once, and
// again each minute, with the number of those in between. Whoever has them guards them.
type Complaints map[Kind]*complaint

type complaint struct {
	told    time.Time
	leftOut int // since then
}

// About says whether a failure is to be logged, and how many of its kind were left out before it.
func (c Complaints) About(kind Kind, now time.Time) (loud bool, leftOut int) {
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

// Over forgets what was logged: there is a connection again, and the next failure is a new one.
func (c Complaints) Over() { clear(c) }

// Complain logs why there is no connection, with the number of failures of its kind that were not logged.
func Complain(log *slog.Logger, failure *Failure, leftOut int) {
	if leftOut > 0 {
		log = log.With(slog.Int("left_out", leftOut))
	}
	log.Warn("no connection to the provider", "kind", failure.Kind.String(), "error", failure.Err)
}
