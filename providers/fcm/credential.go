package fcm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"

	"pushd/providers"
	"pushd/providers/connection"
)

const (
	scope = "https://www.googleapis.com/auth/firebase.messaging"
	// renewShare is the last part of its life in which an access token is renewed, while it is still used: of an hour the
	// last 5 minutes.
	renewShare = 12
	// endBefore is how long before its end an access token is no longer used.
	endBefore = 10 * time.Second
	// grantPause is the wait after a failed renewal, while the old token is still used.
	grantPause = 10 * time.Second
	// grantTimeout bounds one request for a token.
	grantTimeout = 30 * time.Second
	// maxGrantHeader bounds the header of its answer, in bytes; the body is bounded by x/oauth2.
	maxGrantHeader = 64 << 10
	// defaultLife is that of a token whose answer names none; Google's last an hour.
	defaultLife = 10 * time.Minute
)

// accessToken is the OAuth 2.0 token of a service account (RFC 7523). One request for it is under way at a time,
// whoever asks.
//
//	goroutine   owns                     ends when                     waited for by
//	grant       the request for a token  it is answered, or Close      Close
type accessToken struct {
	config *jwt.Config
	client *http.Client
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	grants sync.WaitGroup

	mu      sync.Mutex // guards all below
	token   string
	renew   time.Time // from when on a new one is asked for
	ends    time.Time // until when this one is used
	pending *grant    // nil while none is under way
}

// grant is a request for a token, and those who wait for it.
type grant struct {
	done  chan struct{} // closed by accessToken.grant
	token string        // to be read after done
	err   error         // to be read after done
}

// errGrantRefused: the account is not accepted, or its key is not.
var errGrantRefused = errors.New("the token endpoint refuses the service account")

// newAccessToken makes the token of a credential. Tokens are had from Google only, unless the authority is the
// operator's own: an account file could name any address.
func newAccessToken(cfg connection.Config, credential *providers.FCMCredential) (*accessToken, error) {
	if name := credential.TokenURI.Hostname(); cfg.RootCA == "" && !strings.HasSuffix(name, ".googleapis.com") {
		return nil, fmt.Errorf("token_uri: %q is not Google's; download the account's key from Google anew, or set providers.fcm.root_ca if this server is your own", name)
	}
	config, err := google.JWTConfigFromJSON(credential.Account.Reveal(), scope)
	if err != nil {
		return nil, fmt.Errorf("service account: %w", err)
	}
	tls, err := cfg.TLSConfig()
	if err != nil {
		return nil, err
	}
	client := &http.Client{
		// A token is had once an hour: no connection is kept.
		Transport:     &http.Transport{TLSClientConfig: tls, ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: maxGrantHeader},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       grantTimeout,
	}
	t := &accessToken{config: config, client: client}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t, nil
}

// ready is a token that is good for a while, if there is one. It sees to it that there will be one.
func (t *accessToken) ready() (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	good := now.Before(t.ends)
	if (!good || !now.Before(t.renew)) && t.pending == nil && t.ctx.Err() == nil {
		t.startGrant()
	}
	return t.token, good
}

// current is a token that is good for a while. It waits where there is none.
func (t *accessToken) current(ctx context.Context) (string, error) {
	token, good := t.ready()
	if good {
		return token, nil
	}
	t.mu.Lock()
	pending := t.pending
	t.mu.Unlock()
	switch {
	case pending != nil:
	case t.ctx.Err() != nil:
		return "", t.ctx.Err()
	default: // it came in between
		return t.current(ctx)
	}
	select {
	case <-pending.done:
		return pending.token, pending.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// unauthenticated notes that FCM did not accept token: it is not given again.
func (t *accessToken) unauthenticated(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token, t.renew, t.ends = "", time.Time{}, time.Time{}
	}
}

// startGrant begins a request for a token; t.mu is held.
func (t *accessToken) startGrant() {
	g := &grant{done: make(chan struct{})}
	t.pending = g
	t.grants.Go(func() { t.grant(g) })
}

func (t *accessToken) grant(g *grant) {
	token, err := t.config.TokenSource(context.WithValue(t.ctx, oauth2.HTTPClient, t.client)).Token()
	if err == nil && token.Expiry.IsZero() {
		token.Expiry = time.Now().Add(defaultLife)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = nil
	t.renew = time.Now().Add(grantPause)
	if g.err = grantError(err); g.err == nil {
		g.token = token.AccessToken
		t.token = token.AccessToken
		t.ends = token.Expiry.Add(-endBefore)
		t.renew = token.Expiry.Add(-time.Until(token.Expiry) / renewShare)
	}
	close(g.done)
}

// grantError tells a refused account from an endpoint that cannot be had now. The endpoint's own text is dropped: it
// may repeat what it was sent.
func grantError(err error) error {
	var retrieve *oauth2.RetrieveError
	if !errors.As(err, &retrieve) {
		return err
	}
	status := retrieve.Response.StatusCode
	if status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests {
		return errGrantRefused
	}
	return fmt.Errorf("the token endpoint answered %d", status)
}

// Close ends a request under way; those who wait for it get its error.
func (t *accessToken) Close() {
	t.cancel()
	t.client.CloseIdleConnections()
	t.grants.Wait()
}
