package dispatcher

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
)

// parkedTopic is the topic of parked wakes, which outlives machines.
type parkedTopic struct {
	mu      sync.Mutex
	records map[string]queue.Record
	reads   int
	down    error // what Read says
}

func newParkedTopic() *parkedTopic { return &parkedTopic{records: map[string]queue.Record{}} }

func (p *parkedTopic) take(messages []queue.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range messages {
		switch {
		case m.Topic != "pushd.parked":
		case m.Value == nil:
			delete(p.records, string(m.Key))
		default:
			p.records[string(m.Key)] = queue.Record{Partition: *m.Partition, Key: m.Key, Value: m.Value}
		}
	}
}

func (p *parkedTopic) Read(_ context.Context, partition int32) (all []queue.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	for _, r := range p.records {
		if r.Partition == partition {
			all = append(all, r)
		}
	}
	return all, p.down
}

// fail says what Read says from now on.
func (p *parkedTopic) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = err
}

func (p *parkedTopic) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.records)
}

// later answers that the provider wants an hour's peace.
func later(*providers.Push) providers.Result {
	return providers.Result{Outcome: providers.Later, Wait: time.Hour}
}

// replicatedPlant is an engine whose parked wakes are in the topic.
func replicatedPlant(t *testing.T, fs vfs.FS, topic *parkedTopic, p *provider) *plant {
	t.Helper()
	return newPlantWith(t, fs, DefaultConfig(), p, topic)
}

// resume assigns a partition in which the group has committed.
func (p *plant) resume(partition int32, from queue.Progress) queue.Owner {
	p.t.Helper()
	o, err := p.engine.Assign(context.Background(), queue.Assignment{Partition: partition, Topic: queue.TopicID{1, 2, 3}, From: from, Committed: true})
	if err != nil {
		p.t.Fatal(err)
	}
	return o
}

// parks takes n wakes, all of which are told to wait for long.
func (p *plant) parks(o queue.Owner, partition int32, n int64) {
	p.t.Helper()
	if err := o.Take(p.t.Context(), wakes(partition, 0, n)); err != nil {
		p.t.Fatal(err)
	}
	pass(time.Second)
	if mark := o.Progress().Watermark; mark != n {
		p.t.Fatalf("the watermark is %d: the %d wakes are not parked", mark, n)
	}
	p.balanced()
}

func TestParkedWakesOutliveTheMachineThatParkedThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topic := newParkedTopic()
		first := replicatedPlant(t, vfs.NewMem(), topic, &provider{answer: later})
		o := first.resume(7, queue.At(0))
		first.parks(o, 7, 50)
		if topic.size() != 50 {
			t.Fatalf("%d wakes are in the topic", topic.size())
		}
		first.stop() // without a release, and its disk is never seen again

		second := replicatedPlant(t, vfs.NewMem(), topic, &provider{})
		o = second.resume(7, *o.Progress())
		pass(time.Second)
		if n := len(second.provider.times); n != 0 || second.metric("pushd_retry_queue_entries") != 50 {
			t.Fatalf("%d of 50 wakes were sent before they were due, %v wait", n, second.metric("pushd_retry_queue_entries"))
		}
		pass(3 * time.Hour)
		if n := len(second.provider.times); n != 50 || topic.size() != 0 {
			t.Errorf("%d of 50 parked wakes were sent, %d are in the topic", n, topic.size())
		}
		second.balanced()
		o.Release(t.Context())
		second.stop()
	})
}

func TestPartitionsThatMoveTakeTheirParkedWakesAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topic := newParkedTopic()
		a := replicatedPlant(t, vfs.NewMem(), topic, &provider{answer: later})
		b := replicatedPlant(t, vfs.NewMem(), topic, &provider{answer: later})
		o := a.resume(0, queue.At(0))
		a.parks(o, 0, 20)
		for _, next := range []*plant{b, a, b} {
			o.Release(t.Context())
			o = next.resume(0, *o.Progress())
			pass(time.Second)
			if got := next.metric("pushd_retry_queue_entries"); got != 20 {
				t.Fatalf("%v wakes wait with the new owner, want 20", got)
			}
			a.balanced()
			b.balanced()
		}
		b.provider.accept()
		pass(3 * time.Hour)
		pushes := 0
		for _, p := range []*plant{a, b} {
			for _, n := range p.provider.times {
				pushes += n
			}
		}
		if pushes != 40 || topic.size() != 0 {
			t.Errorf("%d pushes, want 20 that were told to wait and 20 that were accepted; %d are in the topic", pushes, topic.size())
		}
		o.Release(t.Context())
		a.stop()
		b.stop()
	})
}

