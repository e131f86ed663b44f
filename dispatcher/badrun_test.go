package dispatcher

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pushd/queue"
	"pushd/queue/event"
)

func TestARunOfNothingButBadRecordsStopsThePartitionUntilToldToProceed(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]func(offset int64) queue.Record{
		"no events": func(offset int64) queue.Record {
			return queue.Record{Offset: offset, Key: []byte("acme/d"), Value: []byte("{")}
		},
		"unknown tenants": func(offset int64) queue.Record { return tenantWake("nobody", offset, event.Normal) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := localConfig()
				cfg.DeadLetters.StopCount = 100
				p := newPlant(t, vfs.NewMem(), cfg, &provider{})
				defer p.stop()
				o, other := p.assign(0, 0), p.assign(1, 0)
				records := wakes(0, 0, 3) // a few good ones do not hide it
				for offset := int64(3); offset < 1000; offset++ {
					records = append(records, bad(offset))
				}
				if err := o.Take(t.Context(), append(records, wakes(0, 1000, 1100)...)); err != nil {
					t.Fatal(err)
				}
				if err := other.Take(t.Context(), wakes(1, 0, 10)); err != nil {
					t.Fatal(err)
				}
				pass(time.Minute)
				if n := len(p.kafka.messages); n != 100 || len(p.engine.Stopped()) != 1 || other.Progress().Watermark != 10 {
					t.Fatalf("%d dead letters, stopped: %v, the other partition is at %d", n, p.engine.Stopped(), other.Progress().Watermark)
				}
				if ok, why := p.engine.Ready(); ok || why == "" {
					t.Error("it is ready")
				}
				p.balanced()
				p.engine.Proceed(0)
				pass(time.Minute)
				if n := len(p.kafka.messages); n != 997 || o.Progress().Watermark != 1100 || len(p.provider.times) != 113 {
					t.Errorf("%d dead letters, watermark %d, %d pushes after the operator's word", n, o.Progress().Watermark, len(p.provider.times))
				}
				if ok, why := p.engine.Ready(); !ok {
					t.Errorf("not ready: %s", why)
				}
				p.balanced()
			})
		})
	}
}

func TestBadRecordsAmongGoodOnesStopNothing(t *testing.T) {
	t.Parallel()
	b := newBadRun(DefaultConfig().DeadLetters)
	for i := range 100_000 {
		if b.note(i%10 != 0); b.stopped {
			t.Fatalf("nine bad records of ten stop the partition after %d", i)
		}
	}
	for range 100_000 {
		b.note(true)
	}
	if !b.stopped {
		t.Fatal("it never stops")
	}
	if !b.proceed() || b.stopped {
		t.Fatal("it does not proceed")
	}
	for range 100_000 {
		if b.note(true); b.stopped {
			t.Fatal("it stops again although an operator has looked")
		}
	}
	for range 1000 {
		b.note(false)
	}
	for range 10_000 {
		b.note(true)
	}
	if !b.stopped {
		t.Error("after good records it does not stop again")
	}
}

func TestGoodRecordsOfThePastDoNotVouchForTheBad(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig().DeadLetters
	b := newBadRun(cfg)
	for range 100_000 {
		b.note(false)
	}
	for n := 1; !b.stopped; n++ {
		if b.note(true); n > cfg.StopCount {
			t.Fatalf("not stopped after %d bad records", n)
		}
	}
}

func TestAStoppedPartitionThatIsReleasedIsNotOursAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := localConfig()
		cfg.DeadLetters.StopCount = 100
		p := newPlant(t, vfs.NewMem(), cfg, &provider{})
		defer p.stop()
		o := p.assign(0, 0)
		records := wakes(0, 0, 3)
		for offset := int64(3); offset < 500; offset++ {
			records = append(records, tenantWake("nobody", offset, event.Normal))
		}
		if err := o.Take(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		o.Release(ctx)
		pass(time.Minute)
		if ok, why := p.engine.Ready(); !ok {
			t.Errorf("the partition was released: %s", why)
		}
	})
}

func TestALetterHasItsRecordThoughThatIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := localConfig()
		cfg.DeadLetters.StopCount = 0
		p := newPlant(t, vfs.NewMem(), cfg, &provider{})
		defer p.stop()
		var records []queue.Record
		for offset := int64(0); offset < 200; offset += 2 {
			records = append(records, tenantWake("nobody", offset, event.Normal),
				queue.Record{Offset: offset + 1, Key: fmt.Append(nil, "acme/d", offset), Value: fmt.Append(nil, "no event ", offset)})
		}
		want := map[string]string{} // values by key
		for _, r := range records {
			want[string(r.Key)] = string(r.Value)
		}
		if err := p.assign(0, 0).Take(t.Context(), queue.Reread(records...)); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if len(p.kafka.messages) != len(want) {
			t.Errorf("%d dead letters of %d records", len(p.kafka.messages), len(want))
		}
		for _, m := range p.kafka.messages {
			if value, known := want[string(m.Key)]; !known || value != string(m.Value) {
				t.Fatalf("a dead letter has the key %q and the value %q", m.Key, m.Value)
			}
		}
	})
}
