package fcm

import (
	"context"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2/hpack"

	"pushd/providers"
	"pushd/providers/connection"
	"pushd/providers/http2"
	"pushd/providers/pipeline"
)

// pipelined sends the pushes of one service account, many in one write.
type pipelined struct {
	*pipeline.Sender
	*protocol
}

// protocol is the pipeline.Protocol and pipeline.Gate of one service account.
type protocol struct {
	config    Config
	authority string
	path      []byte
	access    *accessToken
	answers   answers
	current   atomic.Pointer[authorized]
}

// authorized is the head of all requests with one access token.
type authorized struct {
	token string
	head  *http2.Head
}

func newPipelined(cfg Config, endpoint *url.URL, credential *providers.FCMCredential, dialer *connection.Dialer, access *accessToken, metrics *providers.Metrics, budget *http2.Budget, logger *slog.Logger) *pipelined {
	p := &protocol{
		config:    cfg,
		authority: endpoint.Host,
		path:      []byte(endpoint.EscapedPath() + "/projects/" + url.PathEscape(credential.ProjectID) + "/messages:send"),
		access:    access,
		answers:   answers{cfg.Retry},
	}
	client := http2.New(dialer.DialConn, http2.Options{
		Provider:       providers.FCM,
		Connections:    cfg.Connections,
		Streams:        maxStreams,
		RequestTimeout: cfg.RequestTimeout,
		SettingsWithin: cfg.Connection.DialTimeout,
		PingInterval:   cfg.Connection.PingInterval,
		PingTimeout:    cfg.Connection.PingTimeout,
		MaxAge:         cfg.Connection.MaxAge,
		Metrics:        metrics,
		Budget:         budget,
		GoAwayReason:   goAwayReason,
		Refuses:        func([]byte) bool { return false },
	}, logger)
	return &pipelined{pipeline.New(p, client), p}
}

// Close is Sender.Close: first the pushes are answered, then the request for a token ends.
func (s *pipelined) Close() {
	s.Sender.Close()
	s.access.Close()
}

// Request is pipeline.Protocol.Request.
func (p *protocol) Request(push *providers.Push, text []byte) (http2.Request, []byte, string) {
	r, fault := newRequest(push, time.Now())
	if fault != "" {
		return http2.Request{}, text, fault
	}
	begin := len(text)
	text = r.appendJSON(text, &p.config)
	return http2.Request{Path: p.path, Body: text[begin:len(text):len(text)]}, text, ""
}

// Current is pipeline.Gate.Current.
func (p *protocol) Current() *http2.Head {
	token, ok := p.access.ready()
	if !ok {
		return nil
	}
	return p.head(token)
}

// Await is pipeline.Gate.Await.
func (p *protocol) Await(ctx context.Context) (*http2.Head, providers.Result) {
	ctx, cancel := context.WithTimeout(ctx, p.config.RequestTimeout)
	defer cancel()
	token, err := p.access.current(ctx)
	if err != nil {
		return nil, p.answers.noToken(err)
	}
	return p.head(token), providers.Result{}
}

// head is the head of requests with that token.
func (p *protocol) head(token string) *http2.Head {
	if a := p.current.Load(); a != nil && a.token == token {
		return a.head
	}
	a := &authorized{token, http2.NewHead(p.authority,
		hpack.HeaderField{Name: "authorization", Value: "Bearer " + token},
		hpack.HeaderField{Name: "content-type", Value: "application/json"},
	)}
	p.current.Store(a)
	return a.head
}

// Result is pipeline.Protocol.Result.
func (p *protocol) Result(sent *pipeline.Sent, a *http2.Answer) (providers.Result, bool) {
	if a.Failure != nil {
		return p.answers.failure(a.Failure), false
	}
	result := p.answers.answer(a.Status, a.RetryAfter, a.Body, time.Now())
	if result.Reason != "UNAUTHENTICATED" || sent.Repeat {
		return result, false
	}
	if used := p.current.Load(); used.head == a.Head {
		p.access.unauthenticated(used.token)
	}
	return result, true
}
