package dispatcher

import (
	"strings"
	"time"
)

// What changes while the engine runs: credentials, and limits. Nothing that is under way is cut off by it, and nothing
// that waits is lost.
//
//	Renew ─▶ gate: lane.equip, a new outlet ─▶ shards: core.resume, what was held is due now

// route is the lane of a tenant's credential; nil where it has none.
func (e *Engine) route(tenant, provider string) *lane {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := [2]string{tenant, provider}
	l := e.lanes[key]
	if l == nil {
		credential, ok := e.deps.Open(tenant, provider)
		if !ok {
			return nil
		}
		l = e.newLane(key, credential)
	}
	if l.gone.Load() {
		return nil
	}
	return l
}

// orphan is a lane for the waiting wakes of a credential that is not there any more: it bars everything.
func (e *Engine) orphan(tenant, provider string) *lane {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := [2]string{tenant, provider}
	if e.lanes[key] == nil {
		credential, ok := e.deps.Open(tenant, provider) // the tenant can have come since Route was asked
		if !ok {
			credential = Credential{}
		}
		l := e.newLane(key, credential)
		if l.gone.Store(!ok); !ok {
			e.deps.Logger.Warn("wakes wait for a credential that is gone: put its tenant file back, or they are held until they expire",
				"tenant", tenant, "provider", provider)
		}
	}
	return e.lanes[key]
}

// newLane makes a lane that nobody knows yet; e.mu is held.
func (e *Engine) newLane(key [2]string, c Credential) *lane {
	key[0] = strings.Clone(key[0]) // an event's, which should not stay with the lane
	l := &lane{tenant: key[0], provider: key[1], gate: e.gates[key[1]]}
	if e.cfg.Guard.Count > 0 {
		l.guard = newGuard(e.cfg.Guard)
	}
	l.equip(c)
	e.lanes[key] = l
	return l
}

// Renew asks Deps.Open again for the credentials of roads, which were replaced, are gone or came back, or have other
// limits. New pushes go out with what Open says now; pushes under way end where they were begun; wakes that were held for a
// credential are released. Roads that no wake was on yet are left for their first wake.
func (e *Engine) Renew(roads []Road) {
	renewed := make(map[*gate]map[*lane]Credential)
	for _, r := range roads {
		l := e.renewed(r)
		if l == nil {
			continue
		}
		credential, ok := e.deps.Open(r.Tenant, r.Provider)
		l.gone.Store(!ok)
		if renewed[l.gate] == nil {
			renewed[l.gate] = make(map[*lane]Credential)
		}
		renewed[l.gate][l] = credential
	}
	for g, lanes := range renewed {
		g.change(func() {
			replaced := make(map[*lane]bool)
			for l, c := range lanes {
				replaced[l] = g.equip(l, c)
			}
			e.eachCore(func(c *core, _ time.Time) { c.resume(func(l *lane) bool { return replaced[l] }) })
		})
	}
}

// eachCore lets the goroutine of each shard run f between two steps.
func (e *Engine) eachCore(f func(*core, time.Time)) {
	e.eachShard(func(s *shard) { s.call(func(now time.Time) { f(s.core, now) }) })
}

// renewed is the lane of a road; nil where it has none yet.
func (e *Engine) renewed(r Road) *lane {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lanes[[2]string{r.Tenant, r.Provider}]
}

// resume sends what waits for a word on the credentials of lanes: they are other ones now.
func (c *core) resume(of func(*lane) bool) {
	for _, w := range append(c.those(held, of), c.those(suspect, of)...) {
		c.queue(w)
	}
}
