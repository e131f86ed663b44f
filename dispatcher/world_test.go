package dispatcher

import (
	"fmt"
	"log/slog"
	"maps"
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
	"pushd/store"
)

// world drives one core by hand: it is the log, the lane, the publisher and the flusher, all with a real ledger in
// memory. Nothing in it moves by itself.
type world struct {
	t       testing.TB
	cfg     Config
	fs      vfs.FS
	ledger  *store.Ledger
	core    *core
	now     time.Time
	lanes   map[[2]string]*lane
	guard   *guard         // of every lane; nil where there is none
	log     []queue.Record // the partition, from offset 0
	next    int            // the next record to be read
	done    queue.Progress // as committed
	flying  map[string]*wake
	unacked []*notice
	sum     books             // of the cores before the last crash or stop
	parked  map[string][]byte // the topic of parked wakes, by key
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, cfg Config) *world {
	t.Helper()
	w := &world{t: t, cfg: cfg, fs: vfs.NewMem(), now: epoch, lanes: map[[2]string]*lane{}, flying: map[string]*wake{}, parked: map[string][]byte{}}
	w.open()
	return w
}

// open opens the ledger and begins a tenure at the committed offset.
func (w *world) open() {
	w.t.Helper()
	ledger, err := store.Open(store.Config{
		Dir: "ledger", FS: w.fs, DedupeWindow: w.cfg.Dedupe.Window, DedupeMaxEntries: w.cfg.Dedupe.MaxEntries,
		MergeInterval: w.cfg.Merge.Interval, Tombstones: 720 * time.Hour, MemTableMB: 1, CacheMB: 1,
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	w.ledger = ledger
	w.t.Cleanup(func() { w.ledger.Close() })
	budget := new(atomic.Int64)
	budget.Store(int64(w.cfg.Merge.MaxWaiting))
	owing := new(atomic.Int64)
	owing.Store(int64(w.cfg.Merge.MaxWaiting))
	restored, err := ledger.Partition(0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.core = newCore(Env{
		Config: w.cfg, Topic: "pushd.checkin", Topics: Topics{Feedback: "pushd.feedback", Dead: "pushd.dead", Parked: "pushd.parked"},
		Identify: Identify{Device: ledger.Device, EventID: ledger.EventID, OffsetID: ledger.OffsetID, Token: ledger.Token, TokenHash: ledger.TokenHash},
		Route:    w.route, Rand: rand.New(rand.NewPCG(1, 2)), Budget: budget, Owing: owing,
	}, 0, restored)
	if err := w.core.restore(restored.Waiting, w.orphan, w.now); err != nil {
		w.t.Fatal(err)
	}
	w.core.assign(queue.Assignment{From: w.done})
	w.next = int(w.done.Watermark)
}

func (w *world) route(tenant, provider string) *lane {
	if tenant == "nobody" {
		return nil
	}
	return w.orphan(tenant, provider)
}

func (w *world) orphan(tenant, provider string) *lane {
	key := [2]string{tenant, provider}
	if w.lanes[key] == nil {
		w.lanes[key] = &lane{tenant: tenant, provider: provider, guard: w.guard}
	}
	return w.lanes[key]
}

// append puts a record into the log.
func (w *world) append(key, value []byte) {
	w.log = append(w.log, queue.Record{Offset: int64(len(w.log)), Key: key, Value: value, Time: w.now})
}

func (w *world) event(e event.Event) {
	key, value := event.Encode(&e)
	w.append(key, value)
}

// read lets the core read what the log has.
func (w *world) read() {
	batch := w.log[w.next:]
	w.next = len(w.log)
	w.core.take(queue.Reread(batch...), w.now)
	w.settleStep()
}

func (w *world) settleStep() {
	w.t.Helper()
	w.unacked = append(w.unacked, w.core.out.notices...)
	w.core.out.notices = nil
	if fault := audit(w.core); fault != "" {
		w.t.Fatal(fault)
	}
}

// audit compares a core's books and its holders with its wakes; empty is no fault.
func audit(c *core) string {
	if n := c.books.imbalance(); n != 0 {
		return fmt.Sprintf("I7: the books are out of balance by %d: %+v", n, c.books)
	}
	counted := [states]int64{}
	var dirty int64
	for wk := range c.holders.all {
		if len(wk.taken) == 0 || c.wakes[wk.device] != wk {
			return wk.name + " is among the holders and holds nothing"
		}
	}
	for _, wk := range c.wakes {
		counted[wk.state] += int64(wk.events())
		dirty += int64(len(wk.dirtyTaken) + wk.dirtyCopy.events)
		if len(wk.taken) > 0 && wk.older == nil && c.holders.oldest != wk {
			return wk.name + " holds offsets and is not among the holders"
		}
	}
	for n := range c.notices {
		if n.dead != nil {
			counted[reporting]++
		}
	}
	if counted != c.books.open || dirty != c.books.dirty {
		return fmt.Sprintf("I7: the books say open %v dirty %d, the wakes %v dirty %d", c.books.open, c.books.dirty, counted, dirty)
	}
	return ""
}

// offers takes what the core offered since the last call.
func (w *world) offers() []*wake {
	offers := slices.Clone(w.core.out.offers)
	w.core.out.offers = w.core.out.offers[:0]
	return offers
}

// begin claims a wake as its lane would; nil where there is nothing to claim.
func (w *world) begin(wk *wake) *content {
	for _, l := range w.lanes {
		if k := l.claim(wk); k != nil {
			if w.flying[wk.name] != nil {
				w.t.Fatalf("I5: a second push of %s is in flight", wk.name)
			}
			w.flying[wk.name] = wk
			return k
		}
	}
	return nil
}

// result answers the push of a device.
func (w *world) result(device string, r providers.Result) {
	wk := w.flying[device]
	if wk == nil {
		w.t.Fatalf("no push of %s is in flight", device)
	}
	delete(w.flying, device)
	r.Ref = wk
	w.core.answered([]providers.Result{r}, w.now)
	w.settleStep()
}

// ack acknowledges everything published.
func (w *world) ack() []*notice {
	acked := w.unacked
	w.unacked = nil
	w.publish(acked)
	w.core.acknowledged(acked, w.now)
	w.settleStep()
	return acked
}

// publish is what the broker does with what is meant for the topic of parked wakes.
func (w *world) publish(notices []*notice) {
	for _, n := range notices {
		switch m := n.message; {
		case m.Topic != "pushd.parked":
		case m.Value == nil:
			delete(w.parked, string(m.Key))
		default:
			w.parked[string(m.Key)] = m.Value
		}
	}
}

// adopt gives the core what the topic of parked wakes has.
func (w *world) adopt() {
	w.t.Helper()
	var all []Stored
	for _, key := range slices.Sorted(maps.Keys(w.parked)) {
		at, err := queue.ParsePosition(key)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, Stored{at, w.parked[key]})
	}
	if faults := w.core.adopt(all, w.orphan, w.now); len(faults) > 0 {
		w.t.Fatal(faults)
	}
	w.core.adoptedAll()
	w.settleStep()
}

// flush writes what the core has, and commits.
func (w *world) flush() store.Flush {
	w.t.Helper()
	f, done := w.core.flush()
	if err := w.ledger.Write([]store.Flush{f}); err != nil {
		w.t.Fatal(err)
	}
	w.core.durable(done, w.now)
	w.settleStep()
	if w.core.window != nil {
		done := w.core.window.Progress()
		if done.Watermark < w.done.Watermark {
			w.t.Fatalf("I1: the watermark went back from %d to %d", w.done.Watermark, done.Watermark)
		}
		w.done = done
	}
	return f
}

// advance lets time pass.
func (w *world) advance(d time.Duration) {
	w.now = w.now.Add(d)
	w.core.tick(w.now)
	w.settleStep()
}

// crash loses everything that is not in the ledger or committed, and starts again.
func (w *world) crash() {
	w.sum.add(&w.core.books)
	w.ledger.Close()
	w.flying, w.unacked = map[string]*wake{}, nil
	w.open()
}

// describe is the wakes of the core, for scripts.
func (w *world) describe() string {
	var lines []string
	for _, wk := range w.core.wakes {
		line := fmt.Sprintf("%s %s", wk.name, wk.state)
		if wk.begun() {
			line = fmt.Sprintf("%s begun", wk.name)
		}
		if wk.moot {
			line += " moot"
		}
		if n := wk.events(); n > 0 {
			line += fmt.Sprintf(" events=%d", n)
		}
		if len(wk.dirtyTaken) > 0 {
			line += fmt.Sprintf(" dirty=%d", len(wk.dirtyTaken))
		}
		if wk.durable {
			line += " parked"
		}
		if wk.heapAt >= 0 {
			line += fmt.Sprintf(" due=%s", wk.due.Sub(epoch).Round(time.Second))
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// localConfig is a configuration with which the ledger has what is parked.
func localConfig() Config {
	cfg := DefaultConfig()
	cfg.Retry.Durability = Local
	return cfg
}
