package store

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func indexConfig(window, interval time.Duration, entries int) Config {
	cfg := DefaultConfig()
	cfg.DedupeWindow, cfg.MergeInterval, cfg.DedupeMaxEntries = window, interval, entries
	return cfg
}

func newTestDedupe(cfg Config) *dedupe {
	return newDedupe(cfg, time.Time{}, prometheus.NewCounter(prometheus.CounterOpts{Name: "evicted"}))
}

type eventOf struct {
	d Device
	e EventID
}

// modelIndex is what an index must remember, in maps.
type modelIndex struct {
	cfg   Config
	seen  map[eventOf]time.Time
	rests map[Device]time.Time
}

// check compares one device and event with the model. Between the window and one bucket more both answers are right.
func (m *modelIndex) check(t *testing.T, x *Index, k eventOf, now time.Time) {
	t.Helper()
	at, known := m.seen[k]
	seen, age := x.Seen(k.d, k.e, now), now.Sub(at)
	if known && age <= m.cfg.DedupeWindow && !seen {
		t.Fatalf("event %v was seen %v ago and is forgotten", k, age)
	}
	if seen && (!known || age > m.cfg.DedupeWindow+m.cfg.Bucket()) {
		t.Fatalf("event %v was seen %v ago (ever: %v) and counts as seen", k, age, known)
	}
	at, known = m.rests[k.d]
	got, rests := x.RestedAt(k.d, now)
	age = now.Sub(at)
	switch {
	case known && age < m.cfg.MergeInterval && !rests:
		t.Fatalf("device %d rests since %v and is said not to", k.d, age)
	case rests && (!known || age >= m.cfg.MergeInterval+restUnit):
		t.Fatalf("device %d is said to rest, since %v (ever: %v)", k.d, age, known)
	case rests && (got.Before(at) || got.Sub(at) >= restUnit):
		t.Fatalf("device %d rests since %v, not %v", k.d, at, got)
	}
}

func TestAnIndexRemembersWhatAModelDoes(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		indexConfig(10*time.Minute, 30*time.Second, 1<<40),
		indexConfig(time.Second, 24*time.Hour, 1<<40),
		indexConfig(100*time.Second, 50*time.Millisecond, 1<<40),
		indexConfig(24*time.Hour, time.Hour, 1<<40),
	} {
		t.Run(cfg.DedupeWindow.String(), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, uint64(cfg.DedupeWindow)))
			m := &modelIndex{cfg, map[eventOf]time.Time{}, map[Device]time.Time{}}
			d := newTestDedupe(cfg)
			x, other := newIndex(cfg, d), newIndex(cfg, d)
			now := epoch.Add(7 * time.Nanosecond)
			turn := d.bucket * 256           // of the circle of event buckets
			restTurn := restUnit * (1 << 32) // of the circle of rests
			steps := []time.Duration{0, time.Nanosecond, 9 * time.Millisecond, d.bucket / 3, d.bucket,
				cfg.DedupeWindow / 2, cfg.DedupeWindow, cfg.MergeInterval / 2, cfg.MergeInterval, turn / 4, turn, restTurn}
			weights := []int{300, 300, 300, 60, 20, 10, 5, 10, 5, 1, 1, 1}
			for range 100_000 {
				k := eventOf{Device(random.Uint64N(60)), EventID(1 + random.Uint64N(6))}
				switch random.IntN(8) {
				case 0, 1:
					m.check(t, x, k, now)
					if seen := x.Seen(k.d, k.e, now); x.See(k.d, k.e, now) != seen {
						t.Fatalf("event %v: See says %v, Seen said %v", k, !seen, seen)
					} else if !seen {
						m.seen[k] = now
					}
				case 2:
					x.Unsee(k.d, k.e)
					delete(m.seen, k)
				case 3:
					x.Rest(k.d, now)
					m.rests[k.d] = now
				case 4:
					if random.IntN(3) == 0 {
						x.Forget(k.d)
						delete(m.rests, k.d)
					}
				case 5:
					other.See(k.d+1000, k.e, now) // moves the common time
				case 6:
					n := random.IntN(1013)
					for i, w := range weights {
						if n -= w; n < 0 {
							now = now.Add(steps[i])
							break
						}
					}
				}
				m.check(t, x, k, now)
			}
		})
	}
}

func TestAnIndexOfManyDevicesGrowsExpiresAndKeepsItsCount(t *testing.T) {
	t.Parallel()
	cfg := indexConfig(time.Minute, time.Minute, 1<<40)
	d := newTestDedupe(cfg)
	x := newIndex(cfg, d)
	now := epoch
	const perRound = 40_000
	largest := 0
	for round := range 12 {
		base := uint64(round * perRound)
		for i := range uint64(perRound) {
			x.See(Device(base+i), EventID(mix(base+i+1)), now)
			x.Rest(Device(base+i), now)
		}
		for i := range uint64(perRound) {
			if !x.Seen(Device(base+i), EventID(mix(base+i+1)), now) {
				t.Fatalf("event %d of round %d is forgotten", i, round)
			}
			if _, rests := x.RestedAt(Device(base+i), now); !rests {
				t.Fatalf("device %d of round %d does not rest", i, round)
			}
			if x.Seen(Device(base+i), EventID(mix(base+i+2)), now) {
				t.Fatalf("an event of another device counts as seen")
			}
		}
		largest = max(largest, x.Bytes())
		now = now.Add(20 * time.Second)
	}
	// Four rounds are alive at most, and a quarter of the places more may be taken by what expired.
	if devices, events := x.Len(); devices > 6*perRound || events > 6*perRound || devices < 3*perRound {
		t.Errorf("%d devices and %d events have places, of %d that are alive", devices, events, 4*perRound)
	}
	if bytes := 4 * perRound * 64; largest > bytes {
		t.Errorf("%d bytes for four rounds of %d devices; want at most %d", largest, perRound, bytes)
	}
	if n := d.entries(); n < 3*perRound || n > 4*perRound {
		t.Errorf("%d entries counted, of three to four rounds of %d", n, perRound)
	}
	used := 0
	for i := range x.events.segments {
		used += x.events.segments[i].used
	}
	if used != x.events.used {
		t.Errorf("the table counts %d places, its segments %d", x.events.used, used)
	}
}

