package dispatcher

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
)

// TestEveryHistoryKeepsThePromise drives the core with random histories of events, answers, crashes, revocations and
// time, lets it come to rest, and compares it with the simplest model there is: the list of what was read and the list
// of what the provider accepted. It checks W, that nothing is sent without a cause, and (in world) I1, I3, I5, I7.
func TestEveryHistoryKeepsThePromise(t *testing.T) {
	t.Parallel()
	seeds := 100
	if testing.Short() {
		seeds = 10 // the race detector takes ten times as long
	}
	var adopted, joined atomic.Int64
	t.Run("all", func(t *testing.T) {
		for _, until := range []Until{UntilInterval, UntilCheckin} {
			for _, guarded := range []bool{false, true} {
				for _, durability := range []Durability{Local, Replicated} {
					t.Run(fmt.Sprintf("%s-guarded=%v-%s", until, guarded, durability), func(t *testing.T) {
						t.Parallel()
						for seed := range seeds {
							m := newModel(t, uint64(seed), until, guarded, durability)
							if fault := m.run(250); fault != "" {
								t.Fatalf("seed %d: %s\n%s", seed, fault, strings.Join(m.trace, "\n"))
							}
							adopted.Add(int64(m.adopted))
							joined.Add(int64(m.joined))
						}
					})
				}
			}
		}
	})
	if adopted.Load() == 0 || joined.Load() == 0 {
		t.Errorf("%d parked wakes were adopted and %d joined another: the test shows too little", adopted.Load(), joined.Load())
	}
}

// model remembers what was read and what was accepted; the clock of both is tick.
type model struct {
	*world
	rng    *rand.Rand
	tick   int
	events map[int64]*modelEvent // wake events by offset
	gone   map[int64]event.Event // forget events by offset
	begun  map[string]int        // device: the tick at which its push in flight was begun
	places []*wake
	told   map[*notice]int // the tick at which a dead token was published
	kept   []acceptance    // accepted
	trace  []string        // what happened, for a failure's message

	adopted, joined int // records of parked wakes that came back; those whose device had a wake
	fault           string
}

type modelEvent struct {
	device    string
	offset    int64
	at        time.Time // event time
	expires   time.Time
	read      int  // the tick at which it was first read; 0: not yet
	again     int  // the tick at which it was last read: after a crash it may cause one more push
	anonymous bool // has no id: its copy counts as another event
	excused   bool // dead, rejected, expired, forgotten, checked in
}

type acceptance struct {
	device  string
	begun   int
	flushed bool
}

func newModel(t testing.TB, seed uint64, until Until, guarded bool, durability Durability) *model {
	cfg := localConfig()
	cfg.Merge.Until, cfg.Retry.Durability = until, durability
	cfg.Merge.Interval = 10 * time.Second
	cfg.Merge.GiveUp = 672 * time.Hour
	cfg.Merge.Rewake = []time.Duration{time.Minute, 10 * time.Minute}
	cfg.Guard.Patience = time.Second
	m := &model{
		world: newWorld(t, cfg), rng: rand.New(rand.NewPCG(seed, 77)),
		events: make(map[int64]*modelEvent), gone: make(map[int64]event.Event), begun: make(map[string]int), told: make(map[*notice]int),
	}
	if guarded {
		m.guard = newGuard(GuardConfig{Count: 3, Ratio: 0.5, Settle: 2 * time.Second})
	}
	return m
}

func (m *model) run(steps int) string {
	for range steps {
		m.tick++
		m.step()
		m.hear()
		m.places = append(m.places, m.offers()...)
		if m.fault != "" {
			return m.fault
		}
	}
	m.rest()
	if m.fault == "" {
		m.check()
	}
	m.ledger.Close()
	return m.fault
}

