package fcm

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"pushd/providers/connection"
)

// host is Google's; another one needs an authority of its own.
const host = "fcm.googleapis.com"

// maxStreams is FCM's limit: more end the connection with GOAWAY "exceeded_max_concurrent_streams".
const maxStreams = 100

// Config is what an operator sets of FCM.
type Config struct {
	Endpoint              string            `name:"endpoint" help:"FCM's API. Another host than Google's needs root_ca." default:"https://fcm.googleapis.com/v1"`
	Sender                string            `name:"sender" help:"How pushes are sent: pipelined, or library (the Firebase SDK, several times the CPU)." default:"pipelined" enum:"pipelined,library"`
	Connections           int               `name:"connections" help:"Connections per project, at most; each carries 100 requests at a time. 1 to 100." default:"4"`
	RequestTimeout        time.Duration     `name:"request_timeout" help:"How long a push may wait for its connection and answer; Google asks for 10 seconds or more. 1s to 5m." default:"30s"`
	CollapseKey           string            `name:"collapse_key" help:"Android collapse key of every message; empty means none, for FCM delays collapsible messages after 20 of a device." default:""`
	RestrictedPackageName string            `name:"restricted_package_name" help:"Only the app with this package name receives the messages; empty means any." default:""`
	Connection            connection.Config `embed:""`
	Retry                 RetryConfig       `embed:"" prefix:"retry."`
}

// RetryConfig holds the first waits that answers ask for where they bring no Retry-After; the engine backs off from them.
type RetryConfig struct {
	Unavailable time.Duration `name:"unavailable" help:"First wait after 500, 502, 503, 504 or a timeout; Google asks for 10 seconds. 1s to 24h." default:"10s"`
	Quota       time.Duration `name:"quota" help:"First wait after 429 QUOTA_EXCEEDED; Google asks for a minute. 1s to 24h." default:"1m"`
	Transport   time.Duration `name:"transport" help:"First wait after a connection failed. 0s to 24h." default:"1s"`
}

// DefaultConfig is what the struct tags say.
func DefaultConfig() Config {
	return Config{
		Endpoint:       "https://" + host + "/v1",
		Sender:         Pipelined,
		Connections:    4,
		RequestTimeout: 30 * time.Second,
		Connection:     connection.DefaultConfig(),
		Retry:          RetryConfig{Unavailable: 10 * time.Second, Quota: time.Minute, Transport: time.Second},
	}
}

// Validate returns all faults, each beginning with the key it is about.
func (c Config) Validate() error {
	faults := []error{c.validateEndpoint()}
	if c.Sender != Pipelined && c.Sender != Library {
		faults = append(faults, fmt.Errorf("providers.fcm.sender: %q is neither %s nor %s", c.Sender, Pipelined, Library))
	}
	if c.Connections < 1 || c.Connections > 100 {
		faults = append(faults, fmt.Errorf("providers.fcm.connections: %d is not between 1 and 100", c.Connections))
	}
	const day = 24 * time.Hour
	for _, d := range []struct {
		key              string
		value, low, high time.Duration
	}{
		{"request_timeout", c.RequestTimeout, time.Second, 5 * time.Minute},
		{"retry.unavailable", c.Retry.Unavailable, time.Second, day},
		{"retry.quota", c.Retry.Quota, time.Second, day},
		{"retry.transport", c.Retry.Transport, 0, day},
	} {
		if d.value < d.low || d.value > d.high {
			faults = append(faults, fmt.Errorf("providers.fcm.%s: %v is not between %v and %v", d.key, d.value, d.low, d.high))
		}
	}
	faults = append(faults, c.Connection.Validate("providers.fcm."))
	return errors.Join(faults...)
}

func (c Config) validateEndpoint() error {
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil || endpoint.Scheme != "https" || endpoint.Hostname() == "" || endpoint.User != nil || endpoint.RawQuery != "" || endpoint.Fragment != "" {
		return fmt.Errorf("providers.fcm.endpoint: %q is not an https address with a path", c.Endpoint)
	}
	if c.Connection.RootCA == "" && endpoint.Host != host {
		return fmt.Errorf("providers.fcm.endpoint: %q is not %s; another host needs providers.fcm.root_ca", endpoint.Host, host)
	}
	return nil
}
