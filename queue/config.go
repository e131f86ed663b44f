package queue

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// Config is what an operator sets of Kafka.
type Config struct {
	Brokers  []string `name:"brokers" help:"Addresses (host:port) of brokers to begin with; the others are learned from them." default:"127.0.0.1:9092"`
	Topic    string   `name:"topic" help:"Topic of check-in events." default:"pushd.checkin"`
	Group    string   `name:"group" help:"Consumer group. Processes of one group share the partitions." default:"pushd"`
	ClientID string   `name:"client_id" help:"Name under which the brokers' logs, metrics and quotas see this process." default:"pushd"`

	CreateTopics bool `name:"create_topics" help:"Create the topics that are missing. Otherwise they are waited for."`
	Partitions   int  `name:"partitions" help:"Partitions of a topic that is created; existing topics keep theirs." default:"12"`
	Replication  int  `name:"replication" help:"Replicas of a topic that is created; -1 is the brokers' default." default:"-1"`

	Start      Reset `name:"start" help:"Where to begin in a partition that the group has never committed: 'earliest' or 'latest'. With latest, events published to a new partition before it was noticed are lost." enum:"earliest,latest" default:"earliest"`
	OutOfRange Reset `name:"out_of_range" help:"What to do where the committed offset does not exist any more (retention overtook the group, or the topic was created again): go on at the 'earliest' or 'latest' offset, or 'stop' that partition until it was decided." enum:"earliest,latest,stop" default:"earliest"`

	AllowPlaintext bool `name:"allow_plaintext" help:"Speak to brokers beyond this machine without TLS. Events hold tokens, by which devices are woken: only where something else encrypts the way."`

	TLS     TLSConfig     `embed:"" prefix:"tls."`
	SASL    SASLConfig    `embed:"" prefix:"sasl."`
	Fetch   FetchConfig   `embed:"" prefix:"fetch."`
	Member  MemberConfig  `embed:"" prefix:"member."`
	Publish PublishConfig `embed:"" prefix:"publish."`

	CommitInterval time.Duration `name:"commit_interval" help:"How often offsets are committed. A crash repeats the events of that time at most. 50ms to 1m." default:"1s"`
	RevokeDrain    time.Duration `name:"revoke_drain" help:"How long pushes under way may take to settle when partitions are given up in a rebalance. The whole group waits that long. Below the session timeout." default:"3s"`
	ShutdownDrain  time.Duration `name:"shutdown_drain" help:"How long pushes under way may take to settle when the process ends. 0s to 5m." default:"6s"`
}

// Reset says where to go on in a partition whose place is not known.
type Reset string

const (
	Earliest Reset = "earliest"
	Latest   Reset = "latest"
	Stop     Reset = "stop"
)

// TLSConfig is how brokers are recognised, and how they recognise this process.
type TLSConfig struct {
	Enable bool   `name:"enable" help:"Speak TLS 1.2 or newer to the brokers."`
	CA     string `name:"ca" help:"PEM file of the authorities that sign the brokers' certificates; empty means the system's." type:"path"`
	Cert   string `name:"cert" help:"PEM file of this process's certificate, where the brokers ask for one. Read anew for each connection." type:"path"`
	Key    string `name:"key" help:"PEM file of the certificate's private key." type:"path"`
}

// SASLConfig is how this process proves who it is.
type SASLConfig struct {
	Mechanism    Mechanism `name:"mechanism" help:"none, plain, scram-sha-256 or scram-sha-512." enum:"none,plain,scram-sha-256,scram-sha-512" default:"none"`
	Username     string    `name:"username" help:"User name."`
	PasswordFile string    `name:"password_file" help:"File that holds the password. Read anew for each connection." type:"path"`
}

// Mechanism is a way to prove who one is.
type Mechanism string

const (
	NoSASL      Mechanism = "none"
	Plain       Mechanism = "plain"
	ScramSHA256 Mechanism = "scram-sha-256"
	ScramSHA512 Mechanism = "scram-sha-512"
)

// FetchConfig is how records are asked for. Each assigned partition is in one request at a time.
type FetchConfig struct {
	MinBytes int           `name:"min_bytes" help:"A broker answers as soon as it has that many bytes. 1 to max_bytes." default:"1"`
	MaxBytes int           `name:"max_bytes" help:"Bytes of one partition in one answer at most. Of small batches less is asked for. 4096 to 67108864." default:"1048576"`
	MaxWait  time.Duration `name:"max_wait" help:"A broker answers after that time even without records. 10ms to 30s." default:"500ms"`
	Gather   time.Duration `name:"gather" help:"How long a request waits to ask about more partitions: one about many costs less than many about one, here and in the broker. A partition that has more than one answer holds is asked about at once. 0s to 1s." default:"1ms"`
}

