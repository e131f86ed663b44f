package fcm

import (
	"context"
	"time"

	"pushd/providers"
)

// probeToken is no device's: registration tokens are longer, and made by Google.
const probeToken = "probe"

// Probe asks Google whether it accepts the account, for an access token first and then by a message that is only
// validated: no device receives it. Where the account is accepted, the outcome is Accepted, or TokenDead where the token
// is what FCM complains of.
func (s *library) Probe(ctx context.Context) providers.Result {
	now := time.Now()
	request, _ := newRequest(&providers.Push{Token: probeToken, Expires: now.Add(time.Minute)}, now)
	request.dryRun = true
	return s.push(ctx, request)
}
