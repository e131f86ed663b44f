package fcm

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
	"pushd/providers"
	"pushd/providers/conformance"
	"pushd/providers/simulator"
)

// past is a date of RFC 9110 on which the wait was over long ago.
const past = "Sun, 06 Nov 1994 08:49:37 GMT"

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

var authority = sync.OnceValue(func() *simulator.Authority {
	a, err := simulator.NewAuthority()
	if err != nil {
		panic(err)
	}
	return a
})

// server is an FCM simulator and what its Senders are configured with.
type server struct {
	*simulator.FCM
	config  Config
	metrics *providers.Metrics

	mu       sync.Mutex
	accounts map[string]simulator.ServiceAccount // by tenant
}

func start(t *testing.T, config simulator.FCMConfig) *server {
	t.Helper()
	config.Authority = authority()
	sim, err := simulator.StartFCM(config)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{
		FCM: sim, config: DefaultConfig(), metrics: providers.NewMetrics(prometheus.NewRegistry()),
		accounts: make(map[string]simulator.ServiceAccount),
	}
	t.Cleanup(s.Stop)
	s.config.Endpoint = sim.URL() + "/v1"
	s.config.Connection.RootCA = filepath.Join(t.TempDir(), "root.pem")
	if err := authority().WriteCert(s.config.Connection.RootCA); err != nil {
		t.Fatal(err)
	}
	s.config.Connection.DialRate = 100
	s.config.Connection.DialTimeout = 3 * time.Second
	return s
}

func (s *server) Stop() { s.FCM.Close() }

func (s *server) account(t *testing.T, tenant string) simulator.ServiceAccount {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	account, known := s.accounts[tenant]
	if !known {
		var err error
		if account, err = s.NewAccount(tenant+"-mdm", nil); err != nil {
			t.Fatal(err)
		}
		s.accounts[tenant] = account
	}
	return account
}

func (s *server) Tenant(tenant string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[tenant].Email
}

func (s *server) Sender(t *testing.T, tenant string) providers.Sender {
	t.Helper()
	return s.sender(t, s.account(t, tenant).JSON)
}

func (s *server) sender(t *testing.T, account []byte) providers.Sender {
	t.Helper()
	credential, err := providers.NewFCMCredential(account)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := New(s.config, credential, s.metrics, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	return sender
}

func push(number int) providers.Push {
	return providers.Push{Ref: number, Token: fmt.Sprintf("fcm-token-%0140d", number), Expires: time.Now().Add(time.Hour)}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		p := provider(sender)
		if p.Tries = 1; sender == Pipelined {
			p.Tries = 3
		}
		conformance.Run(t, p)
	})
}

func provider(sender string) conformance.Provider {
	return conformance.Provider{
		Start: func(t *testing.T, b conformance.Behaviour) conformance.Server {
			s := start(t, simulator.FCMConfig{Answer: b.Answer, Conduct: b.Conduct, Latency: b.Latency, MaxStreams: b.MaxStreams})
			s.config.Sender = sender
			if b.RequestTimeout > 0 {
				s.config.RequestTimeout = b.RequestTimeout
			}
			return s
		},
		Push:        push,
		Connections: DefaultConfig().Connections,
		Cases:       cases(),
		Timeout:     providers.Result{Outcome: providers.Later, Reason: "transport: timeout", Wait: 10 * time.Second},
		NoServer:    providers.Result{Outcome: providers.Later, Scope: providers.Credential, Reason: "oauth: unavailable", Wait: 10 * time.Second},
		Transport:   time.Second,
	}
}

