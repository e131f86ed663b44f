package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// brokerWithin is how long to try for a broker, which somebody may just have started.
const brokerWithin = 15 * time.Second

// awaitBroker waits until one of the brokers that --brokers names answers.
func awaitBroker(ctx context.Context, addresses []string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for causes := make(map[string]error); ; {
		for _, address := range addresses {
			err := askBroker(ctx, address)
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
				return ctx.Err()
			}
			return fmt.Errorf("no broker answers at %s, given by --brokers, within %v: %w; start one there, give another address, or leave --brokers out to have an embedded one",
				strings.Join(addresses, ", "), within, errors.Join(slices.Collect(maps.Values(causes))...))
		}
	}
}

func askBroker(ctx context.Context, address string) error {
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

// deleteTopics takes the topics of a run away from a broker that goes on without it.
func deleteTopics(brokers, names []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport}
	response, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: names})
	if err != nil {
		return fmt.Errorf("delete the topics of this run: %w", err)
	}
	for name, err := range response.Errors {
		if err != nil {
			return fmt.Errorf("delete topic %s: %w", name, err)
		}
	}
	return nil
}
