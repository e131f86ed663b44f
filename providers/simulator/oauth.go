package simulator

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const jwtBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// messagingScopes are those of which FCM asks for one.
var messagingScopes = []string{
	"https://www.googleapis.com/auth/firebase.messaging",
	"https://www.googleapis.com/auth/firebase",
	"https://www.googleapis.com/auth/cloud-platform",
}

// tokenEndpoint gives access tokens for assertions signed by service accounts (RFC 7523, section 2.1).
type tokenEndpoint struct {
	config *FCMConfig
	url    string
	http   *http.Server
	served chan struct{} // closed when the listener's goroutine ends

	mu       sync.RWMutex              // guards what follows
	accounts map[string]ServiceAccount // by email
	projects map[string]bool
	grants   map[string]grant // by access token
	asked    map[string]int   // valid token requests, by email
	count    int
	sweepAt  int // how many grants there may be before the expired ones are dropped
}

// grant is what an access token is good for.
type grant struct {
	email, project string
	expires        time.Time
}

func startTokenEndpoint(config *FCMConfig, cert tls.Certificate) (*tokenEndpoint, error) {
	listen := config.TokenListen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	e := &tokenEndpoint{
		config: config,
		url:    "https://" + l.Addr().String() + "/token",
		served: make(chan struct{}),

		accounts: make(map[string]ServiceAccount),
		projects: make(map[string]bool),
		grants:   make(map[string]grant),
		asked:    make(map[string]int),
	}
	for _, a := range config.Accounts {
		e.register(a)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", e.serveToken)
	e.http = &http.Server{
		Handler:           mux,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: handshakeTimeout,
		ErrorLog:          log.New(io.Discard, "", 0), // a client's failed handshake is the client's to tell
	}
	go func() {
		defer close(e.served)
		_ = e.http.ServeTLS(l, "", "") // ends by Close
	}()
	return e, nil
}

func (e *tokenEndpoint) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	err := e.http.Shutdown(ctx) // does not wait: it tells HTTP/2 connections to go
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	err = errors.Join(err, e.http.Close())
	<-e.served
	return err
}

func (e *tokenEndpoint) register(a ServiceAccount) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.accounts[a.Email] = a
	e.projects[a.Project] = true
}

func (e *tokenEndpoint) revoke() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.grants)
}

func (e *tokenEndpoint) granted() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.count
}

func (e *tokenEndpoint) knows(project string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.projects[project]
}

func (e *tokenEndpoint) grantOf(token string) (grant, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	g, ok := e.grants[token]
	return g, ok
}

func (e *tokenEndpoint) serveToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if r.FormValue("grant_type") != jwtBearerGrant {
		refuseGrant(w, http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+r.FormValue("grant_type"))
		return
	}
	account, fault := e.verify(r.FormValue("assertion"))
	if fault != "" {
		refuseGrant(w, http.StatusBadRequest, "invalid_grant", fault)
		return
	}
	if status := e.decide(account.Email); status != 0 && status != http.StatusOK {
		code := "temporarily_unavailable"
		if status < 500 {
			code = "invalid_grant"
		}
		refuseGrant(w, status, code, http.StatusText(status))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": e.give(account),
		"expires_in":   int(e.config.TokenLife.Seconds()),
		"token_type":   "Bearer",
	})
}

// assertion is the claims of a grant; Google adds scope to those of RFC 7523.
type assertion struct {
	jwt.RegisteredClaims
	Scope string `json:"scope"`
}

// verify returns the account that signed an assertion, or what is wrong with it in Google's words.
func (e *tokenEndpoint) verify(signed string) (account ServiceAccount, fault string) {
	var claims assertion
	_, err := jwt.ParseWithClaims(signed, &claims, func(*jwt.Token) (any, error) {
		e.mu.RLock()
		defer e.mu.RUnlock()
		var ok bool
		if account, ok = e.accounts[claims.Issuer]; !ok {
			return nil, errUnknownKey
		}
		return account.Public, nil
	},
		jwt.WithValidMethods([]string{"RS256"}),
		jwt.WithAudience(e.url),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(clockTolerance),
	)
	switch {
	case errors.Is(err, errUnknownKey):
		return account, "Invalid grant: account not found"
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return account, "Invalid JWT Signature."
	case err != nil:
		return account, "Invalid JWT: " + err.Error()
	case claims.IssuedAt == nil || claims.ExpiresAt.Sub(claims.IssuedAt.Time) > time.Hour:
		return account, "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
	}
	for _, scope := range strings.Fields(claims.Scope) {
		if slices.Contains(messagingScopes, scope) {
			return account, ""
		}
	}
	return account, "Invalid OAuth scope or ID token audience provided."
}

func (e *tokenEndpoint) decide(email string) int {
	e.mu.Lock()
	n := e.asked[email]
	e.asked[email]++
	e.mu.Unlock()
	if e.config.Grant == nil {
		return 0
	}
	return e.config.Grant(email, n)
}

func (e *tokenEndpoint) give(a ServiceAccount) string {
	token := "ya29." + rand.Text()
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.grants) >= e.sweepAt {
		maps.DeleteFunc(e.grants, func(_ string, g grant) bool { return now.After(g.expires) })
		e.sweepAt = max(1024, 2*len(e.grants))
	}
	e.grants[token] = grant{a.Email, a.Project, now.Add(e.config.TokenLife)}
	e.count++
	return token
}

func refuseGrant(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]string{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client left; there is nobody to tell
}
