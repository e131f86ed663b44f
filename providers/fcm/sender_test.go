package fcm

import (
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/providers"
	"pushd/providers/conformance"
	"pushd/providers/simulator"
)

// send sends pushes and returns their answers.
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

func wantAccepted(t *testing.T, results map[any]providers.Result) {
	t.Helper()
	for ref, result := range results {
		if result.Outcome != providers.Accepted {
			t.Errorf("push %v: %+v", ref, result)
		}
	}
}

// bySender runs a test with each of the two ways to send.
func bySender(t *testing.T, test func(t *testing.T, sender string)) {
	t.Helper()
	for _, sender := range []string{Pipelined, Library} {
		t.Run(sender, func(t *testing.T) { t.Parallel(); test(t, sender) })
	}
}

func accessOf(s providers.Sender) *accessToken {
	if l, ok := s.(*library); ok {
		return l.access
	}
	return s.(*pipelined).access
}

func TestServerSeesWhatThePushSays(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		var mu sync.Mutex
		seen := make(map[string]simulator.Request)
		s := start(t, simulator.FCMConfig{Answer: func(r simulator.Request) simulator.Answer {
			mu.Lock()
			defer mu.Unlock()
			r.Payload = append([]byte(nil), r.Payload...)
			seen[r.Token] = r
			return simulator.Answer{}
		}})
		s.config.Sender = sender
		urgent := push(1)
		urgent.Urgent = true
		wantAccepted(t, send(t, s.Sender(t, "acme"), push(0), urgent))
		mu.Lock()
		defer mu.Unlock()
		if a, b := seen[push(0).Token], seen[urgent.Token]; a.Priority != "normal" || b.Priority != "high" || a.Topic != "acme-mdm" {
			t.Errorf("%+v, %+v", a, b)
		}
		var body struct {
			Message struct {
				Data    map[string]string
				Android struct {
					DirectBootOK bool `json:"direct_boot_ok"`
				}
			}
		}
		if err := json.Unmarshal(seen[urgent.Token].Payload, &body); err != nil || body.Message.Data["t"] != "checkin" || !body.Message.Android.DirectBootOK {
			t.Errorf("%v in %s", err, seen[urgent.Token].Payload)
		}
	})
}

func TestStreamsStayWithinFCMsLimit(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		s := start(t, simulator.FCMConfig{Latency: 5 * time.Millisecond})
		s.config.Sender = sender
		wantAccepted(t, send(t, s.Sender(t, "acme"), pushes(2000)...))
		if stats := s.Stats(); stats.PeakStreams > maxStreams || stats.Opened > uint64(s.config.Connections) {
			t.Errorf("%d streams at a time, %d connections", stats.PeakStreams, stats.Opened)
		}
		if n := s.Grants(); n != 1 {
			t.Errorf("%d access tokens for one burst", n)
		}
	})
}

func TestARevokedAccessTokenIsRenewedOnceForAll(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		s := start(t, simulator.FCMConfig{})
		s.config.Sender = sender
		out := s.Sender(t, "acme")
		wantAccepted(t, send(t, out, push(0)))
		s.RevokeTokens()
		wantAccepted(t, send(t, out, pushes(100)...))
		if n := s.Grants(); n != 2 {
			t.Errorf("%d access tokens", n)
		}
	})
}

func TestAnAccessTokenThatEndsIsNotUsed(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		// Shorter than what is left unused of each: no token serves a second push.
		s := start(t, simulator.FCMConfig{TokenLife: endBefore})
		s.config.Sender = sender
		out := s.Sender(t, "acme")
		for i := range 3 {
			wantAccepted(t, send(t, out, push(i)))
		}
		if n := s.Grants(); n != 3 {
			t.Errorf("%d access tokens for 3 pushes", n)
		}
	})
}

