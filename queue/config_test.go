package queue

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

func TestDefaultsAreWhatTheTagsSay(t *testing.T) {
	t.Parallel()
	var tagged struct {
		Kafka Config `embed:"" prefix:"kafka."`
	}
	parser, err := kong.New(&tagged)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if want := DefaultConfig(); !reflect.DeepEqual(tagged.Kafka, want) {
		t.Errorf("the tags say\n%+v, DefaultConfig\n%+v", tagged.Kafka, want)
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesEachFault(t *testing.T) {
	t.Parallel()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(*Config){
		"":                    func(*Config) {},
		"brokers: none":       func(c *Config) { c.Brokers = nil },
		`brokers: "kafka"`:    func(c *Config) { c.Brokers = []string{"kafka"} },
		"topic: is empty":     func(c *Config) { c.Topic = "" },
		`topic: "a b/c" is`:   func(c *Config) { c.Topic = "a b/c" },
		`topic: ".." is`:      func(c *Config) { c.Topic = ".." },
		"topic: the name is":  func(c *Config) { c.Topic = strings.Repeat("x", 250) },
		"group:":              func(c *Config) { c.Group = "" },
		"client_id:":          func(c *Config) { c.ClientID = "" },
		"partitions:":         func(c *Config) { c.Partitions = 0 },
		"replication:":        func(c *Config) { c.Replication = 0 },
		"start:":              func(c *Config) { c.Start = Stop },
		"out_of_range:":       func(c *Config) { c.OutOfRange = "never" },
		"tls.enable:":         func(c *Config) { c.TLS.CA = password },
		"tls.cert:":           func(c *Config) { c.TLS = TLSConfig{Enable: true, Cert: password} },
		"tls.ca: /no/such":    func(c *Config) { c.TLS = TLSConfig{Enable: true, CA: "/no/such"} },
		"sasl.mechanism: \"x": func(c *Config) { c.SASL.Mechanism = "x" },
		"sasl.mechanism: is none": func(c *Config) {
			c.SASL.Username = "u"
		},
		"sasl.username:": func(c *Config) { c.SASL = SASLConfig{Mechanism: ScramSHA256, PasswordFile: password} },
		"sasl.password_file: is empty": func(c *Config) {
			c.SASL = SASLConfig{Mechanism: Plain, Username: "u"}
		},
		"tls.enable: events, which hold tokens, would cross the network in the clear": func(c *Config) {
			c.Brokers = []string{"127.0.0.1:9092", "kafka.example:9092"}
		},
		"sasl.mechanism: plain without TLS sends the password in the clear": func(c *Config) {
			c.AllowPlaintext = true
			c.Brokers = []string{"kafka.example:9092"}
			c.SASL = SASLConfig{Mechanism: Plain, Username: "u", PasswordFile: password}
		},
		"fetch.min_bytes:": func(c *Config) { c.Fetch.MinBytes = c.Fetch.MaxBytes + 1 },
		"fetch.max_bytes:": func(c *Config) { c.Fetch.MaxBytes = 1 },
		"fetch.max_wait:":  func(c *Config) { c.Fetch.MaxWait = 0 },
		"fetch.gather:":    func(c *Config) { c.Fetch.Gather = 2 * time.Second },
		"member.session:":  func(c *Config) { c.Member.Session = 0 },
		"member.heartbeat: 4s is not between 100ms and 1.666s, a third of member.session, which is 5s": func(c *Config) {
			c.Member.Session, c.Member.Heartbeat = 5*time.Second, 4*time.Second
		},
		"member.rebalance:":       func(c *Config) { c.Member.Rebalance = 0 },
		"member.join_backoff:":    func(c *Config) { c.Member.JoinBackoff = 0 },
		"member.partition_watch:": func(c *Config) { c.Member.PartitionWatch = 0 },
		"publish.linger:":         func(c *Config) { c.Publish.Linger = 0 },
		"publish.flush:":          func(c *Config) { c.Publish.Flush = -1 },
		"commit_interval:":        func(c *Config) { c.CommitInterval = 0 },
		"revoke_drain: 10s is not from 0s to below member.session, which is 10s": func(c *Config) { c.RevokeDrain = c.Member.Session },
		"revoke_drain: 5s is not from 0s to below member.rebalance, which is 4s": func(c *Config) {
			c.Member.Rebalance, c.RevokeDrain = 4*time.Second, 5*time.Second
		},
		"shutdown_drain:": func(c *Config) { c.ShutdownDrain = -1 },
	}
	for want, spoil := range tests {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			cfg := DefaultConfig()
			spoil(&cfg)
			err := cfg.Validate()
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("Validate: %v, want %q", err, want)
			}
		})
	}
	t.Run("plaintext", func(t *testing.T) {
		t.Parallel()
		for _, brokers := range []string{"kafka.example:9092", "192.0.2.1:9092", "0.0.0.0:9092", "[::]:9092", "localhost.evil:9092", "127.0.0.1.evil:9092"} {
			cfg := DefaultConfig()
			cfg.Brokers = []string{brokers}
			if err := cfg.Validate(); err == nil {
				t.Errorf("%s is spoken to in the clear", brokers)
			}
			for _, allow := range []func(*Config){func(c *Config) { c.AllowPlaintext = true }, func(c *Config) { c.TLS.Enable = true }} {
				cfg := cfg
				allow(&cfg)
				if err := cfg.Validate(); err != nil {
					t.Errorf("%s: %v", brokers, err)
				}
			}
		}
		for _, brokers := range []string{"127.0.0.1:9092", "localhost:9092", "[::1]:9092"} {
			cfg := DefaultConfig()
			cfg.Brokers = []string{brokers}
			if err := cfg.Validate(); err != nil {
				t.Errorf("%s: %v", brokers, err)
			}
		}
	})
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		err := Config{}.Validate()
		for _, key := range []string{"brokers", "topic", "sasl.mechanism", "fetch.max_bytes", "member.session", "publish.linger"} {
			if !strings.Contains(err.Error(), key+":") {
				t.Errorf("%s is not named in %v", key, err)
			}
		}
	})
}
