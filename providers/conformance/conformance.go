// Package conformance holds every Sender to the same promises, against the simulators: each push is answered exactly
// once, each answer has its Outcome through the real client and a real connection, Close answers what is under way, and
// the credential of one tenant never serves another.
//
// It is for tests only. A provider's test says how a simulator and a Sender are started (Provider) and what must become
// of each answer (Case).
package conformance

import (
	"sync"
	"testing"
	"time"

	"pushd/providers"
	"pushd/providers/simulator"
)

// Provider starts servers and Senders of one provider.
type Provider struct {
	// Start starts a server that the test ends.
	Start func(t *testing.T, behaviour Behaviour) Server
	// Push is a valid push with this number in its token.
	Push func(number int) providers.Push
	// Connections is how many a Sender may have, besides those that are being given up.
	Connections int
	// Tries is how often a push is sent that the server says it did not process, until its caller hears of it.
	Tries int64
	// Cases are the answers of the provider.
	Cases []Case
	// Timeout is what becomes of a push that is not answered in time.
	Timeout providers.Result
	// NoServer is what becomes of a push when there is nobody to connect to.
	NoServer providers.Result
	// Transport is the wait after a connection failed while the push was under way.
	Transport time.Duration
}

// Behaviour is what a server does (see the simulator's configuration) and how long its Senders wait for it.
type Behaviour struct {
	Answer         func(simulator.Request) simulator.Answer
	Conduct        func(connection uint64) simulator.Conduct
	Latency        time.Duration
	MaxStreams     uint32        // 0: the provider's default
	RequestTimeout time.Duration // 0: the provider's default
}

// Server is a running simulator.
type Server interface {
	// Sender makes the Sender of a tenant's credential; the test's end closes it.
	Sender(t *testing.T, tenant string) providers.Sender
	// Tenant is what the simulator calls that tenant.
	Tenant(tenant string) string
	Account() *simulator.Account
	Stats() simulator.Stats
	// Stop ends the server before the test's end.
	Stop()
}

// Case is an answer of the server, and what must become of the push.
type Case struct {
	Name   string
	Answer simulator.Answer
	Want   providers.Result // Ref apart
}

// Run holds the Senders of a provider to their promises.
func Run(t *testing.T, p Provider) {
	t.Run("each documented answer has its outcome", func(t *testing.T) { t.Parallel(); p.eachAnswer(t) })
	t.Run("each failed transport has its outcome", func(t *testing.T) { t.Parallel(); p.eachFailure(t) })
	t.Run("a connection that answers nothing is survived", func(t *testing.T) { t.Parallel(); p.eachConduct(t) })
	t.Run("each push is answered once whatever happens", func(t *testing.T) { t.Parallel(); p.chaos(t) })
	t.Run("streams and connections stay within their limits", func(t *testing.T) { t.Parallel(); p.limits(t) })
	t.Run("no server means to try again", func(t *testing.T) { t.Parallel(); p.noServer(t) })
	t.Run("Close answers what is under way", func(t *testing.T) { t.Parallel(); p.closes(t) })
	t.Run("a tenant's credential serves no other", func(t *testing.T) { t.Parallel(); p.tenants(t) })
	t.Run("Send does not keep the caller's slice", func(t *testing.T) { t.Parallel(); p.reuse(t) })
}

// patience is how long a test waits for answers that must come.
const patience = 30 * time.Second

// Inbox receives results and counts them by push.
type Inbox struct {
	mu      sync.Mutex
	changed *sync.Cond
	results map[any][]providers.Result
	total   int
}

// NewInbox returns an empty inbox.
func NewInbox() *Inbox {
	in := &Inbox{results: make(map[any][]providers.Result)}
	in.changed = sync.NewCond(&in.mu)
	return in
}

// Done is for Sender.Send.
func (in *Inbox) Done(results []providers.Result) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, r := range results {
		in.results[r.Ref] = append(in.results[r.Ref], r)
	}
	in.total += len(results)
	in.changed.Broadcast()
	clear(results) // the slice is the Sender's again when Done returns, not before: nothing may read it now
}

// Wait waits until n results are there, and returns the first of each push.
func (in *Inbox) Wait(t *testing.T, n int) map[any]providers.Result {
	t.Helper()
	late := time.AfterFunc(patience, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.total = -1 << 40
		in.changed.Broadcast()
	})
	defer late.Stop()
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.total >= 0 && in.total < n {
		in.changed.Wait()
	}
	if in.total < 0 {
		t.Fatalf("%d pushes of %d are answered after %v", len(in.results), n, patience)
	}
	first := make(map[any]providers.Result, len(in.results))
	for ref, results := range in.results {
		if len(results) != 1 {
			t.Errorf("push %v is answered %d times: %+v", ref, len(results), results)
		}
		first[ref] = results[0]
	}
	if len(first) != n {
		t.Errorf("%d pushes are answered, not %d", len(first), n)
	}
	return first
}

// pushes makes n pushes that begin with number from; each has its number as Ref.
func (p Provider) pushes(from, n int) []providers.Push {
	all := make([]providers.Push, n)
	for i := range all {
		all[i] = p.Push(from + i)
		all[i].Ref = from + i
	}
	return all
}

// one sends a single push and returns its answer.
func (p Provider) one(t *testing.T, sender providers.Sender, number int) providers.Result {
	t.Helper()
	inbox := NewInbox()
	sender.Send(p.pushes(number, 1), inbox.Done)
	return inbox.Wait(t, 1)[number]
}

// check compares a result with what is wanted, Ref apart.
func check(t *testing.T, name string, got, want providers.Result) {
	t.Helper()
	got.Ref, want.Ref = nil, nil
	if !got.Since.Equal(want.Since) {
		t.Errorf("%s: since %v, want %v", name, got.Since, want.Since)
	}
	got.Since, want.Since = time.Time{}, time.Time{}
	if got != want {
		t.Errorf("%s: %+v, want %+v", name, got, want)
	}
}
