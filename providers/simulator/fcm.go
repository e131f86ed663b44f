package simulator

import (
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// fcmStreams is what FCM announces, and the limit beyond which it ends the connection.
const fcmStreams = 100

// FCMConfig describes an FCM server and its OAuth 2.0 token endpoint; the zero value and an Authority give one that
// accepts what is valid.
type FCMConfig struct {
	Listen      string           // address, default "127.0.0.1:0"
	TokenListen string           // address of the token endpoint, default "127.0.0.1:0"
	Authority   *Authority       // issued the servers' certificates
	Names       []string         // DNS names or addresses of the servers; default localhost
	Latency     time.Duration    // from the end of a request to its answer
	MaxStreams  uint32           // SETTINGS_MAX_CONCURRENT_STREAMS; default 100
	Accounts    []ServiceAccount // whose grants are accepted; more by Register or NewAccount
	Account     *Account         // shared with other servers; nil makes one
	TokenLife   time.Duration    // of an access token; default an hour

	// Answer decides on each request that passed the checks; nil accepts it. It is called by many connections at a time.
	Answer func(Request) Answer
	// Conduct says how the HTTP/2 of a connection (counted from 1) misbehaves; nil: it does not.
	Conduct func(connection uint64) Conduct
	// Accepted is told of each accepted push as its answer is sent: the n-th of that token, from 1. It is called by many
	// connections at a time, and holds its own up meanwhile.
	Accepted func(token string, receipt Receipt, n int)
	// Grant decides on each valid token request of an account: an HTTP status other than 0 or 200 refuses it. n counts from 0.
	Grant func(email string, n int) int
}

// FCM is a running FCM server with its token endpoint.
type FCM struct {
	*server
	tokens *tokenEndpoint
}

// StartFCM starts a server; Close stops it.
func StartFCM(config FCMConfig) (*FCM, error) {
	if config.Authority == nil {
		return nil, errors.New("simulator: FCMConfig.Authority is missing")
	}
	cert, err := config.Authority.Server(config.Names...)
	if err != nil {
		return nil, err
	}
	if config.MaxStreams == 0 {
		config.MaxStreams = fcmStreams
	}
	if config.TokenLife == 0 {
		config.TokenLife = time.Hour
	}
	if config.Account == nil {
		config.Account = NewAccount()
	}
	tokens, err := startTokenEndpoint(&config, cert)
	if err != nil {
		return nil, fmt.Errorf("start FCM simulator's token endpoint: %w", err)
	}
	srv, err := startServer(service{
		listen:   config.Listen,
		tls:      &tls.Config{Certificates: []tls.Certificate{cert}},
		latency:  config.Latency,
		account:  config.Account,
		conduct:  config.Conduct,
		accepted: config.Accepted,
		session: func(id uint64, _ tls.ConnectionState) session {
			return &fcmSession{config: &config, tokens: tokens, connection: id}
		},
		overLimit: &GoAway{Code: http2.ErrCodeProtocol, Debug: "exceeded_max_concurrent_streams"},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start FCM simulator: %w", err), tokens.close())
	}
	return &FCM{srv, tokens}, nil
}

// TokenURL is the token_uri of service accounts.
func (f *FCM) TokenURL() string { return f.tokens.url }

// Grants is how many access tokens were given out.
func (f *FCM) Grants() int { return f.tokens.granted() }

// NewAccount makes a service account of a project that this server accepts. key nil means SharedRSAKey.
func (f *FCM) NewAccount(project string, key *rsa.PrivateKey) (ServiceAccount, error) {
	account, err := NewServiceAccount(project, f.TokenURL(), key)
	if err != nil {
		return ServiceAccount{}, err
	}
	f.Register(account)
	return account, nil
}

// Register makes the server accept a service account, and know its project.
func (f *FCM) Register(account ServiceAccount) { f.tokens.register(account) }

// RevokeTokens makes all access tokens given out so far unknown: the next request with one is answered 401.
func (f *FCM) RevokeTokens() { f.tokens.revoke() }

// Close stops both servers and waits for their goroutines.
func (f *FCM) Close() error { return errors.Join(f.server.Close(), f.tokens.close()) }

// fcmSession is FCM's side of one connection. Its connection's reader owns it.
type fcmSession struct {
	config     *FCMConfig
	tokens     *tokenEndpoint
	connection uint64
	messages   uint64
	parser     messages
}

func (s *fcmSession) limit(int) uint32 { return s.config.MaxStreams }

func (s *fcmSession) answer(st *stream) Answer {
	email, project, refused := s.authorize(&st.header, st.received)
	var m fcmMessage
	if refused == nil {
		m, refused = s.parser.parse(st.body)
	}
	if refused != nil {
		st.reply = refused.append(st.reply)
		return Answer{Status: refused.status, Reason: refused.name()}
	}
	a := s.decide(st, &m, email, project)
	switch {
	case a.Status == 0 && a.Reason == "":
		a.Status = http.StatusOK
	case a.Status == 0:
		a.Status = fcmErrors[a.Reason].status
	}
	if a.Status == http.StatusOK {
		st.reply = s.appendName(st.reply, project, &m, st.received)
	} else {
		e := errorOf(a.Status, a.Reason)
		st.reply = e.append(st.reply)
		if a.Reason == "" && a.Body == nil {
			a.Reason = e.name() // for Account.Answers
		}
	}
	return a
}

func (s *fcmSession) decide(st *stream, m *fcmMessage, email, project string) Answer {
	if m.validateOnly {
		return Answer{}
	}
	account := s.config.Account
	attempt := account.ask(m.token)
	st.token, st.topic = m.token, project
	if s.config.Answer == nil {
		return Answer{}
	}
	return s.config.Answer(Request{
		Token: m.token, Topic: project, Tenant: email, Priority: m.priority, Payload: st.body,
		At: st.received, Attempt: attempt, Connection: s.connection, Stream: st.id,
	})
}

// authorize checks method, path and access token, and returns the account's email and the project.
func (s *fcmSession) authorize(h *header, now time.Time) (email, project string, refused *fcmError) {
	rest, ok := strings.CutPrefix(h.values[fieldPath], "/v1/projects/")
	project, send := strings.CutSuffix(rest, "/messages:send")
	if h.values[fieldMethod] != http.MethodPost || !ok || !send || project == "" || strings.ContainsAny(project, "/?") {
		return "", "", errorOf(http.StatusNotFound, "")
	}
	token, _ := cutBearer(h.values[fieldAuthorization])
	grant, ok := s.tokens.grantOf(token)
	switch {
	case !ok || now.After(grant.expires):
		return "", "", errorOf(http.StatusUnauthorized, "")
	case !s.tokens.knows(project):
		return "", "", errorOf(http.StatusNotFound, "")
	case grant.project != project:
		return "", "", errorOf(http.StatusForbidden, "")
	}
	return grant.email, project, nil
}

// appendName renders the body of a success.
func (s *fcmSession) appendName(b []byte, project string, m *fcmMessage, at time.Time) []byte {
	b = append(b, `{"name":"projects/`...)
	b = append(b, project...)
	b = append(b, `/messages/`...)
	if m.validateOnly {
		return append(b, `fake_message_id"}`...)
	}
	s.messages++
	b = append(b, "0:"...)
	b = strconv.AppendInt(b, at.UnixMicro(), 10)
	b = append(b, '%')
	b = strconv.AppendUint(b, s.connection<<32|s.messages, 16)
	return append(b, `"}`...)
}
