package apns

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"pushd/providers/connection"
)

// Config is what an operator sets of APNs.
type Config struct {
	Host           string            `name:"host" help:"APNs' host. Another one than Apple's needs root_ca." default:"api.push.apple.com"`
	Port           int               `name:"port" help:"APNs' port: 443 or 2197." default:"443"`
	Sender         string            `name:"sender" help:"How pushes are sent: pipelined, or library (apns2, several times the CPU)." default:"pipelined" enum:"pipelined,library"`
	Connections    int               `name:"connections" help:"Connections per credential, at most. 1 to 100." default:"2"`
	Streams        int               `name:"streams" help:"Requests under way per connection, at most; APNs may allow fewer. 1 to 10000." default:"500"`
	RequestTimeout time.Duration     `name:"request_timeout" help:"How long a push may wait for its connection and answer before it is sent again. 1s to 5m." default:"30s"`
	Connection     connection.Config `embed:""`
	Retry          RetryConfig       `embed:"" prefix:"retry."`
}

// RetryConfig holds the first waits that answers ask for; the engine backs off from them.
type RetryConfig struct {
	ServerError  time.Duration `name:"server_error" help:"First wait after a 5xx answer; Apple asks for 15 minutes. 1s to 24h." default:"15m"`
	Device       time.Duration `name:"device" help:"First wait of a device after 429 TooManyRequests. 1s to 24h." default:"30s"`
	TokenUpdates time.Duration `name:"token_updates" help:"Wait of a credential after 429 TooManyProviderTokenUpdates. 1s to 24h." default:"20m"`
	Transport    time.Duration `name:"transport" help:"First wait after a connection failed. 0s to 24h." default:"1s"`
}

// DefaultConfig is what the struct tags say.
func DefaultConfig() Config {
	return Config{
		Host:           "api.push.apple.com",
		Port:           443,
		Sender:         Pipelined,
		Connections:    2,
		Streams:        500,
		RequestTimeout: 30 * time.Second,
		Connection:     connection.DefaultConfig(),
		Retry: RetryConfig{
			ServerError:  15 * time.Minute,
			Device:       30 * time.Second,
			TokenUpdates: 20 * time.Minute,
			Transport:    time.Second,
		},
	}
}

// hosts are Apple's.
var hosts = []string{"api.push.apple.com", "api.sandbox.push.apple.com", "api.development.push.apple.com"}

// Validate returns all faults, each beginning with the key it is about.
func (c Config) Validate() error {
	var faults []error
	if !slices.Contains(hosts, c.Host) && (c.Connection.RootCA == "" || c.Host == "") {
		faults = append(faults, fmt.Errorf("providers.apns.host: %q is not one of Apple's %v; another one needs providers.apns.root_ca", c.Host, hosts))
	}
	if c.Sender != Pipelined && c.Sender != Library {
		faults = append(faults, fmt.Errorf("providers.apns.sender: %q is neither %s nor %s", c.Sender, Pipelined, Library))
	}
	for _, n := range []struct {
		key              string
		value, low, high int
	}{{"port", c.Port, 1, 65535}, {"connections", c.Connections, 1, 100}, {"streams", c.Streams, 1, 10_000}} {
		if n.value < n.low || n.value > n.high {
			faults = append(faults, fmt.Errorf("providers.apns.%s: %d is not between %d and %d", n.key, n.value, n.low, n.high))
		}
	}
	const day = 24 * time.Hour
	for _, d := range []struct {
		key              string
		value, low, high time.Duration
	}{
		{"request_timeout", c.RequestTimeout, time.Second, 5 * time.Minute},
		{"retry.server_error", c.Retry.ServerError, time.Second, day},
		{"retry.device", c.Retry.Device, time.Second, day},
		{"retry.token_updates", c.Retry.TokenUpdates, time.Second, day},
		{"retry.transport", c.Retry.Transport, 0, day},
	} {
		if d.value < d.low || d.value > d.high {
			faults = append(faults, fmt.Errorf("providers.apns.%s: %v is not between %v and %v", d.key, d.value, d.low, d.high))
		}
	}
	faults = append(faults, c.Connection.Validate("providers.apns."))
	return errors.Join(faults...)
}
