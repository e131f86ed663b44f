package fcm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	firebase "firebase.google.com/go/v4"
	"firebase.google.com/go/v4/messaging"
	"google.golang.org/api/option"

	"pushd/providers"
	"pushd/providers/connection"
)

// Sender sends the pushes of one service account, each with a call of the Firebase SDK that waits for its answer.
type Sender struct {
	*providers.Blocking
	config  Config
	client  *messaging.Client
	pool    *connection.Pool
	access  *accessToken
	answers answers
}

// New makes the Sender of a credential. It connects, and asks for an access token, when the first push is sent.
func New(cfg Config, credential *providers.FCMCredential, metrics *providers.Metrics, logger *slog.Logger) (providers.Sender, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	endpoint, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("providers.fcm.endpoint: %w", err)
	}
	port := endpoint.Port()
	if port == "" {
		port = "443"
	}
	dialer, err := connection.NewDialer(cfg.Connection, endpoint.Hostname(), port, nil, cfg.Connections)
	if err != nil {
		return nil, err
	}
	access, err := newAccessToken(cfg.Connection, credential)
	if err != nil {
		return nil, err
	}
	pool := connection.NewPool(dialer, connection.Options{
		Provider:     providers.FCM,
		Connections:  cfg.Connections,
		PingInterval: cfg.Connection.PingInterval,
		PingTimeout:  cfg.Connection.PingTimeout,
		Metrics:      metrics,
		GoAwayReason: goAwayReason,
	}, logger.With("provider", providers.FCM, "credential", credential.ID))
	client, err := newClient(cfg.Endpoint, credential.ProjectID, authorizing{pool})
	if err != nil {
		return nil, err
	}
	s := &Sender{config: cfg, client: client, pool: pool, access: access, answers: answers{cfg.Retry}}
	s.Blocking = providers.NewBlocking(cfg.Connections*maxStreams, s.send)
	return s, nil
}

// newClient makes a client of the SDK that sends by way of transport. With a client given the SDK adds no credentials of
// its own, and looks for none.
func newClient(endpoint, project string, transport http.RoundTripper) (*messaging.Client, error) {
	ctx := context.Background()
	app, err := firebase.NewApp(ctx, &firebase.Config{ProjectID: project},
		option.WithHTTPClient(&http.Client{Transport: transport}), option.WithEndpoint(endpoint))
	if err != nil {
		return nil, fmt.Errorf("make a Firebase app: %w", err)
	}
	client, err := app.Messaging(ctx)
	if err != nil {
		return nil, fmt.Errorf("make a Firebase messaging client: %w", err)
	}
	return client, nil
}

// Close is Sender.Close: first the pushes are answered, then the connections closed.
func (s *Sender) Close() {
	s.Blocking.Close()
	s.access.Close()
	s.pool.Close()
}

// send sends one push and waits for its answer.
func (s *Sender) send(ctx context.Context, p *providers.Push) providers.Result {
	var result providers.Result
	if request, fault := newRequest(p, time.Now()); fault != "" {
		result = providers.Result{Outcome: providers.Rejected, Reason: fault}
	} else {
		result = s.push(ctx, request)
	}
	result.Ref = p.Ref
	return result
}

// push tries once, and once more with a new access token where FCM does not accept the one it had.
func (s *Sender) push(ctx context.Context, r request) providers.Result {
	ctx, cancel := context.WithTimeout(ctx, s.config.RequestTimeout)
	defer cancel()
	for renewed := false; ; renewed = true {
		token, err := s.access.current(ctx)
		if err != nil {
			return s.noToken(err)
		}
		result := s.exchange(ctx, r, token)
		if result.Reason != "UNAUTHENTICATED" || renewed {
			return result
		}
		s.access.unauthenticated(token)
	}
}

// noToken is what the lack of an access token means. It is no push's own: where the endpoint cannot be had, everything
// of the credential waits.
func (s *Sender) noToken(err error) providers.Result {
	switch {
	case errors.Is(err, context.Canceled):
		return s.answers.result(again, providers.ReasonClosed)
	case errors.Is(err, errGrantRefused):
		return s.answers.result(refused, "oauth: refused")
	}
	return s.answers.result(oauthLater, "oauth: unavailable")
}

// exchange sends a request and says what its answer means.
func (s *Sender) exchange(ctx context.Context, r request, token string) providers.Result {
	var exchange connection.Exchange
	send := s.client.Send
	if r.dryRun {
		send = s.client.SendDryRun
	}
	_, err := send(exchange.Context(context.WithValue(ctx, bearerKey{}, "Bearer "+token)), r.message(&s.config))
	switch {
	case err != nil: // the SDK made no request of it
		return providers.Result{Outcome: providers.Rejected, Reason: "invalid: message"}
	case exchange.Failure != nil:
		return s.answers.failure(exchange.Failure)
	}
	return s.answers.answer(exchange.Status, exchange.Header.Get("Retry-After"), exchange.Body, time.Now())
}

// authorizing adds the access token, which is the request's and not, as with APNs, the connection's.
type authorizing struct{ next http.RoundTripper }

type bearerKey struct{}

func (a authorizing) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", request.Context().Value(bearerKey{}).(string))
	return a.next.RoundTrip(request)
}
