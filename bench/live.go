package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"pushd/loadtest/daemon"
	"pushd/loadtest/scrape"
	"pushd/queue/event"
)

// The daemon while events are published beside it: what it keeps up with, and then, at half of that, how long it takes from
// an event's time until its push is accepted.

const (
	// liveWarmUp is how much longer than others such a daemon runs before it is measured: it has to catch up with what was
	// published while it started.
	liveWarmUp = 4
	// liveAhead is how many more events are published than pushes accepted, where no rate is asked for.
	liveAhead = 50_000
	// publishEvery is how often a publisher with a rate publishes what is due.
	publishEvery = time.Millisecond
)

// publishing is what a process that publishes is told; after it, again and again, how many events it may have published.
type publishing struct {
	Broker, Topic string
	Rate          float64 // events per second; 0: as many as it may
}

// linger is how long an event waits for others to be published with. With a rate it is about latency, which begins before it.
func (p *publishing) linger() time.Duration {
	if p.Rate > 0 {
		return 2 * publishEvery
	}
	return 10 * publishEvery
}

// publish is such a process; it publishes until in ends.
func publish(in io.Reader) error {
	decoder := json.NewDecoder(in)
	var task publishing
	if err := decoder.Decode(&task); err != nil {
		return fmt.Errorf("read what to publish: %w", err)
	}
	debug.SetGCPercent(400) // the processor is the daemon's to use
	client, err := kgo.NewClient(kgo.SeedBrokers(task.Broker), kgo.DefaultProduceTopic(task.Topic),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(task.linger()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	var allowed atomic.Int64
	go func() {
		for {
			var n int64
			if err := decoder.Decode(&n); err != nil {
				cancel(nil)
				return
			}
			allowed.Store(n)
		}
	}()
	promise := func(_ *kgo.Record, err error) {
		if err != nil && ctx.Err() == nil {
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

// publisher is that process as its parent has it.
type publisher struct {
	process *child
	tell    *json.Encoder
	ahead   int64
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
	return p, p.accepted(0)
}

// accepted lets it publish on; so many pushes were accepted since it began, and of the dead tokens among them none.
func (p *publisher) accepted(n int64) error {
	if err := p.tell.Encode(n + n/(deadEvery-1) + p.ahead); err != nil {
		return fmt.Errorf("%s takes no more (%w); what it died of stands above", p.process.name, err)
	}
	return nil
}

// live makes a contest of daemons while events are published to an Apache Kafka, at a rate, or as fast as they take them.
func (l *lab) live(ctx context.Context, title, suffix string, rate float64, senders ...string) (*contest, error) {
	at, err := l.site(ctx, 0)
	if err != nil {
		return nil, err
	}
	c := &contest{
		title: title,
		about: fmt.Sprintf("Wakes are published while it runs, %s; %d partitions, one tenant, one token in %d dead, the configuration as it is by default.", pace(rate), partitions, deadEvery),
	}
	for _, sender := range senders {
		key := "daemon_" + sender + suffix
		run := func(ctx context.Context) (s sample, err error) {
			b, err := kafkaBacklog(ctx, l.Kafka, 0)
			if err != nil {
				return sample{}, err
			}
			defer func() { err = errors.Join(err, b.stop()) }()
			d := &daemonRun{pushd: l.Pushd, sender: sender, at: at, backlog: b, dir: l.dir, warmUp: liveWarmUp * l.WarmUp, measure: l.LiveFor}
			d.live = &publishing{Broker: b.broker, Topic: b.topics.Events, Rate: rate}
			s, err = d.run(ctx)
			if err == nil {
				l.kept = append(l.kept, s.rate())
			}
			return s, err
		}
		c.entries = append(c.entries, entry{key: key, name: "pushd run, " + sender, run: run})
		c.against = []string{key}
	}
	return c, nil
}

func pace(rate float64) string {
	if rate == 0 {
		return fmt.Sprintf("%d more than are pushed", liveAhead)
	}
	return fmt.Sprintf("%.0f a second", rate)
}

// latencies are the times within which it is looked how many events have their push, in seconds: bounds of the daemon's
// histogram.
var latencies = [...]float64{.01, .05}

// latency is how many events had their push, in all and within each of the latencies, since the daemon began.
type latency struct {
	all    float64
	within [len(latencies)]float64
}

func readLatency(ctx context.Context, d *daemon.Daemon) (l latency, err error) {
	const name = "pushd_end_to_end_seconds"
	values, err := scrape.Get(ctx, http.DefaultClient, d.Addr)
	if err != nil {
		return latency{}, err
	}
	l.all = values[name+"_count"]
	for i, seconds := range latencies {
		l.within[i] = values[fmt.Sprintf("%s_bucket{le=\"%g\"}", name, seconds)]
	}
	return l, nil
}

// inTime are the shares of events that had their push within each of the latencies.
type inTime [len(latencies)]float64

// since are those of the events after another reading; zero where there were none.
func (l latency) since(begin latency) (shares inTime) {
	if l.all == begin.all {
		return inTime{}
	}
	for i := range shares {
		shares[i] = (l.within[i] - begin.within[i]) / (l.all - begin.all)
	}
	return shares
}
