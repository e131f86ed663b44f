package apns

import (
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"pushd/providers"
)

// Apple takes a provider token for an hour, and refuses new ones that come faster than every 20 minutes.
const (
	renewAfter  = 40 * time.Minute
	renewAtMost = 20 * time.Minute // how often, whatever an answer says
)

// providerToken is the JWT that authenticates the requests of a .p8 key. One is signed for all requests; it is renewed
// before it expires, or when APNs says that it has. A connection keeps the token it began with (see
// connection.Options), so that none ever sees tokens change too often.
type providerToken struct {
	key *providers.APNsKey

	mu     sync.Mutex // guards all below; held while signing, so that only one is
	bearer string     // the value of the authorization header
	signed time.Time
	frozen time.Time // until when no new one may be made
}

// current is the value of the authorization header for a connection opened now.
func (t *providerToken) current() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.bearer == "" || now.Sub(t.signed) >= renewAfter && !now.Before(t.frozen) {
		t.sign(now)
	}
	return t.bearer
}

// expired notes that APNs called bearer expired, and says whether there is, or now was made, a newer one to try.
func (t *providerToken) expired(bearer string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bearer != bearer {
		return true
	}
	now := time.Now()
	if now.Sub(t.signed) < renewAtMost || now.Before(t.frozen) {
		return false
	}
	t.sign(now)
	return true
}

// freeze keeps the token as it is for a while: APNs said that it changes too often.
func (t *providerToken) freeze() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frozen = time.Now().Add(renewAtMost)
}

// sign makes a new token; t.mu is held.
func (t *providerToken) sign(now time.Time) {
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": t.key.TeamID, "iat": now.Unix()})
	token.Header = map[string]any{"alg": jwt.SigningMethodES256.Alg(), "kid": t.key.KeyID}
	signed, err := token.SignedString(t.key.Key.Reveal())
	if err != nil {
		panic("apns: a P-256 key does not sign: " + err.Error())
	}
	t.bearer, t.signed = "bearer "+signed, now
}