// MemberConfig is this process's part in the group.
type MemberConfig struct {
	Session        time.Duration `name:"session" help:"A member that is silent that long is put out of the group. Within the brokers' group.min/max.session.timeout.ms (6s to 30m)." default:"10s"`
	Heartbeat      time.Duration `name:"heartbeat" help:"How often this member reports; a rebalance is noticed that late. 100ms to a third of the session." default:"1s"`
	Rebalance      time.Duration `name:"rebalance" help:"How long the group waits for its members in a rebalance. Longer than revoke_drain, up to 10m." default:"15s"`
	JoinBackoff    time.Duration `name:"join_backoff" help:"Pause after a failed attempt to join. 10ms to 1m." default:"250ms"`
	PartitionWatch time.Duration `name:"partition_watch" help:"How often the topic is looked at for new partitions. 100ms to 1h." default:"5s"`
}

// PublishConfig is how feedback and dead letters are published.
type PublishConfig struct {
	Linger time.Duration `name:"linger" help:"How long a batch waits for more messages. 1ms to 1s." default:"5ms"`
	Flush  time.Duration `name:"flush" help:"How long the last messages may take when the process ends. 0s to 5m." default:"2s"`
}

// DefaultConfig is what the struct tags say.
func DefaultConfig() Config {
	return Config{
		Brokers:     []string{"127.0.0.1:9092"},
		Topic:       "pushd.checkin",
		Group:       "pushd",
		ClientID:    "pushd",
		Partitions:  12,
		Replication: -1,
		Start:       Earliest,
		OutOfRange:  Earliest,
		SASL:        SASLConfig{Mechanism: NoSASL},
		Fetch:       FetchConfig{MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 500 * time.Millisecond, Gather: 1 * time.Millisecond},
		Member: MemberConfig{
			Session:        10 * time.Second,
			Heartbeat:      time.Second,
			Rebalance:      15 * time.Second,
			JoinBackoff:    250 * time.Millisecond,
			PartitionWatch: 5 * time.Second,
		},
		Publish:        PublishConfig{Linger: 5 * time.Millisecond, Flush: 2 * time.Second},
		CommitInterval: time.Second,
		RevokeDrain:    3 * time.Second,
		ShutdownDrain:  6 * time.Second,
	}
}

// Validate returns all faults, each beginning with the key it is about.
func (c Config) Validate() error {
	var faults []error
	if len(c.Brokers) == 0 {
		faults = append(faults, errors.New("brokers: none is given; at least one host:port is needed"))
	}
	for _, broker := range c.Brokers {
		if _, port, err := net.SplitHostPort(broker); err != nil || port == "" {
			faults = append(faults, fmt.Errorf("brokers: %q is not host:port, as kafka-1.example.com:9092 is", broker))
		}
	}
	for _, s := range []struct{ key, value string }{{"group", c.Group}, {"client_id", c.ClientID}} {
		if s.value == "" {
			faults = append(faults, fmt.Errorf("%s: is empty; give it a name, or leave it out to have the default", s.key))
		}
	}
	if err := CheckTopic(c.Topic); err != nil {
		faults = append(faults, fmt.Errorf("topic: %w", err))
	}
	if c.Partitions < 1 {
		faults = append(faults, fmt.Errorf("partitions: %d is below 1", c.Partitions))
	}
	if c.Replication != -1 && c.Replication < 1 {
		faults = append(faults, fmt.Errorf("replication: %d is neither -1 nor at least 1", c.Replication))
	}
	if c.Start != Earliest && c.Start != Latest {
		faults = append(faults, fmt.Errorf("start: %q is neither earliest nor latest", c.Start))
	}
	if c.OutOfRange != Earliest && c.OutOfRange != Latest && c.OutOfRange != Stop {
		faults = append(faults, fmt.Errorf("out_of_range: %q is none of earliest, latest, stop", c.OutOfRange))
	}
	faults = append(faults,
		c.TLS.validate(), c.SASL.validate(), c.Fetch.validate(), c.Member.validate(), c.Publish.validate(),
		between("commit_interval", c.CommitInterval, 50*time.Millisecond, time.Minute),
		between("shutdown_drain", c.ShutdownDrain, 0, 5*time.Minute),
		c.validateRevokeDrain(),
	)
	if !c.TLS.Enable && !c.onlyThisMachine() {
		if !c.AllowPlaintext {
			faults = append(faults, errors.New("tls.enable: events, which hold tokens, would cross the network in the clear; set tls.enable, or allow_plaintext where something else encrypts the way"))
		}
		if c.SASL.Mechanism == Plain {
			faults = append(faults, errors.New("sasl.mechanism: plain without TLS sends the password in the clear; set tls.enable or use scram-sha-512"))
		}
	}
	return errors.Join(faults...)
}

// validateRevokeDrain: no heartbeat runs while a revoked partition drains. Longer, and the member is put out before it has
// committed.
func (c Config) validateRevokeDrain() error {
	limit, of := c.Member.Session, "member.session"
	if c.Member.Rebalance < limit {
		limit, of = c.Member.Rebalance, "member.rebalance"
	}
	if c.RevokeDrain < 0 || c.RevokeDrain >= limit {
		return fmt.Errorf("revoke_drain: %v is not from 0s to below %s, which is %v", c.RevokeDrain, of, limit)
	}
	return nil
}

