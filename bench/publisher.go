package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"pushd/queue/event"
)

// publishEvery is how often a publisher publishes what is due, or what it may.
const publishEvery = 2 * time.Millisecond

// publishing is what a process that publishes is told; after it, again and again, how many events it may have published. Each
// time it answers with the latency of what was acknowledged.
type publishing struct {
	Broker, Topic string
	Rate          float64 // events per second; 0: as many as it may
}

// publish is such a process; it publishes until in ends.
//
// It takes as little as it can of the cores that it shares with what is measured: it runs on one, so that all that is due stands in
// the client's buffers before a request is made of it, and the client waits for no more.
func publish(in io.Reader, out io.Writer) error {
	told, answers := json.NewDecoder(in), json.NewEncoder(out)
	var task publishing
	if err := told.Decode(&task); err != nil {
		return fmt.Errorf("read what to publish: %w", err)
	}
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	client, err := kgo.NewClient(kgo.SeedBrokers(task.Broker), kgo.DefaultProduceTopic(task.Topic),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	var (
		allowed      atomic.Int64
		acknowledged acknowledgements
	)
	go func() {
		for {
			var n int64
			err := told.Decode(&n)
			if err == nil {
				allowed.Store(n)
				err = answers.Encode(acknowledged.latency())
			}
			if err != nil {
				cancel(nil)
				return
			}
		}
	}()
	promise := func(r *kgo.Record, err error) {
		switch {
		case err == nil:
			acknowledged.count(time.Since(r.Timestamp))
		case ctx.Err() == nil:
			cancel(fmt.Errorf("publish: %w", err))
		}
	}
	began := time.Now()
	for n := int64(0); ctx.Err() == nil; time.Sleep(publishEvery) {
		until := allowed.Load()
		if task.Rate > 0 {
			until = min(until, int64(task.Rate*time.Since(began).Seconds()))
		}
		for ; n < until; n++ {
			key, value := event.Encode(wakeOf(int(n)))
			client.Produce(ctx, &kgo.Record{Key: key, Value: value}, promise)
		}
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// acknowledgements count events that the broker has, by the time from the record's: no daemon can push sooner what it takes the
// broker that long to have.
type acknowledgements struct {
	all    atomic.Int64
	within [len(latencies)]atomic.Int64
}

func (a *acknowledgements) count(took time.Duration) {
	a.all.Add(1)
	for i, seconds := range latencies {
		if took.Seconds() <= seconds {
			a.within[i].Add(1)
		}
	}
}

func (a *acknowledgements) latency() (l latency) {
	l.All = float64(a.all.Load())
	for i := range l.Within {
		l.Within[i] = float64(a.within[i].Load())
	}
	return l
}

// publisher is that process as its parent has it.
type publisher struct {
	process      *child
	tell         *json.Encoder
	ahead        int64
	acknowledged latency // as it said last
}

func startPublisher(ctx context.Context, task publishing) (*publisher, error) {
	process, err := startChild(ctx, publishProcess, task)
	if err != nil {
		return nil, err
	}
	p := &publisher{process: process, tell: json.NewEncoder(process.in), ahead: liveAhead}
	if task.Rate > 0 {
		p.ahead = int64(task.Rate * patience.Seconds())
	}
	if err := p.accepted(0); err != nil {
		return nil, errors.Join(err, process.end())
	}
	return p, nil
}

// accepted lets it publish on; so many pushes were accepted since it began, and of the dead tokens among them none.
func (p *publisher) accepted(n int64) error {
	if err := p.tell.Encode(n + n/(deadEvery-1) + p.ahead); err != nil {
		return fmt.Errorf("%s takes no more (%w); what it died of stands above", p.process.name, err)
	}
	return p.process.hear(&p.acknowledged)
}