func TestAnAccessTokenIsRenewedWhileItIsStillGood(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		s := start(t, simulator.FCMConfig{})
		s.config.Sender = sender
		out := s.Sender(t, "acme")
		wantAccepted(t, send(t, out, push(0)))
		access := accessOf(out)
		access.mu.Lock()
		access.renew = time.Now().Add(-time.Second)
		first := access.token
		access.mu.Unlock()

		if token, err := access.current(t.Context()); err != nil || token != first {
			t.Errorf("while it is renewed the old one is not given: %v", err)
		}
		access.grants.Wait()
		if token, err := access.current(t.Context()); err != nil || token == first {
			t.Errorf("after it is renewed the old one is given: %v", err)
		}
		if n := s.Grants(); n != 2 {
			t.Errorf("%d access tokens", n)
		}
	})
}

func TestTheTokenEndpointsAnswersHaveTheirOutcome(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		refusal := providers.Result{Ref: 0, Outcome: providers.Refused, Reason: "oauth: refused"}
		wait := providers.Result{Ref: 0, Outcome: providers.Later, Scope: providers.Credential, Reason: "oauth: unavailable", Wait: 10 * time.Second}
		for status, want := range map[int]providers.Result{400: refusal, 401: refusal, 403: refusal, 408: wait, 429: wait, 500: wait, 503: wait} {
			s := start(t, simulator.FCMConfig{Grant: func(string, int) int { return status }})
			s.config.Sender = sender
			if got := send(t, s.Sender(t, "acme"), push(0))[0]; got != want {
				t.Errorf("%d: %+v, want %+v", status, got, want)
			}
			if n := s.Stats().Requests; n != 0 {
				t.Errorf("%d: FCM saw %d requests", status, n)
			}
		}
	})
}

func TestAnUnknownServiceAccountIsRefused(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		s := start(t, simulator.FCMConfig{})
		s.config.Sender = sender
		account, err := simulator.NewServiceAccount("stranger-mdm", s.TokenURL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := send(t, s.sender(t, account.JSON), push(0))[0]; got.Outcome != providers.Refused {
			t.Errorf("%+v", got)
		}
	})
}

func TestAccessTokensComeFromGoogleOnlyUnlessTheAuthorityIsTheOperators(t *testing.T) {
	t.Parallel()
	for uri, good := range map[string]bool{
		"https://oauth2.googleapis.com/token":              true,
		"https://oauth2.googleapis.com.evil.example/token": false,
		"https://evilgoogleapis.com/token":                 false,
		"https://169.254.169.254/token":                    false,
		"https://127.0.0.1/token":                          false,
	} {
		account, err := simulator.NewServiceAccount("acme-mdm", uri, nil)
		if err != nil {
			t.Fatal(err)
		}
		credential, err := providers.NewFCMCredential(account.JSON)
		if err != nil {
			t.Fatal(err)
		}
		sender, err := New(DefaultConfig(), credential, providers.NewMetrics(prometheus.NewRegistry()), nil, slog.New(slog.DiscardHandler))
		if (err == nil) != good {
			t.Errorf("%s: %v", uri, err)
		}
		if err == nil {
			sender.Close()
		} else if !strings.Contains(err.Error(), "token_uri") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func TestWhatIsNoMessageIsRejectedUnsent(t *testing.T) {
	t.Parallel()
	bySender(t, func(t *testing.T, sender string) {
		s := start(t, simulator.FCMConfig{})
		s.config.Sender = sender
		empty, broken := push(0), push(1)
		empty.Token, broken.Payload = "", []byte(`[]`)
		results := send(t, s.Sender(t, "acme"), empty, broken)
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

func TestNewRefusesAConfigurationThatCannotWork(t *testing.T) {
	t.Parallel()
	account, err := simulator.NewServiceAccount("acme-mdm", "https://oauth2.googleapis.com/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	credential, err := providers.NewFCMCredential(account.JSON)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Connection.RootCA = "missing.pem"
	for name, cfg := range map[string]Config{"providers.fcm.endpoint": {}, "root_ca": cfg} {
		if _, err := New(cfg, credential, nil, nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
