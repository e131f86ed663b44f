package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"pushd/loadtest/daemon"
	"pushd/loadtest/scrape"
)

// member is a daemon of the play's group. Whoever has the same name has the same ledger.
type member struct {
	*daemon.Daemon
	play    *play
	name    string
	log     io.WriteCloser
	started time.Time
}

// scrapes is the client of all scrapes; a daemon that is frozen does not answer.
var scrapes = &http.Client{Timeout: time.Second}

// start starts a daemon, and does not wait for it.
func (p *play) start(name string) (*member, error) {
	m := &member{play: p, name: name, log: discard{io.Discard}, started: time.Now()}
	if p.Logs != "" {
		if err := os.MkdirAll(p.Logs, 0o755); err != nil {
			return nil, err
		}
		log, err := os.OpenFile(filepath.Join(p.Logs, p.ordeal.name+"-"+name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		m.log = log
	}
	var err error
	if m.Daemon, err = daemon.Start(p.Pushd, m.flags(), m.log); err != nil {
		return nil, err
	}
	p.running = append(p.running, m)
	return m, nil
}

type discard struct{ io.Writer }

func (discard) Close() error { return nil }

// startReady starts a daemon and waits until it does its work.
func (p *play) startReady(ctx context.Context, name string) (*member, error) {
	m, err := p.start(name)
	if err == nil {
		err = m.Ready(ctx)
	}
	return m, err
}

func (m *member) flags() []string {
	p := m.play
	retry := []string{"--retry.durability=local"}
	if topic := p.parked(); topic != "" && !p.losesDisks {
		retry = []string{"--retry.topic=" + topic}
	}
	return slices.Concat(p.ways(), retry, []string{
		"--admin.listen=127.0.0.1:0", "--kafka.client_id=" + m.name, "--kafka.group=" + p.server.Topic,
		"--kafka.topic=" + p.server.Topic, "--kafka.feedback_topic=" + p.server.Feedback, "--kafka.dead_topic=" + p.server.Dead,
		fmt.Sprint("--kafka.member.session=", session), fmt.Sprint("--kafka.member.heartbeat=", session/10), fmt.Sprint("--kafka.revoke_drain=", session/2),
		fmt.Sprint("--merge.interval=", p.interval), "--guard.patience=2s",
		"--tenants.dir=" + p.stage.TenantsDir, "--store.dir=" + m.ledger(),
		"--providers.apns.root_ca=" + p.stage.CAFile, "--providers.fcm.root_ca=" + p.stage.CAFile,
		"--providers.apns.retry.server_error=1s", "--providers.apns.retry.device=1s",
		"--providers.fcm.retry.unavailable=1s", "--providers.fcm.retry.quota=1s",
	}, p.flags)
}

// ledger is its directory.
func (m *member) ledger() string { return filepath.Join(m.play.dir, "ledger-"+m.name) }

// scrape is what the daemon says of itself.
func (m *member) scrape(ctx context.Context) (scrape.Values, error) {
	return scrape.Get(ctx, scrapes, m.Addr)
}

// owns is how many partitions the daemon has; -1 where it does not answer.
func (m *member) owns(ctx context.Context) int {
	values, err := m.scrape(ctx)
	if err != nil {
		return -1
	}
	return int(values["pushd_assigned_partitions"])
}

// kill ends the daemon as a crash would.
func (m *member) kill() error {
	m.left()
	m.Kill()
	return m.log.Close()
}

// stop ends the daemon as an operator would. Its own account must be right.
func (m *member) stop(ctx context.Context) error {
	if err := m.balanced(ctx); err != nil {
		return err
	}
	m.left()
	if err := m.Stop(); err != nil {
		return err
	}
	return m.log.Close()
}

// left says that the daemon is none of the running ones any more, so that its end is no surprise.
func (m *member) left() {
	m.play.running = slices.DeleteFunc(m.play.running, func(other *member) bool { return other == m })
}

func (m *member) balanced(ctx context.Context) error {
	values, err := m.scrape(ctx)
	if err != nil {
		return fmt.Errorf("the account of %s: %w", m.name, err)
	}
	if off := values["pushd_accounting_imbalance"]; off != 0 {
		return fmt.Errorf("the account of %s is off by %g", m.name, off)
	}
	return nil
}