// hear excuses what was read before the news that its token is dead was published: from then on it is the publisher's.
func (m *model) hear() {
	for _, n := range m.unacked {
		if n.wake == nil || m.told[n] > 0 {
			continue
		}
		m.told[n] = m.tick
		if f, err := event.DecodeFeedback(n.message.Value); err == nil && f.Outcome == event.TokenDead {
			m.excuse(func(e *modelEvent) bool { return e.device == f.Device && e.read > 0 && e.read <= m.tick })
		}
	}
}

// operate does what happens rarely: a lane crowds the window, its credential is replaced, its guard trips or is released.
func (m *model) operate() {
	all := func(*lane) bool { return true }
	switch n := m.rng.IntN(6); {
	case n < 3:
		for w := range m.core.holders.all {
			if m.rng.IntN(2) == 0 {
				m.core.makeWay(w, m.now)
			}
		}
		m.note("park what crowds")
	case n == 3:
		m.core.resume(all)
		m.note("replace the credentials")
	case m.guard == nil:
	case n == 4:
		m.guard.note(dead(1, 2, 3), m.now)
		m.note("trip the guard")
	default:
		m.guard.trust(m.now)
		m.core.absolve(m.now, m.rng.IntN(2) == 0, all)
		m.note("release the guard")
	}
	m.settleStep()
}

// note remembers what happened.
func (m *model) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf("%3d %5s ", m.tick, m.now.Sub(epoch).Round(time.Second))+fmt.Sprintf(format, args...))
}

func (m *model) step() {
	switch n := m.rng.IntN(100); {
	case n < 28:
		m.appendSome()
	case n < 40:
		m.readSome()
	case n < 62:
		m.beginSome()
	case n < 80:
		m.answerSome(m.randomResult())
	case n < 82:
		m.ack()
	case n < 84:
		m.operate()
	case n < 90:
		m.flushAll()
	case n < 91 && !m.core.adopted:
		m.adoptAll()
	case n < 96:
		m.advance(time.Duration(m.rng.IntN(8000)) * time.Millisecond)
	case n < 98:
		m.rebalance()
	default:
		if m.rng.IntN(2) == 0 {
			m.done = queue.At(m.done.Watermark) // the metadata was lost
		}
		if m.core.replicated() {
			m.publish(m.unacked[:m.rng.IntN(len(m.unacked)+1)]) // written, and nobody told
			if m.rng.IntN(2) == 0 {
				m.fs = vfs.NewMem() // the disk is lost too, or another machine goes on
				m.note("another machine")
			}
		}
		m.crash()
		m.note("crash, from offset %d, of which %d beyond are known to be done", m.done.Watermark, m.done.Beyond())
		m.places = nil
		clear(m.begun)
		for i := range m.kept {
			if !m.kept[i].flushed {
				m.kept[i].begun = 0 // pushd does not know of it any more
			}
		}
	}
}

func (m *model) device() string { return fmt.Sprint("d", m.rng.IntN(4)) }

