package fcm

import (
	"testing"

	"pushd/providers"
	"pushd/providers/simulator"
)

func TestProbeTellsWhetherTheAccountIsAcceptedAndPushesToNobody(t *testing.T) {
	t.Parallel()
	s := start(t, simulator.FCMConfig{Answer: func(r simulator.Request) simulator.Answer {
		t.Errorf("a message to %s would have been delivered", r.Token)
		return simulator.Answer{}
	}})
	s.config.Sender = Library
	if got := s.Sender(t, "acme").(*library).Probe(t.Context()); got.Outcome != providers.Accepted {
		t.Errorf("an account: %+v", got)
	}
	unknown, err := simulator.NewServiceAccount("stranger", s.TokenURL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.sender(t, unknown.JSON).(*library).Probe(t.Context()); got.Outcome != providers.Refused || got.Reason != "oauth: refused" {
		t.Errorf("an unknown account: %+v", got)
	}
	s.Stop()
	if got := s.Sender(t, "acme").(*library).Probe(t.Context()); got.Outcome != providers.Later || got.Reason != "oauth: unavailable" {
		t.Errorf("with nobody there: %+v", got)
	}
}
