package broker

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
	"pushd/queue/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

func TestABrokerThatDoesNotAnswerIsNamed(t *testing.T) {
	t.Parallel()
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := deaf.Addr().String()
	defer deaf.Close()
	for address, cause := range map[string]string{"127.0.0.1:1": "connection refused", silent: "i/o timeout"} {
		named := Named{Addresses: []string{address}, By: "--brokers", OrElse: "leave it out"}
		err := named.Await(t.Context(), 300*time.Millisecond)
		if err == nil || !strings.Contains(err.Error(), "no broker answers at "+address+", given by --brokers, within 300ms: ") || !strings.Contains(err.Error(), cause) || !strings.HasSuffix(err.Error(), "or leave it out") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestLookingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	told := errors.New("told to end")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(told)
	named := Named{Addresses: []string{"127.0.0.1:1"}}
	if err := named.Await(ctx, Within); err != told {
		t.Errorf("got %v", err)
	}
}

func TestOneBrokerOfSeveralIsEnough(t *testing.T) {
	t.Parallel()
	b, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0", Partitions: 1, Topics: []string{"topic"}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	named := Named{Addresses: []string{"127.0.0.1:1", b.Addr()}}
	if err := named.Await(t.Context(), Within); err != nil {
		t.Error(err)
	}
}

func TestAnAddressHasHostAndPort(t *testing.T) {
	t.Parallel()
	for address, fine := range map[string]bool{
		"127.0.0.1:9092": true, "[::1]:9092": true, "kafka.example:9092": true,
		"nohost": false, "nohost:": false, ":9092": false, "a:1,b:2": false, "::1": false,
	} {
		named := Named{Addresses: []string{"127.0.0.1:9092", address}, By: "--brokers"}
		switch err := named.Validate(); {
		case fine && err != nil:
			t.Error(err)
		case !fine && (err == nil || err.Error() != `--brokers: "`+address+`" is not host:port, such as 127.0.0.1:9092`):
			t.Errorf("%s: %v", address, err)
		}
	}
}
