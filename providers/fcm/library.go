package fcm

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	firebase "firebase.google.com/go/v4"
	"firebase.google.com/go/v4/messaging"
	"google.golang.org/api/option"

	"pushd/providers"
	"pushd/providers/connection"
)

// library sends the pushes of one service account, each with a call of the Firebase SDK that waits for its answer. It is what
// the pipelined way is measured against, in speed and in what it sends.
type library struct {
	*providers.Blocking
	config  Config
	client  *messaging.Client
	pool    *connection.Pool
	access  *accessToken
	answers answers
}

func newLibrary(cfg Config, credential *providers.FCMCredential, dialer *connection.Dialer, access *accessToken, metrics *providers.Metrics, logger *slog.Logger) (*library, error) {
	pool := connection.NewPool(dialer, connection.Options{
		Provider:     providers.FCM,
		Connections:  cfg.Connections,
		PingInterval: cfg.Connection.PingInterval,
		PingTimeout:  cfg.Connection.PingTimeout,
		Metrics:      metrics,
		GoAwayReason: goAwayReason,
	}, logger)
	client, err := newClient(cfg.Endpoint, credential.ProjectID, authorizing{pool})
	if err != nil {
		return nil, err
	}
	s := &library{config: cfg, client: client, pool: pool, access: access, answers: answers{cfg.Retry}}
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
func (s *library) Close() {
	s.Blocking.Close()
	s.access.Close()
	s.pool.Close()
}

// send sends one push and waits for its answer.
func (s *library) send(ctx context.Context, p *providers.Push) providers.Result {
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
func (s *library) push(ctx context.Context, r request) providers.Result {
	ctx, cancel := context.WithTimeout(ctx, s.config.RequestTimeout)
	defer cancel()
	for renewed := false; ; renewed = true {
		token, err := s.access.current(ctx)
		if err != nil {
			return s.answers.noToken(err)
		}
		result := s.exchange(ctx, r, token)
		if result.Reason != "UNAUTHENTICATED" || renewed {
			return result
		}
		s.access.unauthenticated(token)
	}
}

// exchange sends a request and says what its answer means.
func (s *library) exchange(ctx context.Context, r request, token string) providers.Result {
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
