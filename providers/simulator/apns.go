package simulator

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// CertificateRefusal is how an APNs server turns away a client certificate that it does not accept.
type CertificateRefusal uint8

const (
	// RefuseByGoAway sends GOAWAY with last-stream-id 0 and the reason as JSON at the first request, as seen of APNs.
	RefuseByGoAway CertificateRefusal = iota
	// RefuseByStatus answers each request 403.
	RefuseByStatus
)

// APNsConfig describes an APNs server; the zero value and an Authority give one that accepts what is valid.
type APNsConfig struct {
	Listen     string        // address, default "127.0.0.1:0"
	Authority  *Authority    // issued the server's certificate, and those of its clients
	Names      []string      // DNS names or addresses of the server; default localhost
	Latency    time.Duration // from the end of a request to its answer
	MaxStreams uint32        // SETTINGS_MAX_CONCURRENT_STREAMS; default 1000
	Keys       []ProviderKey // for token authentication
	Account    *Account      // shared with other servers; nil makes one

	// Answer decides on each request that passed the checks; nil accepts it. It is called by many connections at a time.
	Answer func(Request) Answer
	// Conduct says how the HTTP/2 of a connection (counted from 1) misbehaves; nil: it does not.
	Conduct func(connection uint64) Conduct
	// Accepted is told of each accepted push as its answer is sent: the n-th of that token, from 1. It is called by many
	// connections at a time, and holds its own up meanwhile.
	Accepted func(token string, receipt Receipt, n int)
	// StrictStreams plays what was observed of APNs: with token authentication 1 stream until the first push is accepted,
	// and for everyone 1 stream after a 4xx answer (410 apart) until the next 200.
	StrictStreams bool
	// Environment is Production or Sandbox where certificates of the other one shall be refused.
	Environment    Environment
	BadCertificate CertificateRefusal
	// BadTokenLimit ends a connection by GOAWAY after this many BadDeviceToken answers; 0: never.
	BadTokenLimit int
}

// APNs is a running APNs server.
type APNs struct{ *server }

