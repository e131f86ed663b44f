package simulator

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	tokenLife      = time.Hour        // Apple: a provider token older than one hour is expired
	tokenRefresh   = 20 * time.Minute // Apple: refresh no more than once every 20 minutes
	clockTolerance = 5 * time.Minute  // how far in the future iat may be; Apple gives no figure
)

// bearer is the token authentication of one connection: Apple binds a connection to the key of its first push.
type bearer struct {
	keys map[string]*ProviderKey // by kid; shared, read only

	key     *ProviderKey // of the first accepted token
	current string       // authorization value last found good, so that a signature is verified once
	issued  time.Time    // its iat
	since   time.Time    // when it was first used here
}

// check verifies an authorization field.
func (b *bearer) check(authorization string, now time.Time) refusal {
	if authorization == "" {
		return forbidden("MissingProviderToken")
	}
	if authorization == b.current {
		return b.checkAge(b.issued, now)
	}
	token, ok := cutBearer(authorization)
	if !ok {
		return forbidden("InvalidProviderToken")
	}
	key, issued, err := b.verify(token)
	if err != nil || issued.After(now.Add(clockTolerance)) {
		return forbidden("InvalidProviderToken")
	}
	if r := b.checkAge(issued, now); r.status != 0 {
		return r
	}
	switch {
	case b.key == nil:
		b.key = key
	case key.TeamID != b.key.TeamID:
		return forbidden("InvalidProviderToken") // one team per connection
	case key.KeyID != b.key.KeyID:
		return forbidden("UnrelatedKeyIdInToken")
	case now.Sub(b.since) < tokenRefresh:
		return refusal{429, "TooManyProviderTokenUpdates"}
	}
	b.current, b.issued, b.since = authorization, issued, now
	return refusal{}
}

func (b *bearer) checkAge(issued, now time.Time) refusal {
	if now.Sub(issued) > tokenLife {
		return forbidden("ExpiredProviderToken")
	}
	return refusal{}
}

var errUnknownKey = errors.New("unknown kid or iss")

// verify checks a provider token's form and signature and returns its key and iat.
func (b *bearer) verify(token string) (*ProviderKey, time.Time, error) {
	var claims jwt.RegisteredClaims
	var key *ProviderKey
	_, err := jwt.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		if key = b.keys[kid]; key == nil || claims.Issuer != key.TeamID {
			return nil, errUnknownKey
		}
		return key.Public, nil
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithoutClaimsValidation())
	if err != nil {
		return nil, time.Time{}, err
	}
	if claims.IssuedAt == nil {
		return nil, time.Time{}, jwt.ErrTokenRequiredClaimMissing
	}
	return key, claims.IssuedAt.Time, nil
}

// cutBearer takes the token from "bearer <token>"; the scheme's case does not matter (RFC 9110, section 11.1).
func cutBearer(authorization string) (string, bool) {
	const scheme = "bearer "
	if len(authorization) <= len(scheme) || !strings.EqualFold(authorization[:len(scheme)], scheme) {
		return "", false
	}
	return authorization[len(scheme):], true
}

func (k *ProviderKey) mayPush(topic string) bool {
	if len(k.Topics) == 0 {
		return !strings.HasPrefix(topic, "com.apple.mgmt.")
	}
	return slices.Contains(k.Topics, topic)
}
