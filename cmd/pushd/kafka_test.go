//go:build kafka

package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"pushd/loadtest/management"
	"pushd/loadtest/mixture"
	"pushd/loadtest/stage"
	"pushd/queue"
	"pushd/queue/kafkatest"
)

const (
	// held is how long an offset may be held in memory while later ones of its partition are done: until a trailing wake
	// follows, or a short retry (dispatcher.parkAfter). What is done behind it cannot be committed, and the partition's
	// next owner, who does not have this one's ledger, does it again.
	held = 3 * time.Second
	// commits is kafka.commit_interval.
	commits = time.Second
)

// TestDaemonsAgainstApacheKafka plays one after the other, so that each has the machine for its load.
func TestDaemonsAgainstApacheKafka(t *testing.T) {
	k := kafkatest.ForTest(t)
	for _, test := range []struct {
		name string
		play func(*testing.T, *kafkatest.Kafka)
	}{
		{"a restart goes on exactly where the last run has committed", restartGoesOn},
		{"a daemon that is killed is replaced by the other", killedOfTwo},
		{"a daemon that is stopped is replaced by the other and keeps what it parked", stoppedOfTwo},
		{"a machine that is lost with its disk loses no parked wake", lostMachine},
		{"the daemon speaks TLS and SCRAM", secured},
	} {
		t.Run(test.name, func(t *testing.T) { test.play(t, k) })
	}
}

// kafkaPlay is a play on topics of its own.
func kafkaPlay(t *testing.T, k *kafkatest.Kafka, load *mixture.Mixture) *play {
	t.Helper()
	p := newPlay(t, load)
	unique := fmt.Sprintf("play-%d", time.Now().UnixNano())
	p.interval, p.session, p.group = 2*time.Second, 6*time.Second, unique // the brokers allow no shorter session
	p.server = &management.Server{Topic: unique + ".checkin", Feedback: unique + ".feedback", Dead: unique + ".dead"}
	cfg := queue.DefaultConfig()
	cfg.Brokers, cfg.Partitions = []string{k.Addr}, stage.Partitions
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := queue.EnsureTopics(ctx, cfg, queue.Topic{Name: p.server.Topic}, queue.Topic{Name: p.server.Feedback}, queue.Topic{Name: p.server.Dead})
	if err != nil {
		t.Fatal(err)
	}
	p.open(k.Addr)
	return p
}

// offsets are the ends of the partitions of the topic of events, and how far the group has committed them.
func (p *play) offsets() (ends, committed map[int]int64) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(p.server.Broker), Transport: transport}
	var all []int
	var wanted []kafka.OffsetRequest
	for id := range stage.Partitions {
		all, wanted = append(all, id), append(wanted, kafka.LastOffsetOf(id))
	}
	last, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{p.server.Topic: wanted}})
	if err != nil {
		p.t.Fatal(err)
	}
	done, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: p.group, Topics: map[string][]int{p.server.Topic: all}})
	if err != nil {
		p.t.Fatal(err)
	}
	ends, committed = make(map[int]int64), make(map[int]int64)
	for _, o := range last.Topics[p.server.Topic] {
		ends[o.Partition] = o.LastOffset
	}
	for _, o := range done.Topics[p.server.Topic] {
		committed[o.Partition] = o.CommittedOffset
	}
	return ends, committed
}

func (p *play) allCommitted() {
	p.t.Helper()
	if ends, committed := p.offsets(); !maps.Equal(ends, committed) {
		p.t.Errorf("committed up to %v, the partitions end at %v", committed, ends)
	}
}

// owns waits until a daemon has so many partitions.
func (p *play) owns(c *child, partitions int) {
	p.t.Helper()
	p.eventually(fmt.Sprintf("%s has %d partitions", c.name, partitions), func() bool {
		return int(c.metric(p.t, "pushd_assigned_partitions")) == partitions
	})
}

// handover is how many pushes may be made again because partitions were given to another daemon, by one that could still
// settle and commit: the new owner does not know which devices rest, nor what was done behind an offset that was held.
func (p *play) handover(partitions map[int]bool, at time.Time) int {
	p.t.Helper()
	return p.acceptedIn(partitions, at, max(held, p.interval)+writes)
}

func restartGoesOn(t *testing.T, k *kafkatest.Kafka) {
	p := kafkaPlay(t, k, newLoad(3000, 11))
	first, second := p.load.Records[:2000], p.load.Records[2000:]
	daemon := p.daemon("daemon")
	p.publish(first, 0)
	p.settled(len(first))
	p.balanced(daemon)
	daemon.stop(t)
	p.allCommitted()
	p.judge(0)

	// What is published now is read after all that could be read a second time.
	daemon = p.daemon("daemon")
	p.publish(second, 0)
	p.settled(len(first) + len(second))
	if consumed := daemon.metric(t, "pushd_events_consumed_total"); int(consumed) != len(second) {
		t.Errorf("%v events were read after the restart, want the %d that were published after it", consumed, len(second))
	}
	p.balanced(daemon)
	daemon.stop(t)
	p.allCommitted()
	p.judge(0)
}

