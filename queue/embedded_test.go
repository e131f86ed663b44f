package queue

import (
	"sync"
	"testing"

	"pushd/queue/embedded"
)

func TestAgainstTheEmbeddedBroker(t *testing.T) {
	t.Parallel()
	broker, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0", Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	suite(t, testBroker{addr: broker.Addr()})
}

func TestTheEmbeddedBrokerRestarts(t *testing.T) {
	t.Parallel()
	cfg := embedded.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Partitions: 4}
	broker, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = broker.Addr()
	stop := sync.OnceFunc(func() { broker.Close() })
	t.Cleanup(func() { stop() })
	outage(t, testBroker{addr: broker.Addr(), restart: func(t *testing.T) {
		stop()
		again, err := embedded.Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		stop = sync.OnceFunc(again.Close)
	}})
}
