package apns

import (
	"errors"
	"log/slog"
	"strconv"

	"pushd/providers"
	"pushd/providers/connection"
	"pushd/providers/http2"
)

// Names of the two ways to send, as they stand in the configuration.
const (
	Pipelined = "pipelined" // http2.Client: many pushes in one write
	Library   = "library"   // apns2: a goroutine and a call for each push
)

// New makes the Sender of a credential. It connects when the first push is sent. All pipelined Senders of the process have
// one budget, or none.
func New(cfg Config, credential *providers.APNsCredential, metrics *providers.Metrics, budget *http2.Budget, logger *slog.Logger) (providers.Sender, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if credential.Token == nil && credential.Certificate.Reveal() == nil {
		return nil, errors.New("apns: the credential has neither certificate nor key")
	}
	dialer, err := connection.NewDialer(cfg.Connection, cfg.Host, strconv.Itoa(cfg.Port), credential.Certificate.Reveal(), cfg.Connections)
	if err != nil {
		return nil, err
	}
	logger = logger.With("provider", providers.APNs, "credential", credential.ID)
	if cfg.Sender == Library {
		return newLibrary(cfg, credential, dialer, metrics, logger), nil
	}
	return newPipelined(cfg, credential, dialer, metrics, budget, logger), nil
}
