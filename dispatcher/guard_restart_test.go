package dispatcher

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

// A guard is new after a restart, and hears of nothing but what was not settled before.
func TestAGuardThatIsNewJudgesAsTheOldOneDid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before  string // answers: a accepted, d dead
		tripped bool   // by those
		lost    int    // of the dead, which do not come back: settled, or with another machine
		after   string // in the next process
		ruling  ruling // of the next process, when what comes back was called dead again
		trips   bool
	}{
		"one of twenty is dead":             {before: strings.Repeat("aaaaaaaaaadaaaaaaaaa", 200)},
		"the same, and some were reported":  {before: strings.Repeat("aaaaaaaaaadaaaaaaaaa", 200), lost: 120},
		"two of five are dead":              {before: strings.Repeat("aadad", 100)},
		"all are dead, though few":          {before: strings.Repeat("d", 30), ruling: unproven},
		"and more are":                      {before: strings.Repeat("d", 30), after: strings.Repeat("d", 20), ruling: heldBack, trips: true},
		"all are dead after a healthy past": {before: strings.Repeat("a", 500) + strings.Repeat("d", 60), tripped: true, ruling: heldBack, trips: true},
		"it was tripped, and few come back": {before: strings.Repeat("d", 80), tripped: true, lost: 77, ruling: heldBack, trips: true},
		"it is well, as far as is known":    {before: "aaad", ruling: believed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := DefaultConfig().Guard
			var next store.Device
			play := func(g *guard, answers string) (suspects []*wake, tripped bool) {
				for _, a := range answers {
					next++
					r := providers.Result{Ref: &wake{device: next}, Outcome: providers.Accepted}
					if a == 'd' {
						r.Outcome = providers.TokenDead
						suspects = append(suspects, r.Ref.(*wake))
					}
					tripped = g.note([]providers.Result{r}, epoch) == trips || tripped
				}
				return suspects, tripped
			}
			old := newGuard(cfg)
			suspects, tripped := play(old, c.before)
			if tripped != c.tripped {
				t.Fatalf("the old guard is tripped: %v", tripped)
			}
			g := newGuard(cfg)
			trip := false
			for _, w := range suspects[c.lost:] {
				w.doubt.restored, w.doubt.heldBack = true, c.tripped
				trip = g.note([]providers.Result{{Ref: w, Outcome: providers.TokenDead}}, epoch) == trips || trip
			}
			_, more := play(g, c.after)
			if got := g.rule(epoch); got != c.ruling || (trip || more) != c.trips {
				t.Errorf("the ruling is %d, want %d; tripped: %v", got, c.ruling, trip || more)
			}
		})
	}
}

// fate is the place where a daemon's lives follow each other.
type fate struct {
	t       *testing.T
	fs      *vfs.MemFS
	topic   *parkedTopic // nil where retry.durability is local
	moves   bool         // each life is on another machine
	answer  func(*providers.Push) providers.Result
	from    queue.Progress // committed
	reports int            // tokens that were reported dead
}

// live lets a new process read all that is not committed of the first n events, for a time; then it is killed, and what
// was not synced is lost. It returns the guards that were tripped then.
func (f *fate) live(n int64, d time.Duration) []GuardState {
	f.t.Helper()
	cfg := localConfig()
	if f.topic != nil {
		cfg = DefaultConfig()
	}
	p := newPlantWith(f.t, f.fs, cfg, &provider{latency: 10 * time.Millisecond, answer: f.answer}, f.topic)
	o := p.resume(0, f.from)
	if err := o.Take(f.t.Context(), wakes(0, f.from.Watermark, n)); err != nil {
		f.t.Fatal(err)
	}
	pass(d)
	f.reports += p.deadTokens()
	f.from = *o.Progress()
	disk := f.fs.CrashClone(vfs.CrashCloneCfg{})
	if f.moves {
		disk = vfs.NewCrashableMem()
	}
	guards := p.engine.Guards()
	p.kafka.dies()
	p.stop()
	f.fs = disk
	return guards
}

// dies lets nothing reach Kafka any more.
func (k *kafka) dies() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down, k.parked = true, nil
}

// everywhere runs a test for each way in which a life can follow another.
func everywhere(t *testing.T, test func(t *testing.T, f *fate)) {
	for name, f := range map[string]fate{
		"local":                                 {},
		"replicated":                            {topic: newParkedTopic()},
		"replicated, another machine each time": {topic: newParkedTopic(), moves: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f.t, f.fs, f.from = t, vfs.NewCrashableMem(), queue.At(0)
				test(t, &f)
			})
		})
	}
}

func TestACrashLoopDoesNotTripTheGuardOfAHealthyCredential(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, f *fate) {
		f.answer = func(push *providers.Push) providers.Result {
			if strings.HasSuffix(push.Token, "7") { // a tenth
				return providers.Result{Outcome: providers.TokenDead, Status: 404, Reason: "UNREGISTERED"}
			}
			return providers.Result{Outcome: providers.Accepted}
		}
		for range 10 { // killed each time before the dead tokens have settled
			if guards := f.live(1000, time.Second); len(guards) > 0 {
				t.Fatalf("guards are tripped: %+v", guards)
			}
		}
		if f.reports != 0 {
			t.Fatalf("%d tokens were reported before they had settled", f.reports)
		}
		f.live(1000, 10*time.Second) // and no other event comes
		if f.reports != 100 {
			t.Errorf("%d of 100 tokens were reported dead", f.reports)
		}
	})
}

