package apns

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"pushd/providers"
	"pushd/providers/conformance"
	"pushd/providers/http2"
	"pushd/providers/simulator"
)

// send sends n pushes and returns their answers.
func send(t *testing.T, sender providers.Sender, pushes ...providers.Push) map[any]providers.Result {
	t.Helper()
	inbox := conformance.NewInbox()
	sender.Send(pushes, inbox.Done)
	return inbox.Wait(t, len(pushes))
}

func pushes(n int) []providers.Push {
	all := make([]providers.Push, n)
	for i := range all {
		all[i] = push(i)
	}
	return all
}

// tokenCredential is that of a key the server knows.
func tokenCredential(t *testing.T) (*providers.APNsCredential, simulator.ProviderKey) {
	t.Helper()
	key, err := simulator.NewProviderKey()
	if err != nil {
		t.Fatal(err)
	}
	credential, err := providers.NewAPNsKey(providers.File{Data: key.PEM}, key.KeyID, key.TeamID, "com.example.agent")
	if err != nil {
		t.Fatal(err)
	}
	return credential, key
}

func alert(number int) providers.Push {
	p := push(number)
	p.PushType, p.Payload = "alert", []byte(`{"aps":{"alert":"<hi>"}}`)
	return p
}

// valueOf is what a gauge or counter says, or how much a histogram counted.
func valueOf(t *testing.T, metric prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := metric.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
}

// bySender runs a test with each of the two ways to send.
func bySender(t *testing.T, test func(t *testing.T, sender string)) {
	t.Helper()
	for _, sender := range []string{Pipelined, Library} {
		t.Run(sender, func(t *testing.T) { t.Parallel(); test(t, sender) })
	}
}

func tokenOf(s providers.Sender) *providerToken {
	if l, ok := s.(*library); ok {
		return l.token
	}
	return s.(*pipelined).token
}

func TestServerSeesWhatThePushSays(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		var mu sync.Mutex
		var seen []simulator.Request
		s := start(t, simulator.APNsConfig{Answer: func(r simulator.Request) simulator.Answer {
			mu.Lock()
			defer mu.Unlock()
			r.Payload = append([]byte(nil), r.Payload...)
			seen = append(seen, r)
			return simulator.Answer{}
		}})
		s.config.Sender = sender
		if got := send(t, s.Sender(t, "acme"), push(1))[1]; got.Outcome != providers.Accepted {
			t.Fatalf("%+v", got)
		}
		mu.Lock()
		defer mu.Unlock()
		r := seen[0]
		if len(seen) != 1 || r.Token != push(1).Token || r.Topic != mdmTopic+"acme" || r.PushType != "mdm" || r.Priority != "10" ||
			string(r.Payload) != "{\"mdm\":\"magic-\\\"\\\\\u00e9\"}" {
			t.Errorf("%d requests, %+v with %s", len(seen), r, r.Payload)
		}
	})
}

// With token authentication APNs allows one stream until a push with a valid token was accepted. A client that does
// not wait opens a connection for each push.
func TestProviderTokenPushesWaitForTheFirstToBeAccepted(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		credential, key := tokenCredential(t)
		s := start(t, simulator.APNsConfig{Keys: []simulator.ProviderKey{key}, StrictStreams: true, Latency: time.Millisecond})
		s.config.Sender = sender
		all := pushes(100)
		for i := range all {
			all[i] = alert(i)
		}
		for ref, result := range send(t, s.sender(t, credential), all...) {
			if result.Outcome != providers.Accepted {
				t.Errorf("push %v: %+v", ref, result)
			}
		}
		if stats := s.Stats(); stats.RefusedStreams > 0 || stats.Opened > uint64(s.config.Connections) {
			t.Errorf("%d streams were refused, %d connections opened", stats.RefusedStreams, stats.Opened)
		}
	})
}