func killedOfTwo(t *testing.T, k *kafkatest.Kafka) {
	const events, perSecond = 20000, 1200
	p := kafkaPlay(t, k, newLoad(events, 12))
	a, b := p.daemon("a"), p.daemon("b")
	p.owns(a, stage.Partitions/2)
	p.owns(b, stage.Partitions/2)
	p.publish(p.load.Records, perSecond)
	p.accepted(2500)
	a.kill()
	killed := time.Now()
	_, ofA := p.assignment(a)
	// The next owner pushes again what was under way, not flushed, not committed, or done behind an offset that was held.
	crash := p.acceptedIn(ofA, killed, held+flushes+commits+2*writes+answersAfter)
	p.owns(b, stage.Partitions)
	t.Logf("b has all partitions %v after the crash; a had had %d pushes accepted since what it had surely committed",
		time.Since(killed).Round(time.Millisecond), crash)

	p.accepted(2500) // the load lasts
	a = p.daemon("a")
	p.owns(a, stage.Partitions/2)
	at, ofA := p.assignment(a)
	handover := p.handover(ofA, at)
	t.Logf("a has partitions again; %d pushes were accepted there since what was surely committed", handover)
	p.settled(events)
	p.balanced(a)
	p.balanced(b)
	p.judge(crash + handover)
	a.stop(t)
	b.stop(t)
	p.allCommitted()
}

func stoppedOfTwo(t *testing.T, k *kafkatest.Kafka) {
	const events, perSecond = 9000, 1200
	load := newLoad(events, 13)
	failAtFirst(load)
	p := kafkaPlay(t, k, load)
	parks := []string{"--providers.apns.retry.server_error=5s", "--providers.apns.retry.device=5s"} // too long for memory
	a, b := p.daemon("a", parks...), p.daemon("b", parks...)
	p.owns(a, stage.Partitions/2)
	p.owns(b, stage.Partitions/2)
	p.publish(p.load.Records, perSecond)
	p.accepted(1500)
	parked := int(a.metric(t, "pushd_retry_queue_entries"))
	a.stop(t)
	p.owns(b, stage.Partitions)
	_, ofA := p.assignment(a)
	at, _ := p.assignment(b)
	handover := p.handover(ofA, at)

	// Everything but what a has parked is served by b.
	p.eventually("all is published", func() bool { return p.server.Audit.Published() == events })
	p.eventually("b has settled all it can", func() bool { ends, committed := p.offsets(); return maps.Equal(ends, committed) })
	p.quiet()
	waiting := p.pending()
	t.Logf("a was stopped with %d wakes parked; %d events wait for it", parked, waiting)
	if waiting == 0 || parked == 0 {
		t.Error("nothing waits in the ledger of the daemon that was stopped")
	}
	a = p.daemon("a", parks...)
	p.settled(events)
	p.owns(a, stage.Partitions/2)
	p.balanced(a)
	p.balanced(b)
	p.judge(handover + parked)
	a.stop(t)
	b.stop(t)
	p.allCommitted()
}

// lostMachine is lostWithItsDisk on Apache Kafka.
func lostMachine(t *testing.T, k *kafkatest.Kafka) {
	load := newLoad(3000, 17)
	failAtFirst(load)
	p := kafkaPlay(t, k, load)
	p.parked = p.group + ".parked"
	lostWithItsDisk(p)
	p.allCommitted()
}

func secured(t *testing.T, k *kafkatest.Kafka) {
	if k.SASLAddr == "" {
		t.Skip("PUSHD_TEST_KAFKA_SASL is not set")
	}
	p := kafkaPlay(t, k, newLoad(1000, 14))
	secret := func(name, content string) string {
		path := filepath.Join(p.dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return "--kafka.sasl.password_file=" + path
	}
	p.brokers = k.SASLAddr
	flags := []string{"--kafka.tls.enable", "--kafka.tls.ca=" + k.CAFile,
		"--kafka.sasl.mechanism=scram-sha-512", "--kafka.sasl.username=" + k.User}

	wrong := p.daemon("stranger", append(flags, secret("wrong", "wrong"))...)
	p.eventually("/readyz says what is wrong", func() bool {
		status, body := wrong.ask(t, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "kafka.sasl.password_file")
	})
	p.eventually("the log warns", func() bool { return strings.Contains(wrong.said("kind=unauthenticated"), "level=WARN") })
	wrong.stop(t)

	daemon := p.daemon("daemon", append(flags, secret("password", k.Password+"\n"))...)
	daemon.ready(t)
	p.publish(p.load.Records, 0)
	p.settled(len(p.load.Records))
	p.judge(0)
	if daemon.said(k.Password) != "" {
		t.Error("the log shows the password")
	}
	daemon.stop(t)
	p.allCommitted()
}