func (m *model) appendSome() {
	offset := int64(len(m.log))
	e := event.Event{
		Tenant: "acme", Device: m.device(), Provider: providers.FCM, Token: fmt.Sprint("t", m.rng.IntN(2)),
		Priority: event.Priority(m.rng.IntN(3)), Time: m.now, ID: fmt.Sprint("e", offset),
	}
	switch n := m.rng.IntN(40); {
	case n == 0:
		e.Type = event.Forget
		m.excuse(func(o *modelEvent) bool { return o.device == e.Device })
	case n == 11: // of a while ago, as one that is replayed
		e.Type, e.Time = event.Forget, m.now.Add(-time.Duration(m.rng.IntN(20))*time.Second)
		m.excuse(func(o *modelEvent) bool { return o.device == e.Device && !o.at.After(e.Time) })
	case n < 6 && m.cfg.Merge.Until == UntilCheckin:
		e.Type = event.Checkin
		m.excuse(func(o *modelEvent) bool { return o.device == e.Device && o.at.Before(m.now) })
	case n == 7:
		m.append([]byte("acme/d1"), []byte("{"))
		return
	case n == 8 && offset > 0: // the publisher's retry of an earlier record
		first := int64(m.rng.IntN(int(offset)))
		m.log = append(m.log, m.log[first])
		m.log[offset].Offset = offset
		if e, ok := m.gone[first]; ok { // another machine does not know that it is a copy
			m.gone[offset] = e
			m.excuse(func(o *modelEvent) bool { return o.device == e.Device && !o.at.After(e.Time) })
		}
		if o := m.events[first]; o != nil && o.anonymous {
			m.events[offset] = &modelEvent{device: o.device, offset: offset, at: o.at, expires: o.expires, anonymous: true}
		}
		return
	case n == 9:
		e.Expires = m.now.Add(time.Duration(m.rng.IntN(20)) * time.Second)
	case n == 10:
		e.ID = ""
	}
	if e.Type == event.Wake {
		m.events[offset] = &modelEvent{device: e.Device, offset: offset, at: e.Time, expires: e.Expires, anonymous: e.ID == ""}
	}
	if e.Type == event.Forget {
		m.gone[offset] = e
	}
	m.note("append %d: %s %s to %s", offset, e.Type, e.Device, e.Token)
	m.event(e)
}

func (m *model) excuse(which func(*modelEvent) bool) {
	for _, e := range m.events {
		if which(e) {
			e.excused = true
		}
	}
}

func (m *model) readSome() {
	for i := m.next; i < len(m.log); i++ {
		if e := m.events[int64(i)]; e != nil {
			e.again = m.tick
			if e.read == 0 {
				e.read = m.tick
			}
		}
	}
	if m.next < len(m.log) {
		m.note("read %d to %d", m.next, len(m.log)-1)
	}
	m.read()
}

func (m *model) beginSome() {
	if len(m.places) == 0 {
		return
	}
	i := m.rng.IntN(len(m.places))
	wk := m.places[i]
	m.places = slices.Delete(m.places, i, i+1)
	if k := wk.offer.Load(); k != nil && k.expired(m.now) {
		if m.begin(wk) != nil {
			m.begun[wk.name] = m.tick
			m.answer(wk.name, providers.Result{Outcome: lapsed})
		}
		return
	}
	if m.begin(wk) == nil {
		return
	}
	m.begun[wk.name] = m.tick
	m.note("begin %s", wk.name)
	if m.cfg.Merge.Until == UntilInterval && !m.core.replicated() && !m.caused(wk.name) {
		m.fault = fmt.Sprintf("tick %d: a push to %s is begun, but every event of it was satisfied before", m.tick, wk.name)
	}
}

// caused says whether some event of the device still asks for a push: none begun after it was last read is known, durably,
// to be accepted.
func (m *model) caused(device string) bool {
	for _, e := range m.events {
		if e.device != device || e.read == 0 {
			continue
		}
		satisfied := slices.ContainsFunc(m.kept, func(a acceptance) bool {
			return a.device == device && a.begun > e.again && a.flushed
		})
		if !satisfied {
			return true
		}
	}
	return false
}

func (m *model) randomResult() providers.Result {
	switch n := m.rng.IntN(20); {
	case n < 11:
		return providers.Result{Outcome: providers.Accepted}
	case n < 13:
		return providers.Result{Outcome: providers.Again}
	case n < 15:
		return providers.Result{Outcome: providers.Later, Wait: time.Duration(m.rng.IntN(60)) * time.Second}
	case n < 16:
		return providers.Result{Outcome: providers.Refused}
	case n < 17:
		return providers.Result{Outcome: barred}
	case n < 18:
		return providers.Result{Outcome: providers.Rejected}
	default:
		return providers.Result{Outcome: providers.TokenDead}
	}
}

func (m *model) answerSome(r providers.Result) {
	var flying []string
	for device := range m.flying {
		flying = append(flying, device)
	}
	if len(flying) == 0 {
		return
	}
	slices.Sort(flying)
	m.answer(flying[m.rng.IntN(len(flying))], r)
}