// maxTopic is how long the name of a topic may be; the brokers make a folder of it.
const maxTopic = 249

// CheckTopic says what is wrong with a name of a topic, by Kafka's own rules.
func CheckTopic(name string) error {
	allowed := func(r rune) bool {
		return 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r)
	}
	switch {
	case name == "":
		return errors.New("is empty")
	case len(name) > maxTopic:
		return fmt.Errorf("the name is of %d characters; Kafka allows %d", len(name), maxTopic)
	case name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return !allowed(r) }):
		return fmt.Errorf("%q is no name of a topic: Kafka allows letters A-Z and a-z, digits, and . _ - among them, but not . or .. alone", name)
	}
	return nil
}

// onlyThisMachine says whether all brokers are reached without a network; what is no address has its own fault.
func (c Config) onlyThisMachine() bool {
	for _, broker := range c.Brokers {
		host, _, err := net.SplitHostPort(broker)
		if ip := net.ParseIP(host); err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

func (c TLSConfig) validate() error {
	var faults []error
	if !c.Enable && (c.CA != "" || c.Cert != "" || c.Key != "") {
		faults = append(faults, errors.New("tls.enable: is false although tls.ca, tls.cert or tls.key is set"))
	}
	if (c.Cert == "") != (c.Key == "") {
		faults = append(faults, errors.New("tls.cert: certificate and key must both be given, or neither"))
	}
	for _, f := range []struct{ key, path string }{{"tls.ca", c.CA}, {"tls.cert", c.Cert}, {"tls.key", c.Key}} {
		faults = append(faults, readable(f.key, f.path))
	}
	return errors.Join(faults...)
}

func (c SASLConfig) validate() error {
	switch c.Mechanism {
	case NoSASL:
		if c.Username != "" || c.PasswordFile != "" {
			return errors.New("sasl.mechanism: is none although a user name or password file is set")
		}
		return nil
	case Plain, ScramSHA256, ScramSHA512:
		var faults []error
		if c.Username == "" {
			faults = append(faults, fmt.Errorf("sasl.username: is empty; %s needs one", c.Mechanism))
		}
		if c.PasswordFile == "" {
			faults = append(faults, fmt.Errorf("sasl.password_file: is empty; %s needs one", c.Mechanism))
		}
		return errors.Join(append(faults, readable("sasl.password_file", c.PasswordFile))...)
	default:
		return fmt.Errorf("sasl.mechanism: %q is none of none, plain, scram-sha-256, scram-sha-512", c.Mechanism)
	}
}

func (c FetchConfig) validate() error {
	var faults []error
	if c.MinBytes < 1 || c.MinBytes > c.MaxBytes {
		faults = append(faults, fmt.Errorf("fetch.min_bytes: %d is not between 1 and fetch.max_bytes, which is %d", c.MinBytes, c.MaxBytes))
	}
	if c.MaxBytes < 4096 || c.MaxBytes > 64<<20 {
		faults = append(faults, fmt.Errorf("fetch.max_bytes: %d is not between 4096 and 67108864", c.MaxBytes))
	}
	return errors.Join(append(faults,
		between("fetch.max_wait", c.MaxWait, 10*time.Millisecond, 30*time.Second),
		between("fetch.gather", c.Gather, 0, time.Second))...)
}

func (c MemberConfig) validate() error {
	return errors.Join(
		between("member.session", c.Session, time.Second, 30*time.Minute),
		c.validateHeartbeat(),
		between("member.rebalance", c.Rebalance, time.Second, 10*time.Minute),
		between("member.join_backoff", c.JoinBackoff, 10*time.Millisecond, time.Minute),
		between("member.partition_watch", c.PartitionWatch, 100*time.Millisecond, time.Hour),
	)
}

func (c MemberConfig) validateHeartbeat() error {
	third := (c.Session / 3).Truncate(time.Millisecond)
	if err := between("member.heartbeat", c.Heartbeat, 100*time.Millisecond, third); err != nil {
		return fmt.Errorf("%w, a third of member.session, which is %v", err, c.Session)
	}
	return nil
}

func (c PublishConfig) validate() error {
	return errors.Join(
		between("publish.linger", c.Linger, time.Millisecond, time.Second),
		between("publish.flush", c.Flush, 0, 5*time.Minute),
	)
}

func between(key string, d, low, high time.Duration) error {
	if d < low || d > high {
		return fmt.Errorf("%s: %v is not between %v and %v", key, d, low, high)
	}
	return nil
}

// readable opens a file that was named, so that a wrong path is found at the start and not at the first connection.
func readable(key, path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %s", key, strings.TrimPrefix(err.Error(), "open "))
	}
	return f.Close()
}
