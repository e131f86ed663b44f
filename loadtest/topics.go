package main

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"pushd/loadtest/broker"
)

// named are the brokers of --brokers.
func named(addresses []string) *broker.Named {
	return &broker.Named{Addresses: addresses, By: "--brokers", OrElse: "leave --brokers out to have an embedded one"}
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
