package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"pushd/loadtest/daemon"
	"pushd/providers/apns"
)

// The whole daemon: from a backlog in Kafka to accepted pushes, with one tenant, some dead tokens and the configuration as it is
// by default.
// Daemon, broker and simulators are three processes; only the daemon's CPU time counts.

const (
	// daemonTimes is by how much longer a daemon runs than a sender does: it has more to warm.
	daemonTimes = 2
	// eventsFor is how many events a second of a measurement needs at most; a daemon that is faster is measured for shorter.
	eventsFor = 150_000
	// looksEvery is how often it is looked whether a daemon is warm, or at its end.
	looksEvery = 10 * time.Millisecond
	// patience is how long a daemon may take until its first push is accepted, or until it goes on.
	patience = 20 * time.Second
)

// daemons makes a contest of daemons with the one sender and with the other.
func (l *lab) daemons(ctx context.Context, title, suffix string, fill func(ctx context.Context, events int) (*backlog, error)) (*contest, error) {
	at, err := l.site(ctx, 0)
	if err != nil {
		return nil, err
	}
	warmUp, measure := daemonTimes*l.WarmUp, daemonTimes*l.Measure
	events := int(eventsFor * (warmUp + measure).Seconds())
	l.say("%s: publishing %d events", title, events)
	b, err := fill(ctx, events)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	c := &contest{
		title:   title,
		about:   fmt.Sprintf("A backlog of %d wakes in %d partitions, one tenant, one token in %d dead, the configuration as it is by default. Each is measured for %v, or until all is pushed.", events, partitions, deadEvery, measure),
		against: []string{"daemon_library" + suffix},
		close:   b.stop,
	}
	for _, sender := range []string{apns.Pipelined, apns.Library} {
		d := &daemonRun{pushd: l.Pushd, sender: sender, at: at, backlog: b, dir: l.dir, warmUp: warmUp, measure: measure}
		c.entries = append(c.entries, entry{key: "daemon_" + sender + suffix, name: "pushd run, " + sender, run: d.run})
	}
	return c, nil
}

// daemonRun measures a daemon with a backlog before it.
type daemonRun struct {
	pushd, sender   string
	at              *site
	backlog         *backlog
	dir             string
	warmUp, measure time.Duration
	live            *publishing // what is published meanwhile; nil where the backlog is all
	publisher       *publisher  // who does, while it runs
	ahead           []float64   // events acknowledged to the publisher and not pushed yet, each time it was looked
	before          int64       // how many pushes were accepted when it began
}

// flags are those that connect the daemon with what is around it; group is another one for each daemon.
func (r *daemonRun) flags(dir, group string) ([]string, error) {
	g := &r.at.ground
	host, port, err := g.apnsAddress()
	return []string{
		"--admin.listen=127.0.0.1:0", "--kafka.brokers=" + r.backlog.broker, "--kafka.group=" + group,
		"--kafka.topic=" + r.backlog.topics.Events, "--kafka.feedback_topic=" + r.backlog.topics.Feedback, "--kafka.dead_topic=" + r.backlog.topics.Dead,
		"--retry.durability=local", // nothing is parked for long here
		"--tenants.dir=" + g.tenantsDir(), "--store.dir=" + filepath.Join(dir, "ledger"),
		"--providers.apns.sender=" + r.sender, "--providers.apns.host=" + host, fmt.Sprint("--providers.apns.port=", port), "--providers.apns.root_ca=" + g.caFile(),
		"--providers.fcm.endpoint=" + g.FCM, "--providers.fcm.root_ca=" + g.caFile(),
	}, err
}

