package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	// looks is how often it is looked what an idle daemon uses; the least counts, for what is just being made or closed passes.
	looks = 5
	// perProvider is how many goroutines a connection to a provider has, which reads and writes at once.
	perProvider = 2
	// perKafka is how many one to Kafka has, which does the one after the other.
	perKafka = 1
	// pooled is how many connections to Kafka a daemon may have more than before. One is kept, for minutes, for each request that was
	// under way at once: to publish to each partition of three topics.
	pooled = 3 * partitions
	// strays is how many descriptors and goroutines may come and go beside them: a connection over which tokens for FCM are asked for
	// has two goroutines, and a partition that is published to for the first time has one.
	strays = 4
)

// idle is what a daemon uses that has nothing to do. Connections are kept for a next time, so they are counted apart, with their
// descriptors and goroutines: what is left over has to stay.
type idle struct{ providers, kafka, descriptors, goroutines float64 }

// idle waits until nothing is to be done, and looks what a daemon uses then. No other one may be running.
func (p *play) idle(ctx context.Context, m *member) (least idle, err error) {
	if err := p.settle(ctx); err != nil {
		return least, err
	}
	scrapes.CloseIdleConnections() // each is one of the daemon's too
	for i := range looks {
		if err := p.rest(ctx, time.Second); err != nil {
			return least, err
		}
		now, err := m.idle(ctx)
		if err != nil {
			return least, err
		}
		if i == 0 {
			least = now
		}
		least.descriptors, least.goroutines = min(least.descriptors, now.descriptors), min(least.goroutines, now.goroutines)
	}
	return least, nil
}

func (m *member) idle(ctx context.Context) (now idle, err error) {
	values, err := m.scrape(ctx)
	if err != nil {
		return now, err
	}
	descriptors, err := m.Proc.FileDescriptorTargets()
	if err != nil {
		return now, err
	}
	kafka, err := connectionsTo(m.play.leg(kafkaLeg).proxy.Listen, descriptors)
	if err != nil {
		return now, err
	}
	now.providers, now.kafka = values["pushd_provider_connections"], float64(kafka) // as many as the daemon knows: one that it has forgotten is left over
	now.descriptors = float64(len(descriptors)) - now.providers - now.kafka
	now.goroutines = values["go_goroutines"] - perProvider*now.providers - perKafka*now.kafka
	return now, nil
}

// connectionsTo is how many of a process's descriptors are connections to an address of this machine.
func connectionsTo(address string, descriptors []string) (n int, err error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0, err
	}
	sockets, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, err
	}
	port := fmt.Sprintf(":%04X", to.Port())
	for line := range strings.Lines(string(sockets)) { // the third column is where it leads, the tenth the inode: proc_pid_net(5)
		if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[2], port) && slices.Contains(descriptors, "socket:["+f[9]+"]") {
			n++
		}
	}
	return n, nil
}

// leaks holds what an idle daemon uses after the troubles against what it used before.
func (r *Report) leaks(before, after idle) {
	for _, of := range []struct {
		what                string
		before, after, most float64
	}{
		{"connections to Kafka", before.kafka, after.kafka, pooled},
		{"other descriptors than connections to Kafka and providers", before.descriptors, after.descriptors, strays},
		{"goroutines beside those of connections to Kafka and providers", before.goroutines, after.goroutines, strays},
	} {
		r.figure(of.after, "%s of the idle resident after the troubles; before them %s", of.what, number(of.before))
		r.check("more "+of.what+" than before the troubles", of.after-of.before, of.most)
	}
}