func TestExpiredProviderTokenIsRenewedOnceAndThePushSentAgain(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		credential, key := tokenCredential(t)
		s := start(t, simulator.APNsConfig{Keys: []simulator.ProviderKey{key}, Answer: func(r simulator.Request) simulator.Answer {
			if r.Attempt == 0 || r.Token == push(2).Token {
				return simulator.Answer{Status: 403, Reason: "ExpiredProviderToken"}
			}
			return simulator.Answer{}
		}})
		s.config.Sender = sender
		refusal := providers.Result{Outcome: providers.Refused, Status: 403, Reason: "ExpiredProviderToken"}
		out := s.sender(t, credential)
		token := tokenOf(out)
		age := func() {
			token.mu.Lock()
			defer token.mu.Unlock()
			token.signed = token.signed.Add(-30 * time.Minute)
		}

		refusal.Ref = 0
		if got := send(t, out, alert(0))[0]; got != refusal {
			t.Errorf("with a fresh token: %+v", got)
		}
		age()
		if got := send(t, out, alert(1))[1]; got.Outcome != providers.Accepted {
			t.Errorf("with an old token: %+v", got)
		}
		age()
		refusal.Ref = 2
		if got := send(t, out, alert(2))[2]; got != refusal {
			t.Errorf("with a renewed token that is refused again: %+v", got)
		}
	})
}

func TestTooManyTokenUpdatesFreezeTheSendersToken(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		credential, key := tokenCredential(t)
		s := start(t, simulator.APNsConfig{Keys: []simulator.ProviderKey{key}, Answer: func(simulator.Request) simulator.Answer {
			return simulator.Answer{Status: 429, Reason: "TooManyProviderTokenUpdates"}
		}})
		s.config.Sender = sender
		out := s.sender(t, credential)
		if got := send(t, out, alert(0))[0]; got.Outcome != providers.Later || got.Scope != providers.Credential {
			t.Errorf("%+v", got)
		}
		if frozen := tokenOf(out).frozen; time.Until(frozen) < 19*time.Minute {
			t.Errorf("frozen until %v", frozen)
		}
	})
}

// A GOAWAY with the reason is all that a provider with the wrong certificate hears. It must not connect again and again
// for a push, as apns2 does by itself.
func TestWrongEnvironmentRefusesTheCredentialWithOneConnectionAPush(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		s := start(t, simulator.APNsConfig{Environment: simulator.Production})
		s.config.Sender = sender
		certificate, err := authority().PushCertificate(mdmTopic+"acme", simulator.PushOptions{Environment: simulator.Sandbox})
		if err != nil {
			t.Fatal(err)
		}
		credential, err := providers.NewAPNsCertificate(certificate.TLS, "", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		out := s.sender(t, credential)
		for i := range 3 {
			want := providers.Result{Ref: i, Outcome: providers.Refused, Reason: "BadCertificateEnvironment"}
			if got := send(t, out, push(i))[i]; got != want {
				t.Errorf("%+v", got)
			}
		}
		if n := s.Stats().Opened; n != 3 {
			t.Errorf("%d connections for 3 pushes", n)
		}
		if n := valueOf(t, s.metrics.GoAways.WithLabelValues("apns", "BadCertificateEnvironment")); n != 3 {
			t.Errorf("pushd_goaway_total counts %g", n)
		}
	})
}

func TestWhatIsNoRequestIsRejectedUnsent(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		s := start(t, simulator.APNsConfig{})
		s.config.Sender = sender
		bad, broken := push(0), push(1)
		bad.Token = "../../3/device/00"
		broken.Payload = []byte(`{"mdm":`)
		results := send(t, s.Sender(t, "acme"), bad, broken)
		if got := results[0]; got != (providers.Result{Ref: 0, Outcome: providers.Rejected, Reason: "invalid: token"}) {
			t.Errorf("%+v", got)
		}
		if got := results[1]; got != (providers.Result{Ref: 1, Outcome: providers.Rejected, Reason: "invalid: payload"}) {
			t.Errorf("%+v", got)
		}
		if n := s.Stats().Requests; n != 0 {
			t.Errorf("the server saw %d requests", n)
		}
	})
}

