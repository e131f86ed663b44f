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
	partitions []*partition
}

func newGeneration(c *Consumer, gen *kafka.Generation) *generation {
	return &generation{c: c, gen: gen}
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
	others.Go(func() { g.commitRegularly(taking) })
	others.Go(func() { g.watch(taking, stop) })
	others.Go(func() { g.measure(taking) })

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
	have, err := g.extents(ctx, ids)
	if err != nil {
		return err
	}
	var stopped []int32
	for _, a := range assigned {
		offset, inRange, ok := c.cfg.place(a.Offset, have[a.ID])
		if !inRange {
			c.outOfRange(a.ID, a.Offset, have[a.ID], offset, ok)
		}
		if !ok {
			stopped = append(stopped, int32(a.ID))
			continue
		}
		owner, err := c.assign(ctx, Assignment{Partition: int32(a.ID), Generation: g.gen.ID, Offset: offset})
		if err != nil {
			return fmt.Errorf("assign partition %d at offset %d: %w", a.ID, offset, err)
		}
		p := &partition{c: c, id: int32(a.ID), owner: owner, next: offset, pipe: newPipe(), committed: a.Offset}
		p.lag.gauge = c.metrics.lag.WithLabelValues(strconv.Itoa(a.ID))
		if a.Offset != offset {
			p.committed = -1 // what stands there is no place; the first commit replaces it, so that it is never asked for again
		}
		g.partitions = append(g.partitions, p)
	}
	c.joinedWith(len(g.partitions), stopped)
	c.log.Info("kafka: partitions assigned", "topic", c.cfg.Topic, "generation", g.gen.ID, "partitions", ids)
	return nil
}

// extents asks until there is an answer.
func (g *generation) extents(ctx context.Context, ids []int) (map[int]extent, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	pause := newBackoff()
	for {
		have, err := g.c.conn.extents(ctx, g.c.cfg.Topic, ids...)
		if err == nil {
			return have, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		g.c.trouble.about("find the places in the partitions", err)
		if !pause.wait(ctx) {
			return nil, context.Cause(ctx)
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

// commit tells Kafka how far all owners are done (I1), in one request. It takes no context: kafka-go limits it to
// dialTimeout, and the last one must be made when all contexts have ended. Where it fails nothing is lost, the next one
// says the same and more; what the last one fails to say will be pushed again.
func (g *generation) commit() {
	offsets := map[int]int64{}
	for _, p := range g.partitions {
		if watermark := p.owner.Watermark(); watermark > p.committed && !p.replaced.Load() {
			offsets[int(p.id)] = watermark
		}
	}
	if len(offsets) == 0 {
		return
	}
	begun := time.Now()
	err := g.gen.CommitOffsets(map[string]map[int]int64{g.c.cfg.Topic: offsets})
	g.c.metrics.commits.Observe(time.Since(begun).Seconds())
	if err != nil {
		g.c.trouble.about("commit offsets", err)
		return
	}
	for _, p := range g.partitions {
		if offset, ok := offsets[int(p.id)]; ok {
			p.committed = offset
		}
	}
}
