package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// generation is one generation of the group, as this process has part in it.
//
// Commits are fenced: they carry this generation's number, and the group's coordinator refuses them once the next has
// begun. Until then, thus while the partitions of an ended one are released, it accepts them: kafka-go keeps the
// connection open, and the coordinator waits for this member to join again.
type generation struct {
	c          *Consumer
	gen        *kafka.Generation
	rounds     *rounds
	partitions []*partition
}

func newGeneration(c *Consumer, gen *kafka.Generation) *generation {
	return &generation{c: c, gen: gen, rounds: newRounds(c.conn, c.cfg.Topic, c.cfg.Fetch)}
}

// run serves the generation until it has ended, ctx has, or an owner fails. ended is the generation's context.
func (g *generation) run(ctx, ended context.Context) {
	taking, stop := context.WithCancelCause(ended)
	defer stop(nil)
	defer context.AfterFunc(ctx, func() { stop(context.Cause(ctx)) })()
	releasing, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()

	if err := g.takeOver(taking); err != nil {
		stop(err) // the partitions that have owners already are released below
	}
	var owners, others sync.WaitGroup
	for _, p := range g.partitions {
		owners.Go(func() { p.run(taking, releasing, stop) })
	}
	others.Go(func() { g.rounds.run(taking) })
	others.Go(func() { g.commitRegularly(taking) })
	others.Go(func() { g.watch(taking, stop) })
	others.Go(func() { g.measure(taking) })
	others.Go(func() { g.follow(taking) })

	<-taking.Done()
	if errors.Is(context.Cause(taking), kafka.UnknownTopicOrPartition) {
		for _, p := range g.partitions {
			p.replaced.Store(true) // the topic is gone, whichever partition was the first to be told
		}
	}
	g.drain(ctx, ended, &owners, abandon)
	others.Wait()
	g.commit()
	g.part(ctx, ended, context.Cause(taking))
}

// takeOver finds the place in each partition and asks for its owner.
func (g *generation) takeOver(ctx context.Context) error {
	c := g.c
	assigned := g.gen.Assignments[c.cfg.Topic]
	ids := make([]int, len(assigned))
	for i, a := range assigned {
		ids[i] = a.ID
	}
	state, err := g.survey(ctx, ids)
	if err != nil {
		return err
	}
	if c.Shared != nil {
		of, err := c.conn.partitions(ctx, c.cfg.Topic)
		if err != nil {
			return err
		}
		c.Shared(len(ids), of)
	}
	var stopped []int32
	for _, id := range ids {
		committed := state.committed[id]
		offset, inRange, ok := c.cfg.place(committed.offset, state.extents[id])
		if !inRange {
			c.outOfRange(id, committed.offset, state.extents[id], offset, ok)
		}
		if !ok {
			stopped = append(stopped, int32(id))
			continue
		}
		of, from := state.lineages[int32(id)], At(offset)
		if offset == committed.offset {
			from = c.resume(int32(id), committed, of)
		}
		owner, err := c.assign(ctx, Assignment{Partition: int32(id), Generation: g.gen.ID, Topic: of.topic, From: from, Committed: committed.offset >= 0})
		if err != nil {
			return fmt.Errorf("assign partition %d at offset %d: %w", id, offset, err)
		}
		p := newPartition(c, g.rounds, int32(id), owner, offset)
		p.track.heard(of)
		if committed.offset == offset { // else what stands there is no place; the first commit replaces it, so that it is never asked for again
			p.committed, p.told = offset, owner.Progress()
		}
		g.partitions = append(g.partitions, p)
	}
	c.joinedWith(len(g.partitions), stopped)
	c.log.Info("kafka: partitions assigned", "topic", c.cfg.Topic, "generation", g.gen.ID, "partitions", ids)
	return nil
}

// surveyed is what must be known of partitions to take them over.
type surveyed struct {
	extents   map[int]extent
	committed map[int]commit
	lineages  map[int32]lineage // may lack some
}

// survey asks until there is an answer. Only the lineages it goes on without: that costs duplicates at most.
func (g *generation) survey(ctx context.Context, ids []int) (have surveyed, err error) {
	if len(ids) == 0 {
		return have, nil
	}
	pause := newBackoff()
	for try := 1; ; try++ {
		have.extents, err = g.c.conn.extents(ctx, g.c.cfg.Topic, ids...)
		if err == nil {
			have.committed, err = g.c.conn.committed(ctx, g.c.cfg.Group, g.c.cfg.Topic, ids)
		}
		if err == nil {
			if have.lineages, err = g.c.conn.lineages(ctx, g.c.cfg.Topic); err == nil || try >= lineageTries {
				if err != nil {
					g.c.trouble.about("ask for the leaders' epochs", err)
				}
				return have, nil
			}
		}
		if ctx.Err() != nil {
			return have, context.Cause(ctx)
		}
		g.c.trouble.about("find the places in the partitions", err)
		if !pause.wait(ctx) {
			return have, context.Cause(ctx)
		}
	}
}

// drain waits until all owners have released, but not longer than the group, or whoever stops the process, can wait.
func (g *generation) drain(ctx, ended context.Context, owners *sync.WaitGroup, abandon context.CancelFunc) {
	released := make(chan struct{})
	go func() {
		owners.Wait()
		close(released)
	}()
	limit := g.c.cfg.RevokeDrain
	if ctx.Err() != nil && ended.Err() == nil {
		limit = g.c.cfg.ShutdownDrain // heartbeats go on, nobody waits
	}
	deadline := time.Now().Add(limit)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	rebalance := ended.Done()
	for {
		select {
		case <-released:
			return
		case <-rebalance:
			rebalance = nil // now the group waits
			timer.Reset(min(time.Until(deadline), g.c.cfg.RevokeDrain))
		case <-timer.C:
			g.c.log.Warn("kafka: not all pushes under way settled in time; some will be made again by the next owner",
				"generation", g.gen.ID, "limit", limit)
			abandon()
			<-released
			return
		}
	}
}

// part notes that the generation is over and, where an owner failed, pauses so that the group is not joined in a tight
// loop. Meanwhile the generation lives: no other member waits for this one.
func (g *generation) part(ctx, ended context.Context, cause error) {
	for _, p := range g.partitions {
		g.c.metrics.lag.DeleteLabelValues(strconv.Itoa(int(p.id)))
	}
	switch {
	case ctx.Err() != nil:
		g.c.metrics.rebalances.WithLabelValues("shutdown").Inc()
		g.c.parted(nil)
	case ended.Err() != nil, errors.Is(cause, errNewPartitions):
		g.c.metrics.rebalances.WithLabelValues("rebalance").Inc()
		g.c.parted(nil)
	default:
		g.c.metrics.rebalances.WithLabelValues("failure").Inc()
		g.c.trouble.about("serve the partitions", cause)
		g.c.parted(cause)
		pause, cancel := context.WithCancel(ended)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		(&backoff{first: time.Second, last: time.Second}).wait(pause)
	}
	g.c.log.Info("kafka: partitions released", "topic", g.c.cfg.Topic, "generation", g.gen.ID)
}

func (g *generation) commitRegularly(ctx context.Context) {
	ticker := time.NewTicker(g.c.cfg.CommitInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			g.commit()
		case <-ctx.Done():
			return
		}
	}
}