// The connections of many tenants share a budget and the process; each request has to come over one of its own tenant.
func TestACertificateServesItsOwnTenantAlone(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		const tenants, each = 6, 100
		var mu sync.Mutex
		served := map[string]map[string]int{} // by the certificate's topic, by the topic of the push
		s := start(t, simulator.APNsConfig{Answer: func(r simulator.Request) simulator.Answer {
			mu.Lock()
			defer mu.Unlock()
			if served[r.Tenant] == nil {
				served[r.Tenant] = map[string]int{}
			}
			served[r.Tenant][string(r.Payload)]++
			return simulator.Answer{}
		}})
		s.config.Sender, s.config.Connections = sender, 3
		budget := http2.NewBudget(tenants) // connections are taken from one tenant for another all the time
		var sends sync.WaitGroup
		for i := range tenants {
			tenant := fmt.Sprint("tenant-", i)
			certificate, err := authority().PushCertificate(mdmTopic+tenant, simulator.PushOptions{})
			if err != nil {
				t.Fatal(err)
			}
			credential, err := providers.NewAPNsCertificate(certificate.TLS, "", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			sender, err := New(s.config, credential, s.metrics, budget, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sender.Close)
			sends.Go(func() {
				all := pushes(each)
				for n := range all {
					all[n].Token, all[n].PushMagic = fmt.Sprintf("%064x", i*each+n+1), tenant
				}
				for ref, result := range send(t, sender, all...) {
					if result.Outcome != providers.Accepted {
						t.Errorf("push %v of %s: %+v", ref, tenant, result)
					}
				}
			})
		}
		sends.Wait()
		mu.Lock()
		defer mu.Unlock()
		for i := range tenants {
			tenant := fmt.Sprint("tenant-", i)
			if got := served[mdmTopic+tenant]; len(got) != 1 || got[`{"mdm":"`+tenant+`"}`] != each {
				t.Errorf("over the certificate of %s came %v", tenant, got)
			}
		}
	})
}

func TestMetricsFollowTheConnections(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		s := start(t, simulator.APNsConfig{})
		s.config.Sender = sender
		out := s.Sender(t, "acme")
		send(t, out, pushes(10)...)
		open := s.metrics.Connections.WithLabelValues("apns", providers.Open)
		if n := valueOf(t, open); n < 1 {
			t.Errorf("%g connections are open", n)
		}
		if n := valueOf(t, s.metrics.SendDuration.WithLabelValues("apns").(prometheus.Metric)); n != 10 {
			t.Errorf("%g durations of 10 pushes", n)
		}
		out.Close()
		for _, state := range []string{providers.Dialing, providers.Open, providers.Draining} {
			if n := valueOf(t, s.metrics.Connections.WithLabelValues("apns", state)); n != 0 {
				t.Errorf("%g connections are %s after Close", n, state)
			}
		}
	})
}

func TestNewRefusesAConfigurationOrCredentialThatCannotWork(t *testing.T) {
	t.Parallel()
	credential, _ := tokenCredential(t)
	logger := slog.New(slog.DiscardHandler)
	if _, err := New(Config{}, credential, nil, nil, logger); err == nil || !strings.Contains(err.Error(), "providers.apns.host") {
		t.Errorf("an empty configuration: %v", err)
	}
	if _, err := New(DefaultConfig(), &providers.APNsCredential{}, nil, nil, logger); err == nil {
		t.Error("an empty credential is taken")
	}
	cfg := DefaultConfig()
	cfg.Connection.RootCA = "missing.pem"
	if _, err := New(cfg, credential, nil, nil, logger); err == nil || !strings.Contains(err.Error(), "root_ca") {
		t.Errorf("a missing root_ca: %v", err)
	}
}
func TestATopicOfTheEventThatIsNotAllowedIsTheEventsFault(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		s := start(t, simulator.APNsConfig{})
		s.config.Sender = sender
		out := s.Sender(t, "acme")
		for topic, want := range map[string]providers.Outcome{
			"":                 providers.Accepted,
			mdmTopic + "acme":  providers.Accepted,
			mdmTopic + "other": providers.Rejected, // with the credential refused, all of the tenant's wakes would be held
		} {
			p := push(1)
			p.Topic = topic
			answered := make(chan providers.Result, 1)
			out.Send([]providers.Push{p}, func(results []providers.Result) { answered <- results[0] })
			if r := <-answered; r.Outcome != want {
				t.Errorf("topic %q: %+v, want outcome %d", topic, r, want)
			}
		}
	})
}
