package dispatcher

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestTwoProcessesSendNoMoreThanTheLimitOfTheirGroup has two engines with one limit, and partitions that move between them.
func TestTwoProcessesSendNoMoreThanTheLimitOfTheirGroup(t *testing.T) {
	t.Parallel()
	const limit = 1000.0
	for name, c := range map[string]struct {
		total, credential float64
		share             Share
		whole             float64 // what both send together, in parts of the limit
	}{
		"a limit of the provider's":   {limit, 0, OfGroup, 1},
		"a limit of the credential's": {0, limit, OfGroup, 1},
		"limits of each process":      {limit, limit, OfProcess, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var both []*plant
				for range 2 {
					cfg := localConfig()
					cfg.Rates.FCM, cfg.Rates.Share = c.total, c.share
					p := newPlant(t, vfs.NewMem(), cfg, &provider{rate: c.credential})
					defer p.stop()
					both = append(both, p)
				}
				sent := func() (n int) {
					for _, p := range both {
						p.provider.mu.Lock()
						n += len(p.provider.times)
						p.provider.mu.Unlock()
					}
					return n
				}
				next := int64(0)
				for _, parts := range [][2]int{{3, 1}, {2, 2}, {4, 0}} { // of the group's four partitions
					for i, p := range both {
						p.engine.Share(parts[i], 4)
						o := p.assign(int32(i), next)
						if err := o.Take(t.Context(), wakes(int32(i), next, next+4000)); err != nil {
							t.Fatal(err)
						}
						defer o.Release(t.Context())
					}
					next += 4000
					pass(100 * time.Millisecond) // the burst of a limiter that is new
					before := sent()
					pass(time.Second)
					rate, want := float64(sent()-before), limit*c.whole
					if parts[1] == 0 && c.share == OfGroup {
						want += limit / 4 // a process without partitions keeps the part of one, for what waits in its ledger
					}
					if rate < want*0.95 || rate > want*1.05 {
						t.Errorf("with %v partitions both send %v per second together, want %v", parts, rate, want)
					}
					pass(time.Minute)
				}
			})
		})
	}
}
