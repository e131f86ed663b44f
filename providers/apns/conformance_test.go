package apns

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"golang.org/x/net/http2"

	"pushd/loadtest/descriptors"
	"pushd/providers"
	"pushd/providers/conformance"
	"pushd/providers/simulator"
)

// past is a date of RFC 9110 on which the wait was over long ago.
const past = "Sun, 06 Nov 1994 08:49:37 GMT"

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

const mdmTopic = "com.apple.mgmt.External."

// authority issued every certificate of these tests.
var authority = sync.OnceValue(func() *simulator.Authority {
	a, err := simulator.NewAuthority()
	if err != nil {
		panic(err)
	}
	return a
})

// server is an APNs simulator and what its Senders are configured with.
type server struct {
	*simulator.APNs
	config  Config
	metrics *providers.Metrics
}

func start(t *testing.T, config simulator.APNsConfig) *server {
	t.Helper()
	config.Authority = authority()
	sim, err := simulator.StartAPNs(config)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{APNs: sim, config: DefaultConfig(), metrics: providers.NewMetrics(prometheus.NewRegistry())}
	t.Cleanup(s.Stop)
	s.config.Host, s.config.Port = sim.Host(), sim.Port()
	s.config.Connection.RootCA = filepath.Join(t.TempDir(), "root.pem")
	if err := authority().WriteCert(s.config.Connection.RootCA); err != nil {
		t.Fatal(err)
	}
	s.config.Connection.DialRate = 100
	s.config.Connection.DialTimeout = 3 * time.Second
	return s
}

func (s *server) Stop() { s.APNs.Close() }

func (s *server) Tenant(tenant string) string { return mdmTopic + tenant }

