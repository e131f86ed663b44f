// Package embedded is a broker inside this process, for the demo and for development: any Kafka client on this machine can
// publish to it and read from it, and what was acknowledged survives a restart and a kill.
//
// It is not Apache Kafka: it is the fake broker of franz-go's tests, with its data directory and synced writes. There is
// one broker, one replica, and no access control, so it listens on loopback addresses only.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config is what a Broker needs.
type Config struct {
	DataDir    string   // made where it is missing; of one process at a time. Empty keeps all in memory
	Listen     string   // a loopback host:port; port 0 takes a free one, and clients of a restarted broker need the same one
	Partitions int      // of the topics that are created
	Topics     []string // created where they are missing
	Log        *slog.Logger
}

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
}

// Start starts a broker; its topics can be used at once.
func Start(cfg Config) (*Broker, error) {
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: listen on %q: %w", cfg.Listen, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("embedded broker: %q is not a loopback address; it has no access control", cfg.Listen)
	}
	if cfg.Partitions < 1 {
		return nil, errors.New("embedded broker: a topic needs at least one partition")
	}
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.DefaultNumPartitions(cfg.Partitions),
		kfake.GroupMinSessionTimeout(time.Second), // so that after a kill the next member need not wait longer
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, cfg.Listen) }),
	}
	if cfg.DataDir != "" {
		options = append(options, kfake.DataDir(cfg.DataDir), kfake.SyncWrites())
	}
	if cfg.Log != nil {
		options = append(options, kfake.WithLogger(logger{cfg.Log}))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, fmt.Errorf("embedded broker in %q: %w", cfg.DataDir, err)
	}
	for _, topic := range cfg.Topics {
		if cluster.TopicInfo(topic) != nil {
			continue // it was read from the data directory
		}
		if err := cluster.CreateTopic(topic, int32(cfg.Partitions), nil); err != nil {
			cluster.Close()
			return nil, fmt.Errorf("embedded broker: create topic %s: %w", topic, err)
		}
	}
	return &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0]}, nil
}

// Addr is the host:port for clients.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker. All it has acknowledged is in the data directory.
func (b *Broker) Close() { b.cluster.Close() }

// logger passes on what goes wrong, such as a full disk.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn("embedded broker: " + fmt.Sprintf(format, args...))
	}
}