// StartAPNs starts a server; Close stops it.
func StartAPNs(config APNsConfig) (*APNs, error) {
	if config.Authority == nil {
		return nil, errors.New("simulator: APNsConfig.Authority is missing")
	}
	cert, err := config.Authority.Server(config.Names...)
	if err != nil {
		return nil, err
	}
	if config.MaxStreams == 0 {
		config.MaxStreams = 1000
	}
	if config.Account == nil {
		config.Account = NewAccount()
	}
	keys := make(map[string]*ProviderKey, len(config.Keys))
	for i := range config.Keys {
		keys[config.Keys[i].KeyID] = &config.Keys[i]
	}
	srv, err := startServer(service{
		listen:   config.Listen,
		tls:      &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert},
		latency:  config.Latency,
		account:  config.Account,
		conduct:  config.Conduct,
		accepted: config.Accepted,
		session: func(id uint64, state tls.ConnectionState) session {
			return newAPNsSession(&config, keys, id, state)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start APNs simulator: %w", err)
	}
	return &APNs{srv}, nil
}

// apnsSession is APNs' side of one connection. Its connection's reader owns it, but for strict.
type apnsSession struct {
	config     *APNsConfig
	connection uint64
	// certTopic is the topic of the client certificate, certFault the reason why that is refused. Both empty: no certificate.
	certTopic, certFault string
	certSerial           string // in hex
	bearer               bearer
	badTokens            int
	strict               strictLimit // guarded by the connection's lock
}

func newAPNsSession(config *APNsConfig, keys map[string]*ProviderKey, id uint64, state tls.ConnectionState) *apnsSession {
	s := &apnsSession{config: config, connection: id, bearer: bearer{keys: keys}}
	if len(state.PeerCertificates) > 0 {
		cert := state.PeerCertificates[0]
		topic, err := config.Authority.certificateTopic(cert, time.Now())
		switch {
		case err != nil:
			s.certFault = "BadCertificate"
		case !goodFor(cert, config.Environment):
			s.certFault = "BadCertificateEnvironment"
		default:
			s.certTopic, s.certSerial = topic, fmt.Sprintf("%x", cert.SerialNumber)
		}
	}
	s.strict = strictLimit{
		on:     config.StrictStreams,
		full:   config.MaxStreams,
		unsure: s.certTopic == "" && s.certFault == "",
	}
	return s
}

// strictLimit is the stream limit of APNsConfig.StrictStreams.
type strictLimit struct {
	on     bool
	full   uint32
	unsure bool // nothing accepted yet with token authentication, or the last answer was a 4xx
}

func (s *apnsSession) limit(status int) uint32 {
	l := &s.strict
	switch {
	case status == http.StatusOK:
		l.unsure = false
	case status >= 400 && status < 500 && status != http.StatusGone:
		l.unsure = true
	}
	if l.on && l.unsure {
		return 1
	}
	return l.full
}

func (s *apnsSession) answer(st *stream) Answer {
	a := s.decide(st)
	switch {
	case a.Status == 0 && a.Reason == "":
		a.Status = http.StatusOK
	case a.Status == 0:
		a.Status = reasonStatus(a.Reason)
	}
	if a.Status != http.StatusOK {
		st.reply = appendReason(st.reply, a.Reason, a.Timestamp)
	}
	if id := st.header.values[fieldAPNsID]; validUUID(id) {
		st.apnsID = append(st.apnsID, id...)
	} else {
		st.apnsID = appendUUID(st.apnsID)
	}
	return a
}

// decide runs Apple's checks and then the test's own Answer.
func (s *apnsSession) decide(st *stream) Answer {
	if s.certFault != "" && s.config.BadCertificate == RefuseByGoAway {
		return Answer{GoAway: &GoAway{Debug: `{"reason":"` + s.certFault + `"}`}}
	}
	token, refused := s.check(st)
	if token == "" {
		if refused.reason == "BadDeviceToken" {
			return s.badToken(refused)
		}
		return Answer{Status: refused.status, Reason: refused.reason}
	}
	account := s.config.Account
	topic := st.header.values[fieldTopic]
	if topic == "" {
		topic = s.certTopic
	}
	attempt := account.ask(token)
	st.token, st.topic = token, topic
	if s.config.Answer == nil {
		return Answer{}
	}
	req := Request{
		Token: token, Topic: topic, Tenant: s.tenant(), Certificate: s.certSerial,
		PushType: st.header.values[fieldPushType], Priority: st.header.values[fieldPriority], Payload: st.body,
		At: st.received, Attempt: attempt, Connection: s.connection, Stream: st.id,
	}
	return s.config.Answer(req)
}

func (s *apnsSession) tenant() string {
	if s.certTopic != "" {
		return s.certTopic
	}
	return s.bearer.key.TeamID + "/" + s.bearer.key.KeyID
}

// badToken answers BadDeviceToken, and at the limit disconnects, as APNs does of a provider with many bad tokens.
func (s *apnsSession) badToken(r refusal) Answer {
	a := Answer{Status: r.status, Reason: r.reason}
	s.badTokens++
	if s.badTokens == s.config.BadTokenLimit {
		a.GoAway = &GoAway{LastStream: ThisStream, Debug: `{"reason":"BadDeviceToken"}`}
	}
	return a
}

// appendReason renders the body of an APNs error.
func appendReason(b []byte, reason string, since time.Time) []byte {
	b = append(b, `{"reason":`...)
	b = strconv.AppendQuote(b, reason)
	if !since.IsZero() {
		b = append(b, `,"timestamp":`...)
		b = strconv.AppendInt(b, since.UnixMilli(), 10)
	}
	return append(b, '}')
}

// apnsReasons are the reasons that Apple documents, and the status that each goes with.
var apnsReasons = map[string]int{
	"BadCollapseId":               http.StatusBadRequest,
	"BadDeviceToken":              http.StatusBadRequest,
	"BadExpirationDate":           http.StatusBadRequest,
	"BadMessageId":                http.StatusBadRequest,
	"BadPriority":                 http.StatusBadRequest,
	"BadTopic":                    http.StatusBadRequest,
	"DeviceTokenNotForTopic":      http.StatusBadRequest,
	"DuplicateHeaders":            http.StatusBadRequest,
	"IdleTimeout":                 http.StatusBadRequest,
	"InvalidPushType":             http.StatusBadRequest,
	"MissingDeviceToken":          http.StatusBadRequest,
	"MissingTopic":                http.StatusBadRequest,
	"PayloadEmpty":                http.StatusBadRequest,
	"TopicDisallowed":             http.StatusBadRequest,
	"BadCertificate":              http.StatusForbidden,
	"BadCertificateEnvironment":   http.StatusForbidden,
	"BadEnvironmentKeyIdInToken":  http.StatusForbidden,
	"BadEnvironmentKeyInToken":    http.StatusForbidden,
	"ExpiredProviderToken":        http.StatusForbidden,
	"Forbidden":                   http.StatusForbidden,
	"InvalidProviderToken":        http.StatusForbidden,
	"MissingProviderToken":        http.StatusForbidden,
	"UnrelatedKeyIdInToken":       http.StatusForbidden,
	"BadPath":                     http.StatusNotFound,
	"MethodNotAllowed":            http.StatusMethodNotAllowed,
	"ExpiredToken":                http.StatusGone,
	"Unregistered":                http.StatusGone,
	"PayloadTooLarge":             http.StatusRequestEntityTooLarge,
	"TooManyProviderTokenUpdates": http.StatusTooManyRequests,
	"TooManyRequests":             http.StatusTooManyRequests,
	"InternalServerError":         http.StatusInternalServerError,
	"ServiceUnavailable":          http.StatusServiceUnavailable,
	"Shutdown":                    http.StatusServiceUnavailable,
}

// reasonStatus is the status that goes with a reason; 400 for a reason that Apple does not document.
func reasonStatus(reason string) int {
	if status, ok := apnsReasons[reason]; ok {
		return status
	}
	return http.StatusBadRequest
}