func TestWhileTheParkedTopicIsDownOffsetsAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topic := newParkedTopic()
		p := replicatedPlant(t, vfs.NewMem(), topic, &provider{answer: later})
		o := p.resume(0, queue.At(0))
		pass(time.Second)
		p.kafka.down = true
		if err := o.Take(t.Context(), wakes(0, 0, 10)); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if mark, beyond := o.Progress().Watermark, o.Progress().Beyond(); mark != 0 || beyond != 0 {
			t.Errorf("watermark %d and %d beyond it while no record was acknowledged", mark, beyond)
		}
		p.kafka.recover()
		pass(time.Second)
		if mark := o.Progress().Watermark; mark != 10 {
			t.Errorf("the watermark is %d after the topic is back", mark)
		}
		p.balanced()
		o.Release(t.Context())
		p.stop()
	})
}

func TestNothingIsParkedBeforeTheTopicWasRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topic := newParkedTopic()
		topic.down = context.DeadlineExceeded
		calls := 0
		p := replicatedPlant(t, vfs.NewMem(), topic, &provider{answer: func(push *providers.Push) providers.Result {
			if calls++; calls > 5 {
				return providers.Result{Outcome: providers.Accepted}
			}
			return later(push)
		}})
		o := p.resume(0, queue.At(0))
		if err := o.Take(t.Context(), wakes(0, 0, 10)); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if done := o.Progress().Watermark + int64(o.Progress().Beyond()); done != 5 || topic.size() != 0 || topic.reads < 10 {
			t.Errorf("%d of 5 accepted wakes are done, %d records written, the topic was read %d times", done, topic.size(), topic.reads)
		}
		topic.fail(nil)
		pass(5 * time.Second)
		if mark := o.Progress().Watermark; mark != 10 || topic.size() != 5 {
			t.Errorf("watermark %d, %d records", mark, topic.size())
		}
		p.balanced()
		o.Release(t.Context())
		p.stop()
	})
}

func TestARecordThatCannotBeReadIsCountedAndStopsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		topic := newParkedTopic()
		first := replicatedPlant(t, vfs.NewMem(), topic, &provider{answer: later})
		o := first.resume(0, queue.At(0))
		first.parks(o, 0, 10)
		first.stop()
		for key, r := range topic.records {
			r.Value = append([]byte(nil), r.Value...)
			r.Value[len(r.Value)/2] ^= 1
			topic.records[key] = r
			break
		}
		topic.records["x"] = queue.Record{Key: []byte("no position"), Value: []byte("no wake")}
		second := replicatedPlant(t, vfs.NewMem(), topic, &provider{})
		o = second.resume(0, *o.Progress())
		pass(3 * time.Hour)
		if n := len(second.provider.times); n != 9 || second.counter("pushd_parked_records_damaged_total") != 2 {
			t.Errorf("%d of 9 whole wakes were sent; damaged: %v", n, second.counter("pushd_parked_records_damaged_total"))
		}
		second.balanced()
		o.Release(t.Context())
		second.stop()
	})
}

func TestWakesThatALedgerHasMoveToTheTopic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs, topic := vfs.NewMem(), newParkedTopic()
		before := newPlant(t, fs, localConfig(), &provider{answer: later})
		o := before.assign(3, 0)
		before.parks(o, 3, 30)
		before.stop()

		after := replicatedPlant(t, fs, topic, &provider{})
		if left, err := after.ledger.Partitions(); err != nil || len(left) != 0 || topic.size() != 30 {
			t.Fatalf("partitions %v are left in the ledger (%v), %d wakes are in the topic", left, err, topic.size())
		}
		o = after.resume(3, *o.Progress())
		pass(3 * time.Hour)
		if n := len(after.provider.times); n != 30 || topic.size() != 0 {
			t.Errorf("%d of 30 wakes were sent, %d are in the topic", n, topic.size())
		}
		after.balanced()
		o.Release(t.Context())
		after.stop()
	})
}

// In local mode the loss of a ledger is the loss of what waited in it. That is counted.
func TestALedgerThatIsLostIsAlarmedWhereItHadTheWakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		first := newPlant(t, fs, localConfig(), &provider{answer: later})
		o := first.assign(0, 0)
		first.parks(o, 0, 10)
		mark := *o.Progress()
		first.stop()
		for _, c := range []struct {
			name  string
			fs    vfs.FS
			sent  int
			blank float64
		}{{"kept", fs, 10, 0}, {"lost", vfs.NewMem(), 0, 1}} {
			again := newPlant(t, c.fs, localConfig(), &provider{})
			o := again.resume(0, mark)
			pass(3 * time.Hour)
			if got := again.metric("pushd_ledger_blank_partitions"); got != c.blank || len(again.provider.times) != c.sent {
				t.Errorf("%s: the metric says %v, %d wakes were sent", c.name, got, len(again.provider.times))
			}
			o.Release(t.Context())
			again.stop()
		}
	})
}

