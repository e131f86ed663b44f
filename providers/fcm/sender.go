package fcm

import (
	"fmt"
	"log/slog"
	"net/url"

	"pushd/providers"
	"pushd/providers/connection"
	"pushd/providers/http2"
)

// Names of the two ways to send, as they stand in the configuration.
const (
	Pipelined = "pipelined" // http2.Client: many pushes in one write
	Library   = "library"   // the Firebase SDK: a goroutine and a call for each push
)

// New makes the Sender of a credential. It connects, and asks for an access token, when the first push is sent. All
// pipelined Senders of the process have one budget, or none.
func New(cfg Config, credential *providers.FCMCredential, metrics *providers.Metrics, budget *http2.Budget, logger *slog.Logger) (providers.Sender, error) {
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
	logger = logger.With("provider", providers.FCM, "credential", credential.ID)
	if cfg.Sender == Library {
		sender, err := newLibrary(cfg, credential, dialer, access, metrics, logger)
		if err != nil {
			return nil, err // not a nil *library in an interface
		}
		return sender, nil
	}
	return newPipelined(cfg, endpoint, credential, dialer, access, metrics, budget, logger.With("host", endpoint.Hostname(), "port", port)), nil
}
