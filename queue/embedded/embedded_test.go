package embedded_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
	"pushd/queue/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

func start(t testing.TB, cfg embedded.Config) *embedded.Broker {
	t.Helper()
	broker, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return broker
}

func clientOf(t testing.TB, broker *embedded.Broker) *kafka.Client {
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(broker.Addr()), Transport: transport}
}

func produce(t testing.TB, client *kafka.Client, topic string, values ...string) {
	t.Helper()
	records := make([]kafka.Record, len(values))
	for i, v := range values {
		records[i] = kafka.Record{Value: kafka.NewBytes([]byte(v))}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	response, err := client.Produce(ctx, &kafka.ProduceRequest{Topic: topic, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...)})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		t.Fatal(err)
	}
}

func end(t testing.TB, client *kafka.Client, topic string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	response, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(0)}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Topics[topic][0].Error; err != nil {
		t.Fatal(err)
	}
	return response.Topics[topic][0].LastOffset
}

func TestWhatWasPublishedSurvivesARestart(t *testing.T) {
	t.Parallel()
	cfg := embedded.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Partitions: 1, Topics: []string{"a"}}
	broker := start(t, cfg)
	produce(t, clientOf(t, broker), "a", "one", "two", "three")
	broker.Close()

	cfg.Listen = broker.Addr() // the same port, as clients know it
	cfg.Topics = []string{"a", "b"}
	broker = start(t, cfg)
	client := clientOf(t, broker)
	if broker.Addr() != cfg.Listen {
		t.Errorf("listens on %s, want %s", broker.Addr(), cfg.Listen)
	}
	if got := end(t, client, "a"); got != 3 {
		t.Errorf("topic a ends at %d after a restart, want 3", got)
	}
	produce(t, client, "b", "a topic that the second start has added")
}

func TestItListensOnThisMachineOnly(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"0.0.0.0:0", ":0", "192.0.2.1:9092", "nonsense"} {
		broker, err := embedded.Start(embedded.Config{Listen: listen, Partitions: 1})
		if err == nil {
			broker.Close()
			t.Errorf("it listens on %q", listen)
		} else if !strings.Contains(err.Error(), listen) {
			t.Errorf("the error does not name %q: %v", listen, err)
		}
	}
}

// 1200 records of 300 bytes in batches of 100, to 12 partitions at once, each batch synced.
func BenchmarkPublish(b *testing.B) {
	for _, dir := range []string{"", b.TempDir()} {
		b.Run(fmt.Sprintf("synced=%v", dir != ""), func(b *testing.B) {
			broker := start(b, embedded.Config{DataDir: dir, Listen: "127.0.0.1:0", Partitions: 12, Topics: []string{"a"}})
			writer := &kafka.Writer{Addr: kafka.TCP(broker.Addr()), Topic: "a", RequiredAcks: kafka.RequireAll,
				BatchSize: 100, BatchTimeout: 5 * time.Millisecond, Transport: clientOf(b, broker).Transport}
			defer writer.Close()
			value := []byte(strings.Repeat("x", 300))
			messages := make([]kafka.Message, 1200)
			for i := range messages {
				messages[i].Value = value
			}
			for b.Loop() {
				if err := writer.WriteMessages(context.Background(), messages...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(messages))/b.Elapsed().Seconds(), "records/s")
		})
	}
}