func (r *daemonRun) run(ctx context.Context) (s sample, err error) {
	dir, err := os.MkdirTemp(r.dir, "daemon-")
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	flags, err := r.flags(dir, filepath.Base(dir))
	if err != nil {
		return sample{}, err
	}
	if r.before, err = r.at.accepted(ctx); err != nil {
		return sample{}, err
	}
	d, err := daemon.Start(r.pushd, flags, io.Discard)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	if err := d.Ready(ctx); err != nil {
		return sample{}, err
	}
	if r.live != nil {
		if r.publisher, err = startPublisher(ctx, *r.live); err != nil {
			return sample{}, err
		}
		defer func() { err = errors.Join(err, r.publisher.process.end()) }()
	}
	all := r.backlog.pushes()
	if r.live != nil {
		all = math.MaxInt
	}
	begin, err := r.await(ctx, d, r.before, 1, patience)
	if err == nil {
		begin, err = r.await(ctx, d, r.before, all, r.warmUp)
	}
	if err == nil && r.timed() {
		begin.Pushed, err = readLatency(ctx, d)
	}
	if err != nil {
		return sample{}, err
	}
	r.ahead = nil
	end, err := r.await(ctx, d, r.before, all, r.measure)
	if err == nil && end.Accepted == begin.Accepted { // it waits, for a slow disk perhaps: until it goes on
		end, err = r.await(ctx, d, begin.Accepted, 1, patience)
	}
	if err == nil && r.timed() {
		end.Pushed, err = readLatency(ctx, d)
	}
	if err != nil {
		return sample{}, err
	}
	if end.Accepted == begin.Accepted {
		return sample{}, fmt.Errorf("a daemon with the %s sender pushed nothing more after it was warm, with %d of %d wakes pushed", r.sender, end.Accepted-r.before, all)
	}
	s = between(begin, end)
	switch {
	case r.live == nil:
	case r.live.Rate == 0: // latency is how long the queue is, which is as long as the publisher was let
		ahead := spreadOf(r.ahead).Median
		s.Ahead = &ahead
	default:
		if err := r.live.checkRate(begin, end); err != nil {
			return sample{}, err
		}
		pushed, acknowledged := end.Pushed.since(begin.Pushed), end.Published.Acks.since(begin.Published.Acks)
		s.PushLatency, s.AckLatency = &pushed, &acknowledged
	}
	return s, nil
}

// timed says whether it is measured how long events take.
func (r *daemonRun) timed() bool { return r.live != nil && r.live.Rate > 0 }

// looksEvery is longer where a publisher keeps to a rate, whatever the daemon does: to look a hundred times a second
// costs a twentieth of a core.
func (r *daemonRun) looksEvery() time.Duration {
	if r.timed() {
		return 50 * looksEvery
	}
	return looksEvery
}

// await waits until so many more pushes are accepted than before, or the time is over, and reads how far it is then.
func (r *daemonRun) await(ctx context.Context, d *daemon.Daemon, before int64, pushes int, within time.Duration) (reading, error) {
	ticker := time.NewTicker(r.looksEvery())
	defer ticker.Stop()
	for began := time.Now(); ; {
		select {
		case <-ctx.Done():
			return reading{}, ctx.Err()
		case <-d.Ended:
			return reading{}, d.Fell()
		case <-ticker.C:
		}
		now, err := r.read(ctx, d)
		if err != nil {
			return reading{}, err
		}
		if r.publisher != nil {
			if err := r.hear(&now); err != nil {
				return reading{}, err
			}
		}
		if now.Accepted-before >= int64(pushes) || now.At.Sub(began) >= within {
			return now, nil
		}
	}
}

// hear tells the publisher how far the daemon is, and hears how far the publisher is. A push may be counted before the publisher
// knows of its event.
func (r *daemonRun) hear(now *reading) error {
	accepted := now.Accepted - r.before
	if err := r.publisher.accepted(accepted); err != nil {
		return err
	}
	now.Published = r.publisher.at
	r.ahead = append(r.ahead, max(0, now.Published.Acks.All-float64(eventsOf(accepted))))
	return nil
}

// read reads how far the daemon is.
func (r *daemonRun) read(ctx context.Context, d *daemon.Daemon) (now reading, err error) {
	if now.Accepted, err = r.at.accepted(ctx); err != nil {
		return reading{}, err
	}
	now.At = time.Now()
	if now.CPU, err = cpuOf(d.Proc); err != nil {
		return reading{}, err
	}
	if now.Simulator, err = r.at.process.cpu(); err != nil {
		return reading{}, err
	}
	status, err := d.Proc.NewStatus()
	if err != nil {
		return reading{}, fmt.Errorf("memory of pushd: %w", err)
	}
	now.RSS = int64(status.VmHWM)
	return now, nil
}

// accepted is how many pushes the simulators have accepted.
func (s *site) accepted(ctx context.Context) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.ground.Accounts+"/apns?summary", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask the simulator for its account: %w", err)
	}
	defer response.Body.Close()
	var account struct {
		Accepted int64 `json:"accepted"`
	}
	if err := json.NewDecoder(response.Body).Decode(&account); err != nil {
		return 0, fmt.Errorf("the simulator's account: %w", err)
	}
	return account.Accepted, nil
}
