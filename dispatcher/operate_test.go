package dispatcher

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pushd/queue/event"
)

func TestAStoppedPartitionSaysHowBadItIsAndOnlyStoppedOnesAreReadOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := localConfig()
		cfg.DeadLetters.StopCount = 100
		p := newPlant(t, vfs.NewMem(), cfg, &provider{})
		defer p.stop()
		p.assign(0, 0)
		released := p.assign(1, 0)
		stopped := p.assign(2, 0)
		records := wakes(2, 0, 3)
		published := time.Now()
		for offset := int64(3); offset < 150; offset++ {
			r := tenantWake("nobody", offset, event.Normal)
			r.Partition, r.Time = 2, published.Add(time.Duration(offset)*time.Second)
			records = append(records, r)
		}
		if err := stopped.Take(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		released.Release(ctx)
		pass(time.Minute)
		want := StoppedPartition{Partition: 2, Bad: 100, Of: 103, Waiting: published.Add(103 * time.Second)}
		if all := p.engine.StoppedPartitions(); len(all) != 1 || all[0] != want {
			t.Errorf("stopped are %+v, want %+v", all, want)
		}
		if proceeded, assigned := p.engine.Proceed(0, 1, 9); len(proceeded) > 0 || !slices.Equal(assigned, []int32{0, 2}) {
			t.Errorf("read on are %v, assigned are %v", proceeded, assigned)
		}
		if proceeded, _ := p.engine.Proceed(); !slices.Equal(proceeded, []int32{2}) {
			t.Errorf("read on are %v", proceeded)
		}
		if proceeded, _ := p.engine.Proceed(2); len(proceeded) > 0 || len(p.engine.StoppedPartitions()) > 0 {
			t.Errorf("the second time, %v are read on", proceeded)
		}
	})
}
