package apns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"pushd/providers"
)

func newToken(t *testing.T) (*providerToken, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &providerToken{key: &providers.APNsKey{KeyID: "ABCDEFGHIJ", TeamID: "TEAM012345", Key: providers.NewSecret(key)}}, key
}

func TestProviderTokenIsWhatAppleVerifies(t *testing.T) {
	t.Parallel()
	token, key := newToken(t)
	text, ok := strings.CutPrefix(token.current(), "bearer ")
	if !ok {
		t.Fatal("no bearer")
	}
	parsed, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return &key.PublicKey, nil }, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuedAt())
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed.Header) != 2 || parsed.Header["kid"] != "ABCDEFGHIJ" {
		t.Errorf("header %v", parsed.Header)
	}
	claims := parsed.Claims.(jwt.MapClaims)
	if len(claims) != 2 || claims["iss"] != "TEAM012345" {
		t.Errorf("claims %v", claims)
	}
}

func TestProviderTokenIsRenewedBetween20And60Minutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, _ := newToken(t)
		seen := map[string]time.Time{}
		start := time.Now()
		last := ""
		for time.Since(start) < 10*time.Hour {
			bearer := token.current()
			first, known := seen[bearer]
			if !known {
				seen[bearer] = time.Now()
				if at, ok := seen[last]; ok && time.Since(at) < 20*time.Minute {
					t.Fatalf("renewed after %v", time.Since(at))
				}
				last = bearer
			} else if time.Since(first) >= time.Hour {
				t.Fatalf("used after %v", time.Since(first))
			}
			<-time.After(time.Minute)
		}
		if len(seen) < 10 || len(seen) > 30 {
			t.Errorf("%d tokens in 10 hours", len(seen))
		}
	})
}

func TestProviderTokenIsSignedOnceForAllWhoAsk(t *testing.T) {
	t.Parallel()
	token, _ := newToken(t)
	bearers := make([]string, 64)
	var asked sync.WaitGroup
	for i := range bearers {
		asked.Go(func() { bearers[i] = token.current() })
	}
	asked.Wait()
	for _, bearer := range bearers {
		if bearer != bearers[0] || bearer == "" {
			t.Fatal("two tokens were signed")
		}
	}
}

func TestExpiredProviderTokenIsRenewedNotSoonerThanAppleAllows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, _ := newToken(t)
		first := token.current()
		<-time.After(19 * time.Minute)
		if token.expired(first) || token.current() != first {
			t.Error("renewed after 19 minutes")
		}
		<-time.After(2 * time.Minute)
		if !token.expired(first) || token.current() == first {
			t.Error("not renewed after 21 minutes")
		}
		second := token.current()
		if !token.expired(first) || token.current() != second {
			t.Error("who comes late with the old token does not get the renewed one")
		}
		if token.expired(second) {
			t.Error("a fresh token is renewed")
		}
	})
}

func TestTooManyUpdatesFreezeTheProviderToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, _ := newToken(t)
		first := token.current()
		<-time.After(30 * time.Minute)
		token.freeze()
		<-time.After(19 * time.Minute)
		if token.expired(first) || token.current() != first {
			t.Error("renewed while frozen")
		}
		<-time.After(time.Minute)
		if token.current() == first {
			t.Error("not renewed after 20 minutes")
		}
	})
}
