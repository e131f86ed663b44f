package dispatcher

import (
	"math"

	"golang.org/x/time/rate"

	"pushd/providers"
)

// The limits of rates are what a provider bears from the whole group, so each process has the part of them that it has of
// the partitions. A tenant's devices are spread over all partitions, and so its credential's limit is shared the same way.
//
// The parts follow each assignment. While partitions move nobody has more than before: who gives some up sends nothing for
// them, and who gets some is told before their first record. Only a process that the group has put out, and that does not
// know it yet, still uses a part that others have too.

// unknownShare is the part of a process that has not been in the group yet: enough for what waits in its ledger, and little
// for a provider if others have the whole.
const unknownShare = 0.1

// Share tells how many partitions of the topic this process owns, and how many there are. One that owns none has the part
// of one: it may have wakes in its ledger.
func (e *Engine) Share(owned, of int) {
	e.mu.Lock()
	before := e.share
	e.share = min(1, float64(max(owned, 1))/float64(max(of, 1)))
	changed := e.share != before
	share, whose := e.share, e.rates.Share
	e.mu.Unlock()
	if changed && whose != OfProcess {
		e.ration()
		e.deps.Logger.Info("this process has a part of the limits of rates", "share", share, "partitions", owned, "of", of)
	}
}

// SetRates sets the limits that lanes share. Those of single credentials come with Renew.
func (e *Engine) SetRates(r RatesConfig) {
	e.mu.Lock()
	e.rates = r
	e.mu.Unlock()
	e.ration()
}

// part is this process's part of the limits.
func (e *Engine) part() (RatesConfig, float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.rates.Share == OfProcess {
		return e.rates, 1
	}
	return e.rates, e.share
}

// ration gives gates and lanes this process's part of their limits.
func (e *Engine) ration() {
	rates, part := e.part()
	for _, g := range e.gates {
		g.share.Store(math.Float64bits(part)) // before the lanes are listed: a new one takes it
	}
	lanes := make(map[*gate][]*lane)
	for _, l := range e.allLanes() {
		lanes[l.gate] = append(lanes[l.gate], l)
	}
	total, own := limits(rates, part)
	for name, g := range e.gates {
		g.change(func() {
			g.limit(total, own[name])
			for _, l := range lanes[g] {
				l.ration()
				g.line.enlist(l)
			}
		})
	}
}

// limits are the limiters of the rates that lanes share: over all, and by provider.
func limits(r RatesConfig, part float64) (total *rate.Limiter, own map[string]*rate.Limiter) {
	return newLimit(r.Total * part), map[string]*rate.Limiter{providers.APNs: newLimit(r.APNs * part), providers.FCM: newLimit(r.FCM * part)}
}

// ration gives the lane its gate's part of the credential's limit.
func (l *lane) ration() { l.limit = newLimit(l.rate * l.gate.part()) }

// part is the process's part of the limits; any goroutine may ask.
func (g *gate) part() float64 {
	if bits := g.share.Load(); bits != 0 {
		return math.Float64frombits(bits)
	}
	return 1
}
