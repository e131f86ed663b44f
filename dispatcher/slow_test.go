package dispatcher

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
)

// However a provider holds back one tenant, an urgent wake of another behind its backlog does not wait for that.
func TestNobodyWaitsBehindATenantThatIsHeldBack(t *testing.T) {
	t.Parallel()
	later := func(scope providers.Scope, wait time.Duration) *providers.Result {
		return &providers.Result{Outcome: providers.Later, Scope: scope, Wait: wait, Obeyed: true, Status: 429, Reason: "x"}
	}
	for name, row := range map[string]struct {
		latency time.Duration
		answer  *providers.Result
		rate    float64
	}{
		"its answers take 300 ms":                  {latency: 300 * time.Millisecond},
		"its answers take 30 s":                    {latency: 30 * time.Second},
		"its connections break":                    {answer: &providers.Result{Outcome: providers.Again, Wait: time.Second, Reason: "transport: connection lost"}},
		"each device is to wait for two seconds":   {answer: later(providers.Device, 2*time.Second)},
		"the credential is to wait for 2.5 s":      {answer: later(providers.Credential, 2500*time.Millisecond)},
		"its limit lets one through in 20 seconds": {rate: 0.05},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPlant(t, vfs.NewMem(), localConfig(), &provider{latency: 10 * time.Millisecond})
				held := &provider{latency: max(row.latency, 10*time.Millisecond), times: map[string]int{}}
				if row.answer != nil {
					held.answer = func(*providers.Push) providers.Result { return *row.answer }
				}
				p.engine.deps.Open = func(tenant, _ string) (Credential, bool) {
					if tenant == "quiet" {
						return Credential{Sender: p.provider, InFlight: 1000}, true
					}
					return Credential{Sender: held, InFlight: 1000, Rate: row.rate}, true
				}
				defer p.stop()
				o := p.assign(0, 0)
				const bulk = 60_000 // nearly four windows
				go func() {         // Take blocks while the partition is paused
					r := []queue.Record{tenantWake("quiet", 0, event.Urgent)}
					for offset := int64(1); offset < bulk; offset++ {
						if r = append(r, tenantWake("noisy", offset, event.Bulk)); len(r) == 1000 {
							_ = o.Take(t.Context(), r)
							r = nil
						}
					}
					_ = o.Take(t.Context(), append(r, tenantWake("quiet", bulk, event.Urgent)))
				}()
				pass(3 * time.Second)
				p.provider.mu.Lock()
				pushed := p.provider.times[fmt.Sprint("quiet-", bulk)]
				p.provider.mu.Unlock()
				if pushed == 0 {
					t.Errorf("the urgent wake is not pushed")
				}
				p.balanced()
			})
		})
	}
}
