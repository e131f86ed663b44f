package queue

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
)

// Consumer is this process as a member of the consumer group: it hands the records of the partitions that the group
// gives it to their owners, and commits how far the owners are done.
//
//	         assigned                     generation or run ends
//	joining ─────────▶ taking, committing ─────────────────────▶ releasing ──▶ last commit ──▶ joining, or gone
//	   ▲  each failure: pause, again                  at most revoke_drain, or shutdown_drain
//
// Goroutines, all of which have ended when Run returns:
//
//	Run            one for the process; joins, one generation after the other
//	serve          one per generation, inside kafka-go's Generation.Start: as long as it runs, no next generation begins
//	commit         one per generation; owns what was committed; ends before the last commit
//	watch          one per generation; where this member leads the group, looks for new partitions
//	measure        one per generation; asks how far the logs go of the partitions that pause
//	follow         one per generation; asks which leaders the partitions have
//	rounds         one per generation, and one per request under way; ask the brokers
//	partition      one for each; asks in a round, hands over what comes; the only one that calls Take and Release
type Consumer struct {
	cfg     Config
	assign  func(context.Context, Assignment) (Owner, error)
	conn    *connection
	log     *slog.Logger
	metrics *consumerMetrics
	trouble *complaints
	leader  *leader

	// Shared, where it is set before Run, is told at the beginning of each generation how many of the topic's partitions
	// this process has, before it is given a record of any.
	Shared func(owned, of int)

	mu      sync.Mutex // guards what stands below
	joined  bool       // a generation is being served
	owned   int        // partitions with an owner
	stopped []int32    // partitions that were given to this process and are not read, because of out_of_range=stop
	failure error      // why this process is not in the group; nil where it is, or has not tried
}

// NewConsumer makes a Consumer of a valid Config; nothing is connected before Run. assign is asked for the owner of
// each partition as it is assigned; its context ends with the call's generation and must not be kept. Where it fails the
// generation is given up, after a pause, and the group joined again. It fails where a file that cfg names cannot be used.
func NewConsumer(cfg Config, assign func(context.Context, Assignment) (Owner, error), reg prometheus.Registerer, log *slog.Logger) (*Consumer, error) {
	conn, err := cfg.connect(cfg.Topic)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	metrics := newConsumerMetrics(reg)
	return &Consumer{
		cfg: cfg, assign: assign, conn: conn, log: log,
		metrics: metrics, trouble: newComplaints(log, metrics.errors), leader: newLeader(),
	}, nil
}

// Run consumes until ctx ends; then it lets the owners settle what is under way (at most shutdown_drain), commits, and
// leaves the group. No failure of Kafka ends it: it tries again, and Ready says why. A Consumer runs once.
func (c *Consumer) Run(ctx context.Context) error {
	defer c.conn.close()
	if !c.awaitTopic(ctx) {
		return nil
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                c.cfg.Group,
		Brokers:           c.cfg.Brokers,
		Dialer:            c.conn.dialer,
		Topics:            []string{c.cfg.Topic},
		GroupBalancers:    []kafka.GroupBalancer{c.leader},
		HeartbeatInterval: c.cfg.Member.Heartbeat,
		SessionTimeout:    c.cfg.Member.Session,
		RebalanceTimeout:  c.cfg.Member.Rebalance,
		JoinGroupBackoff:  c.cfg.Member.JoinBackoff,
		StartOffset:       kafka.FirstOffset, // only a sign for "never committed"; see place
		Timeout:           dialTimeout,
	})
	if err != nil {
		return fmt.Errorf("kafka: consumer group: %w", err)
	}
	defer group.Close() // leaves the group

	for ctx.Err() == nil {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			c.notJoined("join the consumer group "+c.cfg.Group, err)
		default:
			c.serve(ctx, gen)
		}
	}
	return nil
}

// awaitTopic returns when the topic exists, or false where ctx ended first.
func (c *Consumer) awaitTopic(ctx context.Context) bool {
	pause := newBackoff()
	for {
		_, err := c.conn.partitions(ctx, c.cfg.Topic)
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			c.notJoined("find the topic", err)
		}
		if !pause.wait(ctx) {
			return false
		}
	}
}

// serve returns when the generation's partitions are released and committed.
func (c *Consumer) serve(ctx context.Context, gen *kafka.Generation) {
	released := make(chan struct{})
	gen.Start(func(ended context.Context) {
		defer func() {
			close(released)
			if ctx.Err() != nil {
				// Run closes the group now, and that ends the generation. Were this function to return first, kafka-go
				// would join the group once more only to leave it: two rebalances for everybody.
				<-ended.Done()
			}
		}()
		// Where the generation had ended before Start, kafka-go does not wait for this function, and the next
		// generation may be on its way: nothing may be begun.
		if ended.Err() == nil {
			newGeneration(c, gen).run(ctx, ended)
		}
	})
	<-released
}

// Ready says whether this process takes part in the group, and why not, or with how many partitions.
func (c *Consumer) Ready() (bool, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.joined && c.failure != nil:
		return false, fmt.Sprintf("not in the consumer group: %v; %s", c.failure, troubleOf(c.failure).mend())
	case !c.joined:
		return false, "joining the consumer group"
	case len(c.stopped) > 0:
		return false, fmt.Sprintf("partitions %v are not read: their committed offset is out of range and kafka.out_of_range is stop", c.stopped)
	default:
		return true, fmt.Sprintf("%d partitions assigned", c.owned)
	}
}

func (c *Consumer) notJoined(doing string, err error) {
	c.mu.Lock()
	c.failure = err
	c.mu.Unlock()
	c.trouble.about(doing, err)
}

// joinedWith is called when all partitions of a generation have their owners.
func (c *Consumer) joinedWith(owned int, stopped []int32) {
	c.trouble.over()
	c.metrics.assigned.Set(float64(owned))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined, c.owned, c.stopped, c.failure = true, owned, stopped, nil
}

// stop notes that a partition is not read any more.
func (c *Consumer) stop(partition int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = append(c.stopped, partition)
}

func (c *Consumer) parted(failure error) {
	c.metrics.assigned.Set(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined, c.owned, c.stopped, c.failure = false, 0, nil, failure
}
