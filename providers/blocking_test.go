package providers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

// answers counts the results by the push they answer.
type answers struct {
	mu      sync.Mutex
	counts  map[any]int
	results []Result
	batches int
}

func (a *answers) done(results []Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counts == nil {
		a.counts = make(map[any]int)
	}
	a.batches++
	for _, r := range results {
		a.counts[r.Ref]++
		a.results = append(a.results, r)
	}
}

func pushes(from, n int) []Push {
	all := make([]Push, n)
	for i := range all {
		all[i] = Push{Ref: from + i, Token: fmt.Sprint(from + i)}
	}
	return all
}

func (a *answers) wantEachOnce(t *testing.T, n int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.counts) != n {
		t.Errorf("%d of %d pushes are answered", len(a.counts), n)
	}
	for ref, count := range a.counts {
		if count != 1 {
			t.Errorf("push %v is answered %d times", ref, count)
		}
	}
}

func TestBlockingAnswersEachPushOnceAndKeepsItsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var under, most atomic.Int64
		b := NewBlocking(7, func(_ context.Context, p *Push) Result {
			n := under.Add(1)
			for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
			}
			defer under.Add(-1)
			<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
			return Result{Ref: p.Ref, Outcome: Accepted}
		})
		var got answers
		batch := pushes(0, 100)
		for from := 0; from < 1000; from += 100 {
			copy(batch, pushes(from, 100))
			b.Send(batch, got.done)
			clear(batch) // the caller may reuse it
		}
		synctest.Wait()
		if n := most.Load(); n != 7 {
			t.Errorf("%d pushes were under way at once, not 7", n)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		got.wantEachOnce(t, 1000)
		if b.workers != 0 {
			t.Errorf("%d workers are left with nothing to do", b.workers)
		}
		b.Send(pushes(1000, 1), got.done)
		<-time.After(time.Minute)
		synctest.Wait()
		got.wantEachOnce(t, 1001)
		b.Close()
	})
}

func TestBlockingCloseAnswersWhatIsUnderWayAndWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int64
		b := NewBlocking(3, func(ctx context.Context, p *Push) Result {
			begun.Add(1)
			<-ctx.Done()
			return Result{Ref: p.Ref, Outcome: Again, Reason: "cut"}
		})
		var got answers
		b.Send(pushes(0, 50), got.done)
		synctest.Wait()
		b.Close()
		b.Close()
		got.wantEachOnce(t, 50)
		b.Send(pushes(50, 5), got.done)
		got.wantEachOnce(t, 55)
		if n := begun.Load(); n != 3 {
			t.Errorf("%d pushes were begun, though 3 may be under way", n)
		}
		for _, r := range got.results {
			if r.Outcome != Again {
				t.Errorf("push %v got outcome %d", r.Ref, r.Outcome)
			}
		}
	})
}

func TestBlockingDeliversInBatchesWhatCameMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBlocking(100, func(_ context.Context, p *Push) Result { return Result{Ref: p.Ref, Outcome: Accepted} })
		var got answers
		release := make(chan struct{})
		b.Send(pushes(0, 100), func(results []Result) {
			got.done(results)
			<-release
		})
		synctest.Wait()
		if got.batches != 1 {
			t.Errorf("done was called %d times at once", got.batches)
		}
		close(release)
		b.Close()
		got.wantEachOnce(t, 100)
		if got.batches > 2+1 {
			t.Errorf("100 results came in %d batches, though all but the first batch were ready together", got.batches)
		}
	})
}

func BenchmarkBlocking(b *testing.B) {
	sender := NewBlocking(1000, func(_ context.Context, p *Push) Result { return Result{Ref: p.Ref, Outcome: Accepted} })
	defer sender.Close()
	batch := pushes(0, 256)
	var ended sync.WaitGroup
	b.ReportAllocs()
	for range b.N / len(batch) {
		ended.Add(len(batch))
		sender.Send(batch, func(results []Result) { ended.Add(-len(results)) })
		ended.Wait()
	}
}