func TestARecordOfAParkedWakeIsRefusedUnlessItIsWhole(t *testing.T) {
	t.Parallel()
	whole := sampleWake().record()
	if p, err := openRecord(whole); err != nil || p.Device != "device" || p.Events != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	for i := range whole {
		flipped := append([]byte(nil), whole...)
		flipped[i] ^= 0x10
		if _, err := openRecord(flipped); err == nil {
			t.Fatalf("byte %d is flipped, and it is read", i)
		}
		if _, err := openRecord(whole[:i]); err == nil {
			t.Fatalf("it is cut to %d bytes, and is read", i)
		}
	}
}

func sampleWake() *wake {
	return &wake{
		tenant: "acme", name: "device", state: waiting, parked: 2, due: epoch.Add(time.Hour), since: epoch,
		content: &content{lane: &lane{provider: providers.APNs}, token: "aa01", pushMagic: "magic", priority: event.Bulk, read: epoch, id: "e1"},
	}
}

// FuzzParkedRecord: a record that is taken can be stored and taken again, and is the same.
func FuzzParkedRecord(f *testing.F) {
	whole := sampleWake().record()
	f.Add(whole)
	f.Add(whole[:4])
	f.Add([]byte{})
	f.Add([]byte(`{"v":1,"tenant":"a","device":"d","token":"t","provider":"fcm","events":-1}`))
	f.Add([]byte(`{"v":1,"tenant":"a","device":"d","token":"t","provider":"fcm","state":"owing","due":"9999-12-31T23:59:59Z"}`))
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(strings.Repeat("[", 1000)))
	w := newWorld(f, DefaultConfig())
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, v := range [][]byte{value, sealRecord(value)} { // most of what is tried has a wrong sum
			p, err := openRecord(v)
			if err != nil {
				continue
			}
			wk := w.core.revive(1, &p, w.orphan, epoch)
			again, err := openRecord(wk.record())
			if err != nil || fmt.Sprint(again.Tenant, again.Device, again.Token, again.Events, again.Payload) != fmt.Sprint(p.Tenant, p.Device, p.Token, p.Events, p.Payload) {
				t.Fatalf("%+v is stored as %+v: %v", p, again, err)
			}
		}
	})
}

// TestAFoundTokenIsNotDeadForAnOlderOne: an event that is replayed names a token that has died since; the topic has the wake
// of the token that came after it. What the provider says of the one is not reported of the other.
func TestAFoundTokenIsNotDeadForAnOlderOne(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	w := newWorld(t, cfg)
	w.guard = newGuard(cfg.Guard)
	wake := func(id, token string, at time.Time) {
		w.event(event.Event{
			Type: event.Wake, Tenant: "acme", Device: "d1", Provider: providers.FCM, ID: id, Token: token, Time: at, TokenRegisteredAt: at,
		})
		w.read()
	}
	push := func(want string, r providers.Result) {
		t.Helper()
		offers := w.offers()
		if len(offers) != 1 {
			t.Fatalf("%d wakes are offered", len(offers))
		}
		if k := w.begin(offers[0]); k == nil || k.token != want {
			t.Fatalf("the push is %+v, not to the token %q", k, want)
		}
		w.result("d1", r)
	}
	w.adopt()
	wake("e0", "new", w.now)
	push("new", providers.Result{Outcome: providers.Later, Wait: time.Hour})
	w.flush()
	w.ack()
	w.flush()
	if len(w.parked) != 1 || w.done.Watermark != 1 {
		t.Fatalf("%d wakes are in the topic, %d events done", len(w.parked), w.done.Watermark)
	}
	w.fs = vfs.NewMem() // another machine goes on
	w.crash()
	wake("e1", "old", w.now.Add(-time.Hour))
	push("old", providers.Result{Outcome: providers.TokenDead})
	w.adopt()
	w.advance(cfg.Guard.Patience)
	push("new", providers.Result{Outcome: providers.Accepted})
	for _, n := range w.unacked {
		if n.message.Topic == "pushd.feedback" {
			t.Errorf("it is reported: %s", n.message.Value)
		}
	}
}