func (m *model) answer(device string, r providers.Result) {
	begun := m.begun[device]
	m.note("answer %s: %v after %v", device, r.Outcome, r.Wait)
	switch r.Outcome {
	case providers.Accepted:
		// To the provider it is accepted, whatever the core makes of the answer; only when the core still had the
		// wake will it be in the ledger.
		m.kept = append(m.kept, acceptance{device: device, begun: begun})
	case providers.TokenDead, providers.Rejected, lapsed:
		if r.Outcome == providers.TokenDead && m.guard != nil {
			break // it is not believed yet: see hear
		}
		m.excuse(func(e *modelEvent) bool {
			return e.device == device && e.read > 0 && e.read < begun && (r.Outcome != lapsed || !e.expires.IsZero())
		})
	}
	before := m.core.books.strays
	m.result(device, r)
	if r.Outcome == providers.Accepted && m.core.books.strays > before {
		m.kept[len(m.kept)-1].begun = 0 // a stray counts for nothing
	}
}

func (m *model) flushAll() {
	m.flush()
	m.note("flush, commit %d", m.done.Watermark)
	for i := range m.kept {
		m.kept[i].flushed = m.kept[i].begun > 0
	}
}

func (m *model) rebalance() {
	m.core.release()
	if !m.core.drain() {
		if m.rng.IntN(2) == 0 {
			m.ack()
			for len(m.flying) > 0 {
				m.answerSome(m.randomResult())
			}
			m.core.drain()
			m.ack()
		}
		m.core.abandon()
		m.note("abandon")
		for device, wk := range m.flying {
			if m.core.wakes[wk.device] != wk {
				delete(m.flying, device) // its answer would be a stray
			}
		}
	}
	m.flushAll()
	m.core.endTenure()
	m.core.assign(queue.Assignment{From: m.done})
	m.next = int(m.done.Watermark)
}

// adoptAll is the end of the reading of the topic of parked wakes.
func (m *model) adoptAll() {
	if !m.core.replicated() || m.core.adopted {
		return
	}
	before := len(m.core.wakes)
	m.adopt()
	m.adopted += len(m.parked)
	m.joined += len(m.parked) - (len(m.core.wakes) - before)
	m.note("adopt %d parked wakes", len(m.parked))
}

// rest lets everything that is under way come to its end: answers are good, time passes.
func (m *model) rest() {
	m.adoptAll()
	for range 400 {
		m.tick++
		m.readSome()
		m.tick++
		m.places = append(m.places, m.offers()...)
		for len(m.places) > 0 {
			m.beginSome()
		}
		if m.fault != "" {
			return
		}
		for len(m.flying) > 0 {
			m.answerSome(providers.Result{Outcome: providers.Accepted})
		}
		m.guard.trust(m.now)
		m.core.absolve(m.now, false, func(*lane) bool { return true })
		m.hear()
		m.ack()
		m.flushAll()
		m.places = append(m.places, m.offers()...)
		if len(m.core.wakes) == 0 && m.next == len(m.log) && int(m.done.Watermark) == len(m.log) {
			return
		}
		m.advance(30 * time.Second)
		m.places = append(m.places, m.offers()...)
	}
	m.fault = fmt.Sprintf("it does not come to rest: committed %d of %d, wakes:\n%s", m.done.Watermark, len(m.log), m.describe())
}

// check is W.
func (m *model) check() {
	for _, e := range m.events {
		if e.excused || !e.expires.IsZero() {
			continue
		}
		kept := slices.ContainsFunc(m.kept, func(a acceptance) bool { return a.device == e.device && a.begun > e.read })
		if !kept {
			m.fault = fmt.Sprintf("W: event %d of %s, first read at tick %d, has no accepted push begun after it", e.offset, e.device, e.read)
			return
		}
	}
}