// cases are the answers that Google documents, and some that it does not.
func cases() []conformance.Case {
	result := func(outcome providers.Outcome, status int, reason string) providers.Result {
		return providers.Result{Outcome: outcome, Status: status, Reason: reason}
	}
	later := func(status int, reason string, wait time.Duration) providers.Result {
		return providers.Result{Outcome: providers.Later, Status: status, Reason: reason, Wait: wait}
	}
	project := func(r providers.Result) providers.Result { r.Scope = providers.Credential; return r }
	obeyed := func(r providers.Result) providers.Result { r.Obeyed = true; return r }
	page := []byte("<html><body>Bad Gateway</body></html>")
	violation := errorJSON(400, "INVALID_ARGUMENT", "Invalid ttl", fcmDetail("INVALID_ARGUMENT")+","+badRequest)
	return []conformance.Case{
		{Name: "a bad token", Answer: simulator.Answer{Reason: "INVALID_ARGUMENT"}, Want: result(providers.TokenDead, 400, "INVALID_ARGUMENT")},
		{Name: "a bad message", Answer: simulator.Answer{Status: 400, Body: violation}, Want: result(providers.Rejected, 400, "INVALID_ARGUMENT")},
		{Name: "a bad request", Answer: simulator.Answer{Status: 400}, Want: result(providers.Rejected, 400, "INVALID_ARGUMENT")},
		{Name: "UNREGISTERED", Answer: simulator.Answer{Reason: "UNREGISTERED"}, Want: result(providers.TokenDead, 404, "UNREGISTERED")},
		{Name: "no such project", Answer: simulator.Answer{Status: 404}, Want: result(providers.Refused, 404, "NOT_FOUND")},
		{Name: "SENDER_ID_MISMATCH", Answer: simulator.Answer{Reason: "SENDER_ID_MISMATCH"}, Want: result(providers.TokenDead, 403, "SENDER_ID_MISMATCH")},
		{Name: "no permission", Answer: simulator.Answer{Status: 403}, Want: result(providers.Refused, 403, "PERMISSION_DENIED")},
		{Name: "unauthenticated twice", Answer: simulator.Answer{Status: 401}, Want: result(providers.Refused, 401, "UNAUTHENTICATED")},
		{Name: "THIRD_PARTY_AUTH_ERROR", Answer: simulator.Answer{Reason: "THIRD_PARTY_AUTH_ERROR"}, Want: result(providers.Refused, 401, "THIRD_PARTY_AUTH_ERROR")},
		{Name: "QUOTA_EXCEEDED", Answer: simulator.Answer{Reason: "QUOTA_EXCEEDED"}, Want: project(later(429, "QUOTA_EXCEEDED", time.Minute))},
		{Name: "QUOTA_EXCEEDED with Retry-After", Answer: simulator.Answer{Reason: "QUOTA_EXCEEDED", RetryAfter: "90"}, Want: obeyed(project(later(429, "QUOTA_EXCEEDED", 90*time.Second)))},
		{Name: "exhausted", Answer: simulator.Answer{Status: 429}, Want: project(later(429, "RESOURCE_EXHAUSTED", time.Minute))},
		{Name: "UNAVAILABLE", Answer: simulator.Answer{Reason: "UNAVAILABLE"}, Want: later(503, "UNAVAILABLE", 10*time.Second)},
		{Name: "UNAVAILABLE with Retry-After", Answer: simulator.Answer{Reason: "UNAVAILABLE", RetryAfter: "3"}, Want: obeyed(later(503, "UNAVAILABLE", 3*time.Second))},
		{Name: "UNAVAILABLE with a date", Answer: simulator.Answer{Reason: "UNAVAILABLE", RetryAfter: past}, Want: obeyed(later(503, "UNAVAILABLE", 0))},
		{Name: "UNAVAILABLE with rubbish", Answer: simulator.Answer{Reason: "UNAVAILABLE", RetryAfter: "soon"}, Want: later(503, "UNAVAILABLE", 10*time.Second)},
		{Name: "INTERNAL", Answer: simulator.Answer{Reason: "INTERNAL"}, Want: later(500, "INTERNAL", 10*time.Second)},
		{Name: "an unknown code", Answer: simulator.Answer{Status: 409, Reason: "SOMETHING_NEW"}, Want: result(providers.Rejected, 409, "unknown")},
		{Name: "an unknown code of the server's", Answer: simulator.Answer{Status: 501, Reason: "SOMETHING_NEW"}, Want: later(501, "unknown", 10*time.Second)},
		{Name: "a page of a proxy", Answer: simulator.Answer{Status: 502, Body: page}, Want: later(502, "unknown", 10*time.Second)},
		{Name: "a page that is late", Answer: simulator.Answer{Status: 504, Body: page}, Want: later(504, "DEADLINE_EXCEEDED", 10*time.Second)},
		{Name: "a body without an end", Answer: simulator.Answer{Status: 503, Body: make([]byte, 60_000)}, Want: later(503, "UNAVAILABLE", 10*time.Second)},
		{Name: "GOAWAY over too many streams", Answer: simulator.Answer{GoAway: &simulator.GoAway{Code: 1, Debug: tooManyStreams}}, Want: result(providers.Again, 0, "transport: goaway")},
	}
}
