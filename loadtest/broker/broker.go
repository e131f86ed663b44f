// Package broker looks for the Kafka brokers that a command line names, before anything is started that needs them.
package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// Within is how long to try for a broker, which somebody may just have started.
const Within = 15 * time.Second

// Named are the brokers that a command line names.
type Named struct {
	Addresses []string
	By        string // the flag
	OrElse    string // what its caller can do who has none, such as "leave --brokers out"
}

// Validate says which of the addresses are none, and asks nobody.
func (n *Named) Validate() error {
	var faults []error
	for _, address := range n.Addresses {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			faults = append(faults, fmt.Errorf("%s: %q is not host:port, such as 127.0.0.1:9092", n.By, address))
		}
	}
	return errors.Join(faults...)
}

// Await waits until one of the brokers answers.
func (n *Named) Await(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for causes := make(map[string]error); ; {
		for _, address := range n.Addresses {
			err := ask(ctx, address)
			if err == nil {
				return nil
			}
			if ctx.Err() == nil || causes[address] == nil { // the end of the time is no cause where another is known
				causes[address] = err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return context.Cause(ctx)
			}
			return fmt.Errorf("no broker answers at %s, given by %s, within %v: %w; start one there, give another address, or %s",
				strings.Join(n.Addresses, ", "), n.By, within, errors.Join(slices.Collect(maps.Values(causes))...), n.OrElse)
		}
	}
}

func ask(ctx context.Context, address string) error {
	conn, err := kafka.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if limit, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(limit); err != nil {
			return err
		}
	}
	if _, err = conn.Brokers(); err != nil {
		return fmt.Errorf("what listens at %s does not answer as a Kafka broker: %w", address, err)
	}
	return nil
}