func TestACrashLoopDoesNotMakeAWrongCredentialBelieved(t *testing.T) {
	t.Parallel()
	for _, life := range []time.Duration{time.Second, 20 * time.Second} { // before the tokens settle, and after they are found unproven
		t.Run(fmt.Sprint(life), func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, f *fate) {
				f.answer = func(*providers.Push) providers.Result {
					return providers.Result{Outcome: providers.TokenDead, Status: 400, Reason: "BadDeviceToken"}
				}
				for n := int64(1); n <= 20; n++ {
					f.live(n*10, life) // each time too few are new to trip a guard
				}
				guards := f.live(200, 3*time.Hour)
				if f.reports != 0 || len(guards) != 1 {
					t.Errorf("%d tokens were reported dead; guards %+v", f.reports, guards)
				}
			})
		})
	}
}

func badToken(*providers.Push) providers.Result {
	return providers.Result{Outcome: providers.TokenDead, Status: 400, Reason: "BadDeviceToken"}
}

// heldBackElsewhere lets a machine's guard hold back 3 tokens of partition 1, among others of another. The owner knows how far
// that partition is done.
func heldBackElsewhere(t *testing.T, topic *parkedTopic) (few queue.Owner) {
	t.Helper()
	first := replicatedPlant(t, vfs.NewMem(), topic, &provider{answer: badToken})
	many, few := first.resume(0, queue.At(0)), first.resume(1, queue.At(0))
	if err := few.Take(t.Context(), wakes(1, 0, 3)); err != nil {
		t.Fatal(err)
	}
	pass(time.Minute) // so they are stored before the guard trips
	if err := many.Take(t.Context(), wakes(0, 0, 60)); err != nil {
		t.Fatal(err)
	}
	pass(time.Minute)
	first.stop()
	if n := first.deadTokens(); n != 0 {
		t.Fatalf("%d tokens were reported dead", n)
	}
	return few
}

// A machine may be given so few of the wakes that a guard held back elsewhere that they would not trip its own.
func TestFewSuspectsThatWereHeldBackStayHeldBackElsewhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		between func(*providers.Push) providers.Result // what a machine in between is answered
		late    bool                                   // the topic can be read only when events of the devices have come
	}{
		"at once":                          {},
		"after one that was asked to wait": {between: later},
		"though the same devices are asked for before": {late: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				topic := newParkedTopic()
				few := heldBackElsewhere(t, topic)
				if c.between != nil {
					between := replicatedPlant(t, vfs.NewMem(), topic, &provider{answer: c.between})
					between.resume(1, *few.Progress())
					pass(time.Minute)
					between.stop()
				}
				if c.late {
					topic.fail(context.DeadlineExceeded)
				}
				next := replicatedPlant(t, vfs.NewMem(), topic, &provider{answer: badToken})
				o := next.resume(1, *few.Progress())
				if c.late {
					if err := o.Take(t.Context(), askedAgain(1, 3)); err != nil {
						t.Fatal(err)
					}
					pass(time.Second)
					topic.fail(nil)
				}
				pass(3 * time.Hour)
				if n := next.deadTokens(); n != 0 || len(next.engine.Guards()) != 1 {
					t.Errorf("%d tokens were reported dead; guards %+v", n, next.engine.Guards())
				}
				o.Release(t.Context())
				next.stop()
			})
		})
	}
}

// askedAgain are the events that follow the first n wakes of a partition, of the same devices and tokens.
func askedAgain(partition int32, n int64) []queue.Record {
	again := wakes(partition, 0, n)
	for i := range again {
		_, device, _ := strings.Cut(string(again[i].Key), "/")
		again[i].Offset += n
		again[i].Key, again[i].Value = event.Encode(&event.Event{
			ID: "again-" + device, Tenant: "acme", Device: device, Provider: providers.FCM, Token: "token-" + device, Priority: event.Normal,
		})
	}
	return again
}

// Where the credential was put right, what was held back does not trip the guard again.
func TestAMendedCredentialIsBelievedThoughItsTokensWereHeldBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topic := newParkedTopic()
		few := heldBackElsewhere(t, topic)
		mended := replicatedPlant(t, vfs.NewMem(), topic, &provider{answer: func(p *providers.Push) providers.Result {
			if strings.HasSuffix(p.Token, "2") { // it is truly dead
				return badToken(p)
			}
			return providers.Result{Outcome: providers.Accepted}
		}})
		o := mended.resume(1, *few.Progress())
		pass(time.Hour)
		if mended.metric("pushd_wakes") != 0 || len(mended.engine.Guards()) != 0 || mended.deadTokens() != 1 {
			t.Errorf("%v wakes wait, %d tokens were reported dead; guards %+v", mended.metric("pushd_wakes"), mended.deadTokens(), mended.engine.Guards())
		}
		o.Release(t.Context())
		mended.stop()
	})
}
