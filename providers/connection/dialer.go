package connection

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"golang.org/x/time/rate"
)

// Config is the part of a provider's configuration that is about its connections.
type Config struct {
	RootCA       string        `name:"root_ca" help:"PEM file of the authorities that may sign the provider's certificate; empty means the system's." default:""`
	DialRate     float64       `name:"dial_rate" help:"Connections per second that one credential may open once it has its full number. Above 0." default:"1"`
	DialTimeout  time.Duration `name:"dial_timeout" help:"How long resolving, connecting and shaking hands may take. 1s to 5m." default:"20s"`
	Total        int           `name:"connections_total" help:"Connections of all credentials together; beyond it those idle for longest are closed. Pipelined senders only. 1 to 1000000." default:"20000"`
	MaxAge       time.Duration `name:"max_age" help:"When a connection is replaced by a new one, so that load spreads over the provider's servers anew; 0 means never. Pipelined senders only. 1m to 720h." default:"24h"`
	PingInterval time.Duration `name:"ping_interval" help:"After how long without a frame a connection is asked for life. 1s to 24h." default:"1h"`
	PingTimeout  time.Duration `name:"ping_timeout" help:"How long the answer to that may take before the connection is given up. 1s to 5m." default:"15s"`
}

// DefaultConfig is what the struct tags say.
func DefaultConfig() Config {
	return Config{DialRate: 1, DialTimeout: 20 * time.Second, Total: 20_000, MaxAge: 24 * time.Hour, PingInterval: time.Hour, PingTimeout: 15 * time.Second}
}

// Validate returns all faults, each beginning with its key after prefix.
func (c Config) Validate(prefix string) error {
	var faults []error
	if !(c.DialRate > 0) {
		faults = append(faults, fmt.Errorf("%sdial_rate: %g connections per second is not above 0", prefix, c.DialRate))
	}
	if c.Total < 1 || c.Total > 1_000_000 {
		faults = append(faults, fmt.Errorf("%sconnections_total: %d is not between 1 and 1000000", prefix, c.Total))
	}
	if c.MaxAge != 0 && (c.MaxAge < time.Minute || c.MaxAge > 720*time.Hour) {
		faults = append(faults, fmt.Errorf("%smax_age: %v is neither 0 nor between 1m and 720h", prefix, c.MaxAge))
	}
	for _, d := range []struct {
		key              string
		value, low, high time.Duration
	}{
		{"dial_timeout", c.DialTimeout, time.Second, 5 * time.Minute},
		{"ping_interval", c.PingInterval, time.Second, 24 * time.Hour},
		{"ping_timeout", c.PingTimeout, time.Second, 5 * time.Minute},
	} {
		if d.value < d.low || d.value > d.high {
			faults = append(faults, fmt.Errorf("%s%s: %v is not between %v and %v", prefix, d.key, d.value, d.low, d.high))
		}
	}
	if _, err := c.TLSConfig(); err != nil {
		faults = append(faults, fmt.Errorf("%s%w", prefix, err))
	}
	return errors.Join(faults...)
}

// TLSConfig is how a provider's server is verified: TLS 1.2 or newer, by the authorities of RootCA.
func (c Config) TLSConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.RootCA == "" {
		return config, nil
	}
	text, err := os.ReadFile(c.RootCA)
	if err != nil {
		return nil, fmt.Errorf("root_ca: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("root_ca: %s holds no certificate", c.RootCA)
	}
	return config, nil
}

// Dialer opens TLS connections that speak HTTP/2 to one host, with one client certificate or none.
type Dialer struct {
	host    string
	port    string
	tls     *tls.Config
	timeout time.Duration
	limit   *rate.Limiter
}

// NewDialer makes the dialer of one credential. The first burst connections are opened at once, later ones at
// Config.DialRate. An empty certificate means none.
func NewDialer(cfg Config, host, port string, certificate *tls.Certificate, burst int) (*Dialer, error) {
	config, err := cfg.TLSConfig()
	if err != nil {
		return nil, err
	}
	config.ServerName = host
	config.NextProtos = []string{"h2"}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	return &Dialer{
		host:    host,
		port:    port,
		tls:     config,
		timeout: cfg.DialTimeout,
		limit:   rate.NewLimiter(rate.Limit(cfg.DialRate), burst),
	}, nil
}

// Dial waits for its turn, asks the name servers anew and connects to one address after another, beginning with any of
// them, so that connections spread over the provider's servers (Apple: "make an uncached DNS query before each
// connection").
func (d *Dialer) Dial(ctx context.Context) (*tls.Conn, error) {
	if err := d.limit.Wait(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, d.host)
	if err != nil {
		return nil, err
	}
	var faults []error
	dial := net.Dialer{Timeout: d.timeout / time.Duration(len(addresses))} // one that never answers leaves time for the others
	first := rand.IntN(len(addresses))
	for i := range addresses {
		address := net.JoinHostPort(addresses[(first+i)%len(addresses)], d.port)
		socket, err := dial.DialContext(ctx, "tcp", address)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		return d.handshake(ctx, socket)
	}
	return nil, errors.Join(faults...)
}

// DialConn is Dial for those who need nothing of TLS.
func (d *Dialer) DialConn(ctx context.Context) (net.Conn, error) {
	conn, err := d.Dial(ctx)
	if err != nil {
		return nil, err // not a nil *tls.Conn in an interface
	}
	return conn, nil
}

func (d *Dialer) handshake(ctx context.Context, socket net.Conn) (*tls.Conn, error) {
	conn := tls.Client(socket, d.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		socket.Close()
		return nil, &handshakeError{err}
	}
	if protocol := conn.ConnectionState().NegotiatedProtocol; protocol != "h2" {
		conn.Close()
		return nil, &handshakeError{fmt.Errorf("the server chose protocol %q, not h2", protocol)}
	}
	return conn, nil
}

// handshakeError tells a failed handshake from a failed connect.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }
