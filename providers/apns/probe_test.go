package apns

import (
	"testing"
	"time"

	"pushd/providers"
	"pushd/providers/simulator"
)

func TestProbeTellsWhetherTheCredentialIsAcceptedAndPushesToNobody(t *testing.T) {
	t.Parallel()
	stranger, err := simulator.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stranger.PushCertificate(mdmTopic+"acme", simulator.PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	refusedCertificate, err := providers.NewAPNsCertificate(foreign.TLS, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	known, key := tokenCredential(t)
	unknown, _ := tokenCredential(t)
	s := start(t, simulator.APNsConfig{Keys: []simulator.ProviderKey{key}, Answer: func(r simulator.Request) simulator.Answer {
		t.Errorf("a push to %s would have been delivered", r.Token)
		return simulator.Answer{}
	}})
	s.config.Sender = Library
	for name, row := range map[string]struct {
		sender  providers.Sender
		outcome providers.Outcome
		reason  string
	}{
		"certificate":         {s.Sender(t, "acme"), providers.TokenDead, "BadDeviceToken"},
		"foreign certificate": {s.sender(t, refusedCertificate), providers.Refused, "BadCertificate"},
		"key":                 {s.sender(t, known), providers.TokenDead, "BadDeviceToken"},
		"unknown key":         {s.sender(t, unknown), providers.Refused, "InvalidProviderToken"},
	} {
		if got := row.sender.(*library).Probe(t.Context()); got.Outcome != row.outcome || got.Reason != row.reason {
			t.Errorf("%s: %+v", name, got)
		}
	}
	s.Stop()
	if got := s.Sender(t, "late").(*library).Probe(t.Context()); got.Outcome != providers.Again || got.Reason != "transport: dial" {
		t.Errorf("with nobody there: %+v", got)
	}
}

// An app's topic takes no MDM pushes, and an MDM topic no others.
func TestProbeIsAPushThatItsTopicTakes(t *testing.T) {
	t.Parallel()
	for topic, pushType := range map[string]string{mdmTopic + "acme": "mdm", "com.example.agent": "background"} {
		push := probePush(topic)
		request, fault := newRequest(&push, topic)
		if fault != "" || request.pushType != pushType || len(request.token)%2 == 0 {
			t.Errorf("%s: %+v, %s", topic, request, fault)
		}
	}
}
