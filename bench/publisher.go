package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"pushd/queue/event"
)

// publishEvery is how often a publisher publishes what is due, or what it may. At a rate the wait for it is in the latency, as
// is what is missing to a whole millisecond in a record's time: 1.5 ms of it on average.
const publishEvery = 2 * time.Millisecond

// publishing is what a process that publishes is told; after it, again and again, how many events it may have published. Each
// time it answers with how far it is.
type publishing struct {
	Broker, Topic string
	Rate          float64 // events per second; 0: as many as it may
}

// published is how far it is.
type published struct {
	Events int64
	Acks   latency
}

// due is when the nth event is due, at a rate.
func (p *publishing) due(began time.Time, n int64) time.Time {
	return began.Add(time.Duration(float64(n) / p.Rate * float64(time.Second)))
}

// publish is such a process; it publishes until in ends.
//
// It takes as little as it can of the cores that it shares with what is measured: on one thread all that is due mostly stands in the
// client's buffers before a request is made of it, so that the client need not wait for more.
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
		allowed, events atomic.Int64
		acks            acknowledgements
	)
	go func() {
		for {
			var n int64
			err := told.Decode(&n)
			if err == nil {
				allowed.Store(n)
				err = answers.Encode(published{events.Load(), acks.latency()})
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
			acks.add(time.Since(r.Timestamp))
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
			r := &kgo.Record{Key: key, Value: value}
			if task.Rate > 0 { // so the publisher's own delay is measured too
				r.Timestamp = task.due(began, n)
			}
			client.Produce(ctx, r, promise)
		}
		events.Store(n)
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// acknowledgements count events by how long after their time the publisher heard that the broker had them. That is about what is
// gone before a daemon can have them: the broker's answer has its way back in it, but a daemon needs an answer too.
type acknowledgements struct {
	mu   sync.Mutex
	sums latency // guarded by mu
}

func (a *acknowledgements) add(took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sums.All++
	for i, seconds := range latencies {
		if took.Seconds() <= seconds {
			a.sums.Within[i]++
		}
	}
}

func (a *acknowledgements) latency() latency {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sums
}

// publisher is that process as its parent has it.
type publisher struct {
	process *child
	tell    *json.Encoder
	ahead   int64
	at      published // as it said last
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

// accepted lets it publish on, and it says how far it is. So many pushes were accepted since it began, and of the dead tokens among
// them none.
func (p *publisher) accepted(n int64) error {
	if err := p.tell.Encode(eventsOf(n) + p.ahead); err != nil {
		return fmt.Errorf("%s takes no more (%w); what it died of stands above", p.process.name, err)
	}
	return p.process.hear(&p.at)
}

// eventsOf is how many events had to be published for so many pushes.
func eventsOf(pushes int64) int64 { return pushes + pushes/(deadEvery-1) }

// checkRate fails where what was published between two readings was not the rate that was asked for.
func (p *publishing) checkRate(begin, end reading) error {
	got := float64(end.Published.Events-begin.Published.Events) / end.At.Sub(begin.At).Seconds()
	if math.Abs(got-p.Rate) > p.Rate/100 {
		return fmt.Errorf("%.0f events a second were published where it should have been %.0f: perhaps the machine has not the cores for publisher and daemon", got, p.Rate)
	}
	return nil
}
