package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// Topic is a topic that EnsureTopics makes sure of.
type Topic struct {
	Name       string
	Partitions int               // 0 means Config.Partitions
	Like       string            // a topic that exists: this one must have as many partitions
	Configs    map[string]string // of a topic that is created, such as cleanup.policy; nil means the brokers' defaults
}

// EnsureTopics creates the topics that are missing and returns when all of them can be used. Topics that exist are left
// as they are, but for partitions that they lack (Topic.Like). It waits for brokers that cannot be reached until ctx ends; a refusal ends it.
func EnsureTopics(ctx context.Context, cfg Config, topics ...Topic) error {
	conn, err := cfg.connect()
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer conn.close()
	request := &kafka.CreateTopicsRequest{}
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
		config := kafka.TopicConfig{Topic: t.Name, NumPartitions: t.Partitions, ReplicationFactor: cfg.Replication}
		if config.NumPartitions == 0 {
			config.NumPartitions = cfg.Partitions
		}
		for name, value := range t.Configs {
			config.ConfigEntries = append(config.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
		}
		request.Topics = append(request.Topics, config)
	}
	pause := newBackoff()
	for {
		err := conn.likeOthers(ctx, request, topics)
		if err == nil {
			err = conn.createTopics(ctx, request)
		}
		if err == nil {
			err = conn.topicsUsable(ctx, names)
		}
		if err == nil {
			err = conn.growTopics(ctx, request, topics)
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil || !passing(err):
			return fmt.Errorf("kafka: create topics: %w; %s", err, troubleOf(err).mend())
		case !pause.wait(ctx):
			return fmt.Errorf("kafka: create topics: %w; %s", err, troubleOf(err).mend())
		}
	}
}

// likeOthers gives the topics that are to be like others those others' number of partitions.
func (c *connection) likeOthers(ctx context.Context, request *kafka.CreateTopicsRequest, topics []Topic) error {
	for i, t := range topics {
		if t.Like == "" {
			continue
		}
		n, err := c.partitions(ctx, t.Like)
		if err != nil {
			return err
		}
		request.Topics[i].NumPartitions = n
	}
	return nil
}

// growTopics adds the partitions that a topic lacks to be like another, which has got more.
func (c *connection) growTopics(ctx context.Context, request *kafka.CreateTopicsRequest, topics []Topic) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for i, t := range topics {
		if t.Like == "" {
			continue
		}
		wanted := request.Topics[i].NumPartitions
		have, err := c.partitions(ctx, t.Name)
		if err != nil || have >= wanted {
			return err
		}
		response, err := c.client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{
			Topics: []kafka.TopicPartitionsConfig{{Name: t.Name, Count: int32(wanted)}},
		})
		if err == nil {
			err = response.Errors[t.Name]
		}
		// It has as many already: another member was faster, or what the transport knew was old.
		if err != nil && !errors.Is(err, kafka.InvalidPartitionNumber) {
			return fmt.Errorf("give topic %s as many partitions as %s, %d: %w", t.Name, t.Like, wanted, err)
		}
	}
	return nil
}

func (c *connection) createTopics(ctx context.Context, request *kafka.CreateTopicsRequest) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := c.client.CreateTopics(ctx, request)
	if err != nil {
		return err
	}
	var faults []error
	for name, err := range response.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			faults = append(faults, fmt.Errorf("topic %s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

// topicsUsable waits until each partition has a leader: a topic is created some time after it was said to be.
func (c *connection) topicsUsable(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	// A transport remembers metadata for seconds; another one has to ask.
	fresh := &kafka.Transport{Dial: c.transport.Dial, DialTimeout: dialTimeout, MetadataTTL: 200 * time.Millisecond,
		MetadataTopics: names, ClientID: c.transport.ClientID, TLS: c.transport.TLS, SASL: c.transport.SASL}
	defer fresh.CloseIdleConnections()
	client := &kafka.Client{Addr: c.client.Addr, Transport: fresh}
	pause := backoff{first: 50 * time.Millisecond, last: 200 * time.Millisecond}
	for {
		response, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
		if err == nil {
			if err = allLed(response.Topics, len(names)); err == nil {
				return nil
			}
		}
		if !pause.wait(ctx) {
			return err
		}
	}
}

// partitions returns how many partitions the topic has, as far as the transport has heard.
func (c *connection) partitions(ctx context.Context, topic string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, fmt.Errorf("ask for topic %s: %w", topic, err)
	}
	if err := response.Topics[0].Error; err != nil {
		return 0, fmt.Errorf("topic %s: %w", topic, err)
	}
	return len(response.Topics[0].Partitions), nil
}

// leaders are the brokers that lead a topic's partitions.
type leaders struct {
	partitions int
	of         map[int32]int32 // by partition; those are missing that have none
}

// leaders are those of a topic, as far as the transport has heard: but for the first time it asks no broker.
func (c *connection) leaders(ctx context.Context, topic string) (leaders, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := c.transport.RoundTrip(ctx, c.client.Addr, &metadata.Request{TopicNames: []string{topic}})
	if err != nil {
		return leaders{}, fmt.Errorf("ask for topic %s: %w", topic, err)
	}
	t := response.(*metadata.Response).Topics[0]
	if t.ErrorCode != 0 {
		return leaders{}, fmt.Errorf("topic %s: %w", topic, kafka.Error(t.ErrorCode))
	}
	found := leaders{partitions: len(t.Partitions), of: make(map[int32]int32, len(t.Partitions))}
	for _, p := range t.Partitions {
		if p.ErrorCode == 0 {
			found.of[p.PartitionIndex] = p.LeaderID
		}
	}
	return found, nil
}

func allLed(topics []kafka.Topic, wanted int) error {
	if len(topics) < wanted {
		return kafka.UnknownTopicOrPartition
	}
	for _, t := range topics {
		if t.Error != nil {
			return fmt.Errorf("topic %s: %w", t.Name, t.Error)
		}
		for _, p := range t.Partitions {
			if p.Error != nil {
				return fmt.Errorf("topic %s, partition %d: %w", t.Name, p.ID, p.Error)
			}
		}
	}
	return nil
}

// passing says whether a failure may be over at the next attempt.
func passing(err error) bool {
	switch troubleOf(err) {
	case unreachable, noCoordinator, unknownTopic:
		return true
	case brokerRefused:
		var code kafka.Error
		return errors.As(err, &code) && code.Temporary()
	default:
		return false
	}
}
