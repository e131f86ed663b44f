package apns

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/sideshow/apns2"

	"pushd/providers"
	"pushd/providers/connection"
)

// library sends the pushes of one credential, each with a call of apns2 that waits for its answer. It is what the
// pipelined way is measured against, in speed and in what its answers mean.
type library struct {
	*providers.Blocking
	topic   string
	timeout time.Duration
	client  *apns2.Client
	pool    *connection.Pool
	token   *providerToken // nil with a certificate
	answers answers
}

func newLibrary(cfg Config, credential *providers.APNsCredential, dialer *connection.Dialer, metrics *providers.Metrics, logger *slog.Logger) *library {
	s := &library{topic: credential.Topic, timeout: cfg.RequestTimeout, answers: answers{cfg.Retry}}
	options := connection.Options{
		Provider:     providers.APNs,
		Connections:  cfg.Connections,
		PingInterval: cfg.Connection.PingInterval,
		PingTimeout:  cfg.Connection.PingTimeout,
		Metrics:      metrics,
		GoAwayReason: goAwayReason,
	}
	if credential.Token != nil {
		s.token = &providerToken{key: credential.Token}
		options.Authorization = s.token.current
	}
	s.pool = connection.NewPool(dialer, options, logger)
	s.client = &apns2.Client{
		Host:       "https://" + net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)),
		HTTPClient: &http.Client{Transport: s.pool},
	}
	s.Blocking = providers.NewBlocking(cfg.Connections*cfg.Streams, s.send)
	return s
}

// Close is Sender.Close: first the pushes are answered, then the connections closed.
func (s *library) Close() {
	s.Blocking.Close()
	s.pool.Close()
}

// send sends one push and waits for its answer.
func (s *library) send(ctx context.Context, p *providers.Push) providers.Result {
	var result providers.Result
	request, fault := newRequest(p, s.topic)
	if fault = cmp.Or(fault, request.fault()); fault != "" {
		result = providers.Result{Outcome: providers.Rejected, Reason: fault}
	} else {
		result = s.push(ctx, request)
	}
	if result.Reason == topicDisallowed && p.Topic != "" && p.Topic != s.topic {
		// The event brought this topic: it is wrong, not the credential, which serves the others.
		result.Outcome = providers.Rejected
	}
	result.Ref = p.Ref
	return result
}

// push tries once, and once more where APNs calls the provider token expired and a newer one can be had.
func (s *library) push(ctx context.Context, r request) providers.Result {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var exchange connection.Exchange
	result := s.exchange(ctx, r, &exchange)
	if s.token == nil {
		return result
	}
	switch result.Reason {
	case "ExpiredProviderToken":
		exchange.Retire()
		if s.token.expired(exchange.Authorization) {
			return s.exchange(ctx, r, &exchange)
		}
	case "TooManyProviderTokenUpdates":
		s.token.freeze()
	}
	return result
}

// exchange sends a request and says what its answer means.
func (s *library) exchange(ctx context.Context, r request, exchange *connection.Exchange) providers.Result {
	_, err := s.client.PushWithContext(exchange.Context(ctx), &apns2.Notification{
		DeviceToken: r.token,
		Topic:       r.topic,
		PushType:    apns2.EPushType(r.pushType),
		Priority:    r.priority,
		Expiration:  time.Unix(r.expiration, 0),
		Payload:     r.appendBody(nil),
	})
	switch {
	case err != nil: // no request could be made of it: the payload is not JSON
		return providers.Result{Outcome: providers.Rejected, Reason: "invalid: payload"}
	case exchange.Failure != nil:
		return s.answers.failure(exchange.Failure)
	}
	result := s.answers.answer(exchange.Status, exchange.Header.Get("Retry-After"), exchange.Body, time.Now())
	if result.Outcome == providers.Again {
		exchange.Retire()
	}
	return result
}