func (s *server) Sender(t *testing.T, tenant string) providers.Sender {
	t.Helper()
	certificate, err := authority().PushCertificate(mdmTopic+tenant, simulator.PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	credential, err := providers.NewAPNsCertificate(certificate.TLS, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s.sender(t, credential)
}

func (s *server) sender(t *testing.T, credential *providers.APNsCredential) providers.Sender {
	t.Helper()
	sender, err := New(s.config, credential, s.metrics, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	return sender
}

func push(number int) providers.Push {
	return providers.Push{
		Ref:       number,
		Token:     fmt.Sprintf("%064x", number+1),
		PushMagic: "magic-\"\\\u00e9",
		Expires:   time.Now().Add(time.Hour),
	}
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
			s := start(t, simulator.APNsConfig{Answer: b.Answer, Conduct: b.Conduct, Latency: b.Latency, MaxStreams: b.MaxStreams})
			s.config.Sender = sender
			if b.RequestTimeout > 0 {
				s.config.RequestTimeout = b.RequestTimeout
			}
			return s
		},
		Push:        push,
		Connections: DefaultConfig().Connections,
		Cases:       cases(),
		Timeout:     providers.Result{Outcome: providers.Again, Reason: "transport: timeout", Wait: time.Second},
		NoServer:    providers.Result{Outcome: providers.Again, Reason: "transport: dial", Wait: time.Second},
		Transport:   time.Second,
	}
}

// cases are the answers that Apple documents, and some that it does not.
func cases() []conformance.Case {
	since := time.UnixMilli(1_700_000_000_123)
	var all []conformance.Case
	add := func(status int, reason string, want providers.Result) {
		want.Status, want.Reason = status, reason
		answer := simulator.Answer{Status: status, Reason: reason}
		if status == 410 {
			answer.Timestamp, want.Since = since, since
		}
		all = append(all, conformance.Case{Name: fmt.Sprint(status, " ", reason), Answer: answer, Want: want})
	}
	rejected, refused := providers.Result{Outcome: providers.Rejected}, providers.Result{Outcome: providers.Refused}
	dead, again := providers.Result{Outcome: providers.TokenDead}, providers.Result{Outcome: providers.Again, Wait: time.Second}
	for _, reason := range []string{
		"BadCollapseId", "BadExpirationDate", "BadMessageId", "BadPriority", "BadTopic", "DuplicateHeaders",
		"InvalidPushType", "MissingDeviceToken", "MissingTopic", "PayloadEmpty",
	} {
		add(400, reason, rejected)
	}
	add(400, "BadDeviceToken", dead)
	add(400, "DeviceTokenNotForTopic", dead)
	add(400, "IdleTimeout", again)
	add(400, "TopicDisallowed", refused)
	for _, reason := range []string{
		"BadCertificate", "BadCertificateEnvironment", "ExpiredProviderToken", "Forbidden", "InvalidProviderToken",
		"MissingProviderToken", "BadEnvironmentKeyIdInToken", "BadEnvironmentKeyInToken",
	} {
		add(403, reason, refused)
	}
	add(403, "UnrelatedKeyIdInToken", again)
	add(404, "BadPath", rejected)
	add(405, "MethodNotAllowed", rejected)
	add(410, "ExpiredToken", dead)
	add(410, "Unregistered", dead)
	add(413, "PayloadTooLarge", rejected)
	add(429, "TooManyRequests", providers.Result{Outcome: providers.Later, Wait: 30 * time.Second})
	add(429, "TooManyProviderTokenUpdates", providers.Result{Outcome: providers.Later, Scope: providers.Credential, Wait: 20 * time.Minute})
	later := providers.Result{Outcome: providers.Later, Wait: 15 * time.Minute}
	add(500, "InternalServerError", later)
	add(503, "ServiceUnavailable", later)
	add(503, "Shutdown", again)

	page := []byte("<html><body>502 Bad Gateway</body></html>")
	goAway := func(reason string) simulator.Answer {
		return simulator.Answer{GoAway: &simulator.GoAway{Debug: `{"reason":"` + reason + `"}`}}
	}
	return append(all,
		conformance.Case{Name: "an unknown reason", Answer: simulator.Answer{Status: 400, Reason: "SomethingNew"}, Want: providers.Result{Outcome: providers.Rejected, Status: 400, Reason: "unknown"}},
		conformance.Case{Name: "an unknown reason of the server's", Answer: simulator.Answer{Status: 500, Reason: "SomethingNew"}, Want: providers.Result{Outcome: providers.Later, Status: 500, Reason: "unknown", Wait: 15 * time.Minute}},
		conformance.Case{Name: "a page of a proxy", Answer: simulator.Answer{Status: 502, Body: page}, Want: providers.Result{Outcome: providers.Later, Status: 502, Reason: "unknown", Wait: 15 * time.Minute}},
		conformance.Case{Name: "a page that forbids", Answer: simulator.Answer{Status: 403, Body: page}, Want: providers.Result{Outcome: providers.Rejected, Status: 403, Reason: "unknown"}},
		conformance.Case{Name: "a body without an end", Answer: simulator.Answer{Status: 503, Body: make([]byte, 60_000)}, Want: providers.Result{Outcome: providers.Later, Status: 503, Reason: "unknown", Wait: 15 * time.Minute}},
		conformance.Case{Name: "410 without a time", Answer: simulator.Answer{Status: 410, Reason: "Unregistered"}, Want: providers.Result{Outcome: providers.TokenDead, Status: 410, Reason: "Unregistered"}},
		conformance.Case{Name: "Retry-After in seconds", Answer: simulator.Answer{Status: 503, Reason: "ServiceUnavailable", RetryAfter: "120"}, Want: providers.Result{Outcome: providers.Later, Status: 503, Reason: "ServiceUnavailable", Wait: 2 * time.Minute, Obeyed: true}},
		conformance.Case{Name: "Retry-After that is a date", Answer: simulator.Answer{Status: 503, Reason: "ServiceUnavailable", RetryAfter: past}, Want: providers.Result{Outcome: providers.Later, Status: 503, Reason: "ServiceUnavailable", Obeyed: true}},
		conformance.Case{Name: "Retry-After that is rubbish", Answer: simulator.Answer{Status: 503, Reason: "ServiceUnavailable", RetryAfter: "soon"}, Want: providers.Result{Outcome: providers.Later, Status: 503, Reason: "ServiceUnavailable", Wait: 15 * time.Minute}},
		conformance.Case{Name: "GOAWAY over the credential", Answer: goAway("BadCertificateEnvironment"), Want: providers.Result{Outcome: providers.Refused, Reason: "BadCertificateEnvironment"}},
		conformance.Case{Name: "GOAWAY at a shutdown", Answer: goAway("Shutdown"), Want: providers.Result{Outcome: providers.Again, Reason: "Shutdown"}},
		conformance.Case{Name: "GOAWAY over other pushes' tokens", Answer: goAway("BadDeviceToken"), Want: providers.Result{Outcome: providers.Again, Reason: "BadDeviceToken"}},
		conformance.Case{Name: "GOAWAY with an error at the first stream", Answer: simulator.Answer{GoAway: &simulator.GoAway{Code: http2.ErrCodeProtocol}}, Want: providers.Result{Outcome: providers.Again, Reason: "transport: goaway"}},
	)
}
