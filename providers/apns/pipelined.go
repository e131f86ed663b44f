package apns

import (
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2/hpack"

	"pushd/providers"
	"pushd/providers/connection"
	"pushd/providers/http2"
	"pushd/providers/pipeline"
)

// pipelined sends the pushes of one credential, many in one write.
type pipelined struct {
	*pipeline.Sender
	*protocol
}

// protocol is the pipeline.Protocol of one credential.
type protocol struct {
	authority string
	topic     string
	token     *providerToken // nil with a certificate
	answers   answers

	last atomic.Pointer[knownHead] // mostly the right one

	mu    sync.Mutex // guards heads
	heads map[head]*knownHead
}

// knownHead is a head without a fault, and how it is sent.
type knownHead struct {
	head
	sent *http2.Head
}

// maxHeads bounds the heads that are kept: topics and push types come from events.
const maxHeads = 1000

func newPipelined(cfg Config, credential *providers.APNsCredential, dialer *connection.Dialer, metrics *providers.Metrics, budget *http2.Budget, logger *slog.Logger) *pipelined {
	p := &protocol{
		authority: net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)),
		topic:     credential.Topic,
		answers:   answers{cfg.Retry},
		heads:     make(map[head]*knownHead),
	}
	options := http2.Options{
		Provider:       providers.APNs,
		Connections:    cfg.Connections,
		Streams:        cfg.Streams,
		RequestTimeout: cfg.RequestTimeout,
		SettingsWithin: cfg.Connection.DialTimeout,
		PingInterval:   cfg.Connection.PingInterval,
		PingTimeout:    cfg.Connection.PingTimeout,
		MaxAge:         cfg.Connection.MaxAge,
		Metrics:        metrics,
		Budget:         budget,
		GoAwayReason:   goAwayReason,
		Refuses:        func(debug []byte) bool { return meanings[goAwayReason(debug)].outcome == providers.Refused },
	}
	if credential.Token != nil {
		p.token = &providerToken{key: credential.Token}
		options.Authorization = p.token.current
	}
	client := http2.New(dialer.DialConn, options, logger.With("host", cfg.Host, "port", cfg.Port))
	return &pipelined{pipeline.New(p, client), p}
}

const devicePath = "/3/device/"

// Request is pipeline.Protocol.Request.
func (p *protocol) Request(push *providers.Push, text []byte) (http2.Request, []byte, string) {
	r, fault := newRequest(push, p.topic)
	if fault != "" {
		return http2.Request{}, text, fault
	}
	known := p.last.Load()
	if known == nil || known.head != r.head {
		if fault := r.fault(); fault != "" {
			return http2.Request{}, text, fault
		}
		known = p.know(r.head)
	}
	begin := len(text)
	text = append(append(text, devicePath...), r.token...)
	path := len(text)
	var digits [20]byte
	text = http2.AppendField(text, "apns-expiration", strconv.AppendInt(digits[:0], r.expiration, 10))
	fields := len(text)
	text = r.appendBody(text)
	return http2.Request{
		Head:   known.sent,
		Path:   text[begin:path:path],
		Fields: text[path:fields:fields],
		Body:   text[fields:len(text):len(text)],
	}, text, ""
}

// know finds or makes a head.
func (p *protocol) know(h head) *knownHead {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.heads[h]
	if known == nil {
		known = &knownHead{h, http2.NewHead(p.authority,
			hpack.HeaderField{Name: "apns-topic", Value: h.topic},
			hpack.HeaderField{Name: "apns-push-type", Value: h.pushType},
			hpack.HeaderField{Name: "apns-priority", Value: strconv.Itoa(h.priority)},
			hpack.HeaderField{Name: "content-type", Value: "application/json"},
		)}
		if len(p.heads) >= maxHeads {
			clear(p.heads)
		}
		p.heads[h] = known
	}
	p.last.Store(known)
	return known
}

// Result is pipeline.Protocol.Result.
func (p *protocol) Result(sent *pipeline.Sent, a *http2.Answer) (providers.Result, bool) {
	if a.Failure != nil {
		return p.answers.failure(a.Failure), false
	}
	result := p.answers.answer(a.Status, a.RetryAfter, a.Body, time.Now())
	switch {
	case result.Outcome == providers.Accepted:
	case result.Outcome == providers.Again:
		a.Retire()
	case result.Reason == topicDisallowed && sent.Topic != "" && sent.Topic != p.topic:
		// The event brought this topic: it is wrong, not the credential, which serves the others.
		result.Outcome = providers.Rejected
	case p.token == nil:
	case result.Reason == "ExpiredProviderToken":
		a.Retire()
		return result, !sent.Repeat && p.token.expired(a.Authorization)
	case result.Reason == "TooManyProviderTokenUpdates":
		p.token.freeze()
	}
	return result, false
}
