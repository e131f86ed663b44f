package queue

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// trouble is a kind of failure of Kafka: what is counted, and what a person is told to do about it.
type trouble uint8

const (
	unreachable trouble = iota
	untrusted
	unauthenticated
	unauthorized
	unknownTopic
	noCoordinator
	fenced
	outOfRange
	tooLarge
	misconfigured
	brokerRefused
	elsewhere // not Kafka's: an owner failed
	troubles  // their number
)

func (t trouble) String() string {
	return [troubles]string{"unreachable", "untrusted", "unauthenticated", "unauthorized", "unknown_topic", "no_coordinator",
		"fenced", "out_of_range", "too_large", "misconfigured", "broker", "owner"}[t]
}

// mend says what a person can do. It is tried again in any case.
func (t trouble) mend() string {
	return [troubles]string{
		unreachable:     "check kafka.brokers, the network, and that the brokers' advertised listeners can be reached from here; where a listener speaks TLS, set kafka.tls.enable",
		untrusted:       "check kafka.tls.ca, and that the broker's certificate names the host that it is reached by",
		unauthenticated: "check kafka.sasl.mechanism, kafka.sasl.username and the content of kafka.sasl.password_file",
		unauthorized:    "allow this user to Read kafka.topic, kafka.group and retry.topic, and to Write the topics it publishes to; with kafka.create_topics, to Create topics, and to Alter retry.topic; SECURITY.md has the list",
		unknownTopic:    "create the topic, or set kafka.create_topics; or allow this user to Describe it, for brokers hide what a user may not see",
		noCoordinator:   "nothing, while a cluster starts or a broker is replaced; else check the replicas of __consumer_offsets",
		fenced:          "nothing: the group has gone on without this member, which joins again",
		outOfRange:      "raise the topic's retention.ms, or add members; kafka.out_of_range says what happens",
		tooLarge:        "raise max.message.bytes of the topic to 1048588 at least",
		misconfigured:   "mend what the error names",
		brokerRefused:   "see the brokers' logs",
		elsewhere:       "see the error",
	}[t]
}

// troubleOf tells what kind of failure an error is, by Kafka's code first.
func troubleOf(err error) trouble {
	if errors.Is(err, errOwner) { // whatever it wraps
		return elsewhere
	}
	var code kafka.Error
	if errors.As(err, &code) {
		return troubleOfCode(code)
	}
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		name         x509.HostnameError
		notTLS       tls.RecordHeaderError
		alert        tls.AlertError
		file         *fs.PathError
		network      net.Error
	)
	switch {
	case errors.As(err, &verification), errors.As(err, &authority), errors.As(err, &name), errors.As(err, &alert), errors.As(err, &notTLS):
		return untrusted
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition):
		return unknownTopic
	case errors.As(err, &file):
		return misconfigured
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded), errors.Is(err, protocol.ErrNoLeader):
		return unreachable
	default:
		return elsewhere
	}
}

func troubleOfCode(code kafka.Error) trouble {
	switch code {
	case kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState:
		return unauthenticated
	case kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed, kafka.ClusterAuthorizationFailed:
		return unauthorized
	case kafka.UnknownTopicOrPartition:
		return unknownTopic
	case kafka.BrokerNotAvailable: // also kafka-go's own word where it has reached none
		return unreachable
	case kafka.GroupCoordinatorNotAvailable, kafka.NotCoordinatorForGroup, kafka.GroupLoadInProgress:
		return noCoordinator
	case kafka.IllegalGeneration, kafka.UnknownMemberId, kafka.RebalanceInProgress, kafka.FencedInstanceID:
		return fenced
	case kafka.OffsetOutOfRange:
		return outOfRange
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		return tooLarge
	case kafka.InvalidSessionTimeout, kafka.InvalidGroupId, kafka.InvalidTopic, kafka.InconsistentGroupProtocol:
		return misconfigured
	default:
		return brokerRefused
	}
}

// repeatAfter is how often the same kind of failure is logged again while it lasts.
const repeatAfter = time.Minute

// complaints counts failures and logs each kind once, and again each minute: with a hundred partitions, one broker that
// is gone is one line and not a hundred a second.
type complaints struct {
	log    *slog.Logger
	errors *prometheus.CounterVec

	mu     sync.Mutex
	logged map[trouble]time.Time // guarded by mu; when a kind was last logged
}

func newComplaints(log *slog.Logger, errors *prometheus.CounterVec) *complaints {
	return &complaints{log: log, errors: errors, logged: map[trouble]time.Time{}}
}

// about notes that what was being done failed and will be tried again.
func (c *complaints) about(doing string, err error) {
	kind := troubleOf(err)
	c.errors.WithLabelValues(kind.String()).Inc()

	c.mu.Lock()
	last, before := c.logged[kind]
	loud := !before || time.Since(last) >= repeatAfter
	if loud {
		c.logged[kind] = time.Now()
	}
	c.mu.Unlock()

	if loud {
		c.log.Warn("kafka: cannot "+doing+"; trying again", "kind", kind.String(), "error", err, "mend", kind.mend())
	}
}

// over forgets what was logged: Kafka works, and the next failure is a new one.
func (c *complaints) over() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.logged)
}

// backoff is the pause between attempts: doubling from first to last, with a jitter of a quarter.
type backoff struct {
	first, last time.Duration
	next        time.Duration
}

func newBackoff() backoff { return backoff{first: 100 * time.Millisecond, last: 5 * time.Second} }

// wait pauses; it returns false where ctx ended first.
func (b *backoff) wait(ctx context.Context) bool {
	b.next = min(max(2*b.next, b.first), b.last)
	return sleep(ctx, b.next*3/4+rand.N(b.next/2))
}

func (b *backoff) reset() { b.next = 0 }

// sleep returns true after d, or false where ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