func TestWhereThereAreTooManyEventIDsTheOldestGoEarlyInAllIndexes(t *testing.T) {
	t.Parallel()
	cfg := indexConfig(160*time.Second, time.Second, 10_000)
	d := newTestDedupe(cfg)
	old, busy := newIndex(cfg, d), newIndex(cfg, d)
	for i := range EventID(4000) {
		old.See(1, i+1, epoch)
	}
	later := epoch.Add(60 * time.Second)
	for i := range EventID(5000) {
		busy.See(2, i+1, later)
	}
	if !old.Seen(1, 1, later) || counted(t, d.evicted) != 0 {
		t.Fatal("an event went before there were too many")
	}
	for i := range EventID(2000) {
		busy.See(3, i+1, later)
	}
	if old.Seen(1, 1, later) || old.Seen(1, 4000, later) {
		t.Error("there are too many events, and the oldest are still there")
	}
	if !busy.Seen(2, 1, later) || !busy.Seen(3, 2000, later) {
		t.Error("newer events went too")
	}
	if n := counted(t, d.evicted); n != 4000 {
		t.Errorf("%v events are counted as evicted; want 4000", n)
	}
	if n := d.entries(); n != 7000 {
		t.Errorf("%d entries; want 7000", n)
	}

	// One bucket alone is too much: nothing is remembered until the next.
	for i := range EventID(5000) {
		busy.See(4, i+1, later)
	}
	if busy.Seen(2, 1, later) || busy.Seen(4, 5000, later) || d.entries() > 10_000 {
		t.Error("the memory has no bound")
	}
	next := later.Add(d.bucket)
	busy.See(5, 1, next)
	if !busy.Seen(5, 1, next) {
		t.Error("the next bucket remembers nothing either")
	}
}

func TestAnEventThatIsNoneIsNeverSeen(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	x := newIndex(cfg, newTestDedupe(cfg))
	x.See(1, 0, epoch)
	x.Unsee(1, 0)
	if x.Seen(1, 0, epoch) {
		t.Error("event 0 was seen")
	}
}

func TestARestIsTheNewestAndNoneWithoutAnInterval(t *testing.T) {
	t.Parallel()
	cfg := indexConfig(time.Minute, time.Minute, 1000)
	x := newIndex(cfg, newTestDedupe(cfg))
	x.Rest(1, epoch.Add(time.Second))
	x.Rest(1, epoch)
	if at, _ := x.RestedAt(1, epoch.Add(2*time.Second)); !at.Equal(epoch.Add(time.Second)) {
		t.Errorf("the device rests since %v", at)
	}
	if _, rests := x.RestedAt(1, epoch.Add(-time.Hour)); rests {
		t.Error("a device rests from a time far ahead of the clock")
	}
	cfg.MergeInterval = 0
	x = newIndex(cfg, newTestDedupe(cfg))
	x.Rest(1, epoch)
	if _, rests := x.RestedAt(1, epoch); rests {
		t.Error("a device rests though there is no interval")
	}
}

func TestADeadTokenIsRememberedForItsTimeAndThenDropped(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Tombstones = 48 * time.Hour
	x := newIndex(cfg, newTestDedupe(cfg))
	x.See(1, 1, epoch)
	longAgo := epoch.Add(-1000 * time.Hour) // what a provider may say of a token
	x.Bury(7, longAgo)
	x.Bury(8, longAgo)
	x.Bury(8, longAgo.Add(time.Hour))
	x.Bury(8, longAgo)
	if since, dead := x.DeadSince(7); !dead || !since.Equal(longAgo) {
		t.Errorf("token 7 is dead since %v, %v", since, dead)
	}
	if since, _ := x.DeadSince(8); !since.Equal(longAgo.Add(time.Hour)) {
		t.Errorf("token 8 is dead since %v, which is not the newest", since)
	}
	if _, dead := x.DeadSince(9); dead {
		t.Error("token 9 is dead")
	}
	x.See(1, 2, epoch.Add(48*time.Hour))
	if _, dead := x.DeadSince(7); !dead {
		t.Error("token 7 is forgotten early")
	}
	x.See(1, 3, epoch.Add(72*time.Hour))
	if _, dead := x.DeadSince(7); dead {
		t.Error("token 7 is not forgotten")
	}
	x.Bury(9, epoch)
	if len(x.graves) != 1 {
		t.Errorf("%d tokens take memory; want 1", len(x.graves))
	}
}

func TestAKnownDeviceTakesAtMost64BytesWithAnEventID(t *testing.T) {
	// Not parallel: it measures the heap.
	const n = 200_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := fill(n, epoch)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := float64(after.HeapInuse-before.HeapInuse) / n; per > 64 {
		t.Errorf("%.1f bytes per device", per)
	}
	runtime.KeepAlive(x)
}
