package queue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

func TestEachFailureHasItsKind(t *testing.T) {
	t.Parallel()
	tests := map[trouble][]error{
		unreachable: {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded,
			&net.DNSError{}, protocol.NewErrNoLeader("t", 1)},
		untrusted:       {&tls.CertificateVerificationError{}, tls.RecordHeaderError{}},
		unauthenticated: {kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism},
		unauthorized:    {kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed},
		unknownTopic:    {kafka.UnknownTopicOrPartition, protocol.NewErrNoTopic("t")},
		noCoordinator:   {kafka.GroupCoordinatorNotAvailable, kafka.NotCoordinatorForGroup},
		fenced:          {kafka.IllegalGeneration, kafka.UnknownMemberId, kafka.RebalanceInProgress},
		outOfRange:      {kafka.OffsetOutOfRange},
		tooLarge:        {kafka.MessageSizeTooLarge},
		misconfigured:   {kafka.InvalidSessionTimeout, &fs.PathError{Err: fs.ErrNotExist}},
		brokerRefused:   {kafka.NotEnoughReplicas, kafka.KafkaStorageError, kafka.Error(9999)},
		elsewhere:       {errors.New("the ledger is full")},
	}
	if len(tests) != int(troubles) {
		t.Errorf("%d kinds are tested, there are %d", len(tests), troubles)
	}
	for kind, errs := range tests {
		if kind.String() == "" || kind.mend() == "" {
			t.Errorf("kind %d has no name or no advice", kind)
		}
		for _, err := range errs {
			if got := troubleOf(fmt.Errorf("fetch: %w", err)); got != kind {
				t.Errorf("%v is %v, want %v", err, got, kind)
			}
		}
	}
}

func TestTheSameFailureIsLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWitness()
		reg := newRegistry()
		c := newComplaints(w.logger(), registerErrors(reg))
		for range 100 {
			c.about("fetch", io.EOF)
		}
		c.about("fetch", kafka.NotEnoughReplicas)
		if len(w.logs) != 2 {
			t.Errorf("%d lines for 101 failures of two kinds", len(w.logs))
		}
		time.Sleep(repeatAfter) // of the bubble
		c.about("fetch", io.EOF)
		if len(w.logs) != 3 {
			t.Error("a failure that lasts is not logged again after a minute")
		}
		c.over()
		c.about("fetch", io.EOF)
		if len(w.logs) != 4 {
			t.Error("a failure after a success is not logged")
		}
		if got := metric(t, reg, "pushd_kafka_errors_total"); got != 103 {
			t.Errorf("%v failures counted, want 103", got)
		}
	})
}
