package apns

import (
	"context"
	"strings"
	"time"

	"pushd/providers"
)

// probeToken is no device's: a token is whole octets, and this is half of one.
const probeToken = "0"

// Probe asks APNs whether it accepts the credential, by a push that no device can receive: where it does, the token is
// what it complains of, so the outcome is TokenDead. It is one call that waits: what a library is made for.
func (s *library) Probe(ctx context.Context) providers.Result {
	push := probePush(s.topic)
	return s.send(ctx, &push)
}

func probePush(topic string) providers.Push {
	push := providers.Push{Token: probeToken, PushMagic: "probe", Expires: time.Now().Add(time.Minute)}
	if !strings.HasPrefix(topic, "com.apple.mgmt.") { // an app's topic takes no MDM pushes
		push.PushType, push.Payload = pushTypeBackground, []byte(`{"aps":{"content-available":1}}`)
	}
	return push
}
