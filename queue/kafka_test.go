//go:build kafka

package queue

import (
	"context"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pushd/queue/kafkatest"
)

func TestAgainstApacheKafka(t *testing.T) {
	k := kafkatest.ForTest(t)
	t.Run("suite", func(t *testing.T) { suite(t, testBroker{addr: k.Addr}) })
	t.Run("TLS and SCRAM", func(t *testing.T) { secured(t, k) })
	t.Run("an outage of the broker loses nothing", func(t *testing.T) {
		if kafkatest.FromEnv() != nil {
			t.Skip("PUSHD_TEST_KAFKA is somebody else's broker and is not restarted")
		}
		outage(t, testBroker{addr: k.Addr, restart: func(t *testing.T) {
			k.Kill()
			if err := k.Restart(deadline(t)); err != nil {
				t.Fatal(err)
			}
		}})
	})
}

// otherAuthority returns a certificate that has signed nothing here.
func otherAuthority(t *testing.T) string {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

// secured is a consumer and a publisher with TLS and SCRAM-SHA-512, right and wrong.
func secured(t *testing.T, k *kafkatest.Kafka) {
	if k.SASLAddr == "" {
		t.Skip("PUSHD_TEST_KAFKA_SASL is not set")
	}
	file := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	p := newGround(t, testBroker{addr: k.Addr})
	p.produce(t, "x", 40)
	p.cfg.Brokers = []string{k.SASLAddr}
	p.cfg.TLS = TLSConfig{Enable: true, CA: k.CAFile}
	p.cfg.SASL = SASLConfig{Mechanism: ScramSHA512, Username: k.User, PasswordFile: file("password", k.Password+"\n")}

	t.Run("right", func(t *testing.T) {
		w := newWitness()
		m := w.run(t, "a", p.cfg)
		pub, _, _ := p.publisher(t, w)
		acknowledged := make(chan struct{})
		pub.Publish([]Message{{Topic: p.cfg.Topic, Value: []byte("published")}}, func() { close(acknowledged) })
		await(t, acknowledged)
		w.await(t, "all records are taken", func() bool { return len(w.times()) == 41 })
		m.stop()
		p.create(t, p.cfg.Topic+"-2", 1)
	})
	wrong := map[string]struct {
		change func(*Config)
		kind   string
	}{
		"wrong password":            {func(c *Config) { c.SASL.PasswordFile = file("password", "wrong") }, "unauthenticated"},
		"unknown user":              {func(c *Config) { c.SASL.Username = "nobody" }, "unauthenticated"},
		"mechanism not offered":     {func(c *Config) { c.SASL.Mechanism = ScramSHA256 }, "unauthenticated"},
		"wrong authority":           {func(c *Config) { c.TLS.CA = file("ca.pem", otherAuthority(t)) }, "untrusted"},
		"TLS to a clear listener":   {func(c *Config) { c.Brokers = []string{k.Addr}; c.SASL = SASLConfig{Mechanism: NoSASL} }, "un"},
		"clear to a TLS listener":   {func(c *Config) { c.TLS = TLSConfig{}; c.SASL = SASLConfig{Mechanism: NoSASL} }, "unreachable"},
		"password file disappeared": {func(c *Config) { c.SASL.PasswordFile = file("gone", "x") }, "misconfigured"},
	}
	for name, test := range wrong {
		t.Run(name, func(t *testing.T) {
			wrong := p
			test.change(&wrong.cfg)
			w := newWitness()
			m := w.run(t, "a", wrong.cfg)
			if test.kind == "misconfigured" {
				os.Remove(wrong.cfg.SASL.PasswordFile)
			}
			w.await(t, "the failure is logged", func() bool { return w.logged("kafka: cannot") })
			ready, why := m.Ready()
			if ready || !w.logged("kind="+test.kind) {
				t.Errorf("ready %v, %q; log: %q", ready, why, w.logs)
			}
			m.stop()
			if len(w.records) > 0 {
				t.Error("records were taken")
			}
			for _, line := range append(w.logs, why) {
				if strings.Contains(line, k.Password) {
					t.Error("the log shows the password")
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if err := EnsureTopics(ctx, wrong.cfg, Topic{Name: p.cfg.Topic}); err == nil {
				t.Error("EnsureTopics succeeds")
			}
		})
	}
}
