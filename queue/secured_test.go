package queue

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
)

// pemFile writes PEM blocks to a file of the test.
func pemFile(t *testing.T, blocks ...*pem.Block) string {
	t.Helper()
	var text []byte
	for _, block := range blocks {
		text = append(text, pem.EncodeToMemory(block)...)
	}
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// selfSigned is a certificate of its own authority, and its key.
func selfSigned(t *testing.T) (certificate, key *pem.Block) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return &pem.Block{Type: "CERTIFICATE", Bytes: der}, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}
}

// metadataOf asks a broker for its metadata, with what cfg has to show.
func metadataOf(t *testing.T, cfg Config) error {
	t.Helper()
	conn, err := cfg.connect()
	if err != nil {
		return err
	}
	defer conn.close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = conn.client.Metadata(ctx, &kafka.MetadataRequest{})
	return err
}

// Against a broker that asks for a certificate and a password, each thing that is wrong is enough to be kept out, or to keep
// away from it.
func TestABrokerWithTLSAndSASLIsSpokenToByThoseItKnows(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil) // its certificate is good for 127.0.0.1
	server.Close()
	certificate, key := selfSigned(t)
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(pem.EncodeToMemory(certificate))
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "u", "right"),
		kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: known}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)

	good := DefaultConfig()
	good.Brokers = broker.ListenAddrs()
	pair := pemFile(t, certificate, key)
	good.TLS = TLSConfig{
		Enable: true, Cert: pair, Key: pair,
		CA: pemFile(t, &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
	password := func(text string) string {
		path := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good.SASL = SASLConfig{Mechanism: ScramSHA256, Username: "u", PasswordFile: password("right\n")}
	if err := metadataOf(t, good); err != nil {
		t.Fatalf("with all that it asks for: %v", err)
	}
	otherCertificate, otherKey := selfSigned(t)
	other := pemFile(t, otherCertificate, otherKey)
	for name, change := range map[string]func(*Config){
		"another authority":   func(c *Config) { c.TLS.CA = pemFile(t, otherCertificate) },
		"the system's":        func(c *Config) { c.TLS.CA = "" },
		"another name":        func(c *Config) { c.Brokers = []string{"localhost" + c.Brokers[0][len("127.0.0.1"):]} },
		"no TLS":              func(c *Config) { c.TLS = TLSConfig{} },
		"no certificate":      func(c *Config) { c.TLS.Cert, c.TLS.Key = "", "" },
		"another certificate": func(c *Config) { c.TLS.Cert, c.TLS.Key = other, other },
		"no password":         func(c *Config) { c.SASL = SASLConfig{Mechanism: NoSASL} },
		"a wrong password":    func(c *Config) { c.SASL.PasswordFile = password("wrong") },
		"another user":        func(c *Config) { c.SASL.Username = "v" },
		"another mechanism":   func(c *Config) { c.SASL.Mechanism = Plain },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			change(&cfg)
			if err := metadataOf(t, cfg); err == nil {
				t.Error("it is spoken to")
			} else {
				t.Log(err)
			}
		})
	}
}
