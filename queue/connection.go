package queue

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

const (
	dialTimeout = 5 * time.Second
	// requestTimeout limits requests that a broker answers at once; a broker that is silent longer is taken for dead.
	requestTimeout = 10 * time.Second
)

// connection is how this process reaches the brokers. kafka-go has two ways: its consumer group dials, all else goes
// through a transport. Both have the same TLS and SASL.
type connection struct {
	dialer    *kafka.Dialer
	transport *kafka.Transport
	client    *kafka.Client
}

// connect builds a connection; no broker is spoken to yet. topics limits what is asked for in the regular requests for
// metadata, in a cluster that may have thousands of topics.
func (c Config) connect(topics ...string) (*connection, error) {
	tlsConfig, err := c.TLS.load()
	if err != nil {
		return nil, err
	}
	mechanism := c.SASL.mechanism()
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	metadata := 5 * time.Second
	if len(topics) > 0 {
		metadata = 2 * time.Second // it costs little then, and says sooner that a partition has moved
	}
	transport := &kafka.Transport{
		Dial:           dialer.DialContext,
		DialTimeout:    dialTimeout,
		IdleTimeout:    5 * time.Minute,
		MetadataTTL:    metadata,
		MetadataTopics: topics,
		ClientID:       c.ClientID,
		TLS:            tlsConfig,
		SASL:           mechanism,
	}
	return &connection{
		dialer: &kafka.Dialer{
			ClientID:      c.ClientID,
			DialFunc:      dialer.DialContext,
			Timeout:       dialTimeout,
			TLS:           tlsConfig,
			SASLMechanism: mechanism,
		},
		transport: transport,
		client:    &kafka.Client{Addr: kafka.TCP(c.Brokers...), Transport: transport},
	}, nil
}

func (c *connection) close() { c.transport.CloseIdleConnections() }

// load returns nil where TLS is off.
func (c TLSConfig) load() (*tls.Config, error) {
	if !c.Enable {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("read tls.ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: %s holds no certificate in PEM form", c.CA)
		}
	}
	if c.Cert != "" {
		certificate := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
			if err != nil {
				return nil, fmt.Errorf("load tls.cert and tls.key: %w", err)
			}
			return &pair, nil
		}
		if _, err := certificate(nil); err != nil {
			return nil, err
		}
		config.GetClientCertificate = certificate
	}
	return config, nil
}

// mechanism returns nil where SASL is off.
func (c SASLConfig) mechanism() sasl.Mechanism {
	switch c.Mechanism {
	case Plain:
		return passwordFromFile{name: "PLAIN", config: c, with: func(password string) (sasl.Mechanism, error) {
			return plain.Mechanism{Username: c.Username, Password: password}, nil
		}}
	case ScramSHA256, ScramSHA512:
		algorithm := scram.SHA512
		if c.Mechanism == ScramSHA256 {
			algorithm = scram.SHA256
		}
		return passwordFromFile{name: algorithm.Name(), config: c, with: func(password string) (sasl.Mechanism, error) {
			return scram.Mechanism(algorithm, c.Username, password)
		}}
	default:
		return nil
	}
}

// passwordFromFile reads the password for each new connection, so that it can be replaced without a restart.
type passwordFromFile struct {
	name   string
	config SASLConfig
	with   func(password string) (sasl.Mechanism, error)
}

func (m passwordFromFile) Name() string { return m.name }

func (m passwordFromFile) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	password, err := os.ReadFile(m.config.PasswordFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read sasl.password_file: %w", err)
	}
	password = bytes.TrimRight(password, "\r\n")
	if len(password) == 0 {
		return nil, nil, errors.New("sasl.password_file is empty")
	}
	mechanism, err := m.with(string(password))
	if err != nil {
		return nil, nil, fmt.Errorf("sasl.username or the password cannot be used with %s: %w", m.name, err)
	}
	return mechanism.Start(ctx)
}
