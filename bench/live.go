package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"pushd/loadtest/daemon"
	"pushd/loadtest/scrape"
)

// The daemon while events are published beside it: what it keeps up with, and then, at half of that, how long it takes from
// an event's time until its push is accepted.

const (
	// liveWarmUp is how much longer than others such a daemon runs before it is measured: it has to catch up with what was
	// published while it started.
	liveWarmUp = 4
	// liveAhead is how many more events are published than pushes accepted, where no rate is asked for.
	liveAhead = 50_000
)

// live makes a contest of daemons while events are published to an Apache Kafka, at a rate, or as fast as they take them.
func (l *lab) live(ctx context.Context, title, suffix string, rate float64, senders ...string) (*contest, error) {
	at, err := l.site(ctx, 0)
	if err != nil {
		return nil, err
	}
	c := &contest{
		title: title,
		about: fmt.Sprintf("Wakes are published while it runs, %s; %d partitions, one tenant, one token in %d dead, the configuration as it is by default. Each is measured for %v.", pace(rate), partitions, deadEvery, l.LiveFor),
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

// latency is how many events had their push, or were acknowledged by the broker, in all and within each of the latencies, since
// the daemon or the publisher began. Its fields are exported for JSON.
type latency struct {
	All    float64
	Within [len(latencies)]float64
}

func readLatency(ctx context.Context, d *daemon.Daemon) (l latency, err error) {
	const name = "pushd_end_to_end_seconds"
	values, err := scrape.Get(ctx, http.DefaultClient, d.Addr)
	if err != nil {
		return latency{}, err
	}
	l.All = values[name+"_count"]
	for i, seconds := range latencies {
		l.Within[i] = values[fmt.Sprintf("%s_bucket{le=\"%g\"}", name, seconds)]
	}
	return l, nil
}

// inTime are the shares of events within each of the latencies.
type inTime [len(latencies)]float64

// since are those of the events after another reading; zero where there were none.
func (l latency) since(begin latency) (shares inTime) {
	if l.All == begin.All {
		return inTime{}
	}
	for i := range shares {
		shares[i] = (l.Within[i] - begin.Within[i]) / (l.All - begin.All)
	}
	return shares
}
