package queue

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// patience is how long a test waits for what must happen.
const patience = 40 * time.Second

// witness sees all that happens to the owners of a test, and all that is logged.
type witness struct {
	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, when anything below changes
	records []Record      // in the order in which they were taken
	owners  []*windowOwner
	logs    []string
	paused  map[int32]bool // partitions whose owners take nothing
	holding map[int32]bool // partitions whose owners settle nothing
	refuse  error          // what the next Assign returns
	choke   error          // what the next Take returns
}

func newWitness() *witness {
	return &witness{changed: make(chan struct{}), paused: map[int32]bool{}, holding: map[int32]bool{}}
}

// update changes what the witness guards and wakes who waits for it.
func (w *witness) update(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	close(w.changed)
	w.changed = make(chan struct{})
}

// await waits until a condition on what the witness guards holds.
func (w *witness) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.until(ctx, holds); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		t.Fatalf("waited in vain until %s; %d records, %d assignments, log:\n%s", what, len(w.records), len(w.owners), strings.Join(w.logs, "\n"))
	}
}

func (w *witness) until(ctx context.Context, holds func() bool) error {
	for {
		w.mu.Lock()
		ok, changed := holds(), w.changed
		w.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// assign is what a test gives to a Consumer.
func (w *witness) assign(name string) func(context.Context, Assignment) (Owner, error) {
	return func(_ context.Context, a Assignment) (o Owner, err error) {
		w.update(func() {
			if err, w.refuse = w.refuse, nil; err != nil {
				return
			}
			owner := newWindowOwner(w, name, a)
			for _, other := range w.owners {
				if other.Partition == a.Partition && !other.released {
					w.logs = append(w.logs, fmt.Sprintf("VIOLATION: partition %d assigned to %s before %s released it", a.Partition, name, other.member))
				}
			}
			w.owners = append(w.owners, owner)
			o = owner
		})
		return o, err
	}
}

// violations returns what must not have happened.
func (w *witness) violations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.logs), func(line string) bool { return !strings.Contains(line, "VIOLATION") })
}

// current returns the owners that are not released, of one member, or of all where member is empty. w.mu is held.
func (w *witness) current(member string) (owners []*windowOwner) {
	for _, o := range w.owners {
		if !o.released && (member == "" || o.member == member) {
			owners = append(owners, o)
		}
	}
	return owners
}

// times returns how often each record was taken, by its value. w.mu is held.
func (w *witness) times() map[string]int {
	times := map[string]int{}
	for _, r := range w.records {
		times[string(r.Value)]++
	}
	return times
}

func (w *witness) logged(part string) bool {
	return slices.ContainsFunc(w.logs, func(line string) bool { return strings.Contains(line, part) })
}

func (w *witness) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(logWriter{w}, nil))
}

type logWriter struct{ w *witness }

func (l logWriter) Write(b []byte) (int, error) {
	l.w.update(func() { l.w.logs = append(l.w.logs, strings.TrimSpace(string(b))) })
	return len(b), nil
}

// windowOwner is the smallest honest Owner: it keeps a window and settles each record at once, unless it is told to
// hold them.
type windowOwner struct {
	Assignment
	w        *witness
	member   string
	window   *Window   // this and all below is guarded by w.mu
	progress *Progress // of the window
	open     []int64   // taken, not settled
	released bool
}

func newWindowOwner(w *witness, member string, a Assignment) *windowOwner {
	return &windowOwner{w: w, member: member, Assignment: a, window: NewWindow(a.From), progress: &a.From}
}

func (o *windowOwner) Take(ctx context.Context, batch []Record) error {
	last := batch[len(batch)-1].Offset
	if err := o.w.until(ctx, func() bool { return !o.w.paused[o.Partition] && o.window.Fits(last) }); err != nil {
		return err
	}
	var err error
	o.w.update(func() {
		if err, o.w.choke = o.w.choke, nil; err != nil {
			return
		}
		if o.released {
			o.w.logs = append(o.w.logs, fmt.Sprintf("VIOLATION: partition %d was taken after it was released", o.Partition))
		}
		for _, r := range batch {
			if o.window.Take(r.Offset) {
				continue
			}
			o.open = append(o.open, r.Offset)
			o.w.records = append(o.w.records, r)
		}
		if !o.w.holding[o.Partition] {
			o.settle()
		}
		o.moved()
	})
	return err
}

// settle ends all that is open; w.mu is held.
func (o *windowOwner) settle() { o.settleWhere(func(int64) bool { return true }) }

// settleWhere ends what is open of the offsets that which chooses; w.mu is held.
func (o *windowOwner) settleWhere(which func(offset int64) bool) {
	o.open = slices.DeleteFunc(o.open, func(offset int64) bool {
		if which(offset) {
			o.window.Done(offset)
			return true
		}
		return false
	})
	o.moved()
}

func (o *windowOwner) moved() {
	p := o.window.Progress()
	o.progress = &p
}

func (o *windowOwner) Release(ctx context.Context) {
	_ = o.w.until(ctx, func() bool { return len(o.open) == 0 }) // what is open then is left open
	o.w.update(func() { o.released = true })
}

func (o *windowOwner) Progress() *Progress {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	return o.progress
}

// member is a Consumer that runs.
type member struct {
	*Consumer
	reg  *prometheus.Registry
	stop func() // ends Run and waits for it
}

// run starts a Consumer; it is stopped at the end of the test at the latest.
func (w *witness) run(t *testing.T, name string, cfg Config) *member {
	t.Helper()
	cfg.ClientID = name
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	c, err := NewConsumer(cfg, w.assign(name), reg, w.logger().With("member", name))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	m := &member{Consumer: c, reg: reg, stop: sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run of %s: %v", name, err)
		}
	})}
	t.Cleanup(m.stop)
	return m
}

// metric returns the sum of a counter or gauge over its labels.
func metric(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
