package main

import (
	"context"
	"encoding"
	"fmt"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pushd/providers/spelling"
	"pushd/queue"
	"pushd/queue/event"
)

// deadCmd is "pushd dead": what an operator does about dead letters. Its commands read a snapshot of the topic and are no
// members of the daemon's group.
type deadCmd struct {
	List   deadListCmd   `cmd:"" help:"List the dead letters, and how many there are of each reason."`
	Show   deadShowCmd   `cmd:"" help:"Show all of one dead letter, and how to mend it."`
	Replay deadReplayCmd `cmd:"" help:"Publish dead letters to the check-in topic again, once what was wrong is mended."`
	Drop   deadDropCmd   `cmd:"" help:"Mark dead letters as done with."`
}

// place is where a letter is: what "pushd dead list" calls it, and the others take.
type place struct {
	partition int32
	offset    int64
}

func (p place) String() string { return fmt.Sprintf("%d/%d", p.partition, p.offset) }

var (
	_ encoding.TextMarshaler   = place{}
	_ encoding.TextUnmarshaler = (*place)(nil)
)

// MarshalText is called by encoding/json.
func (p place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is called by kong.
func (p *place) UnmarshalText(text []byte) error {
	partition, offset, _ := strings.Cut(string(text), "/")
	n, errPartition := strconv.ParseInt(partition, 10, 32)
	o, errOffset := strconv.ParseInt(offset, 10, 64)
	if errPartition != nil || errOffset != nil || n < 0 || o < 0 {
		return fmt.Errorf("%q is no dead letter's place; write PARTITION/OFFSET, as \"pushd dead list\" does", text)
	}
	*p = place{int32(n), o}
	return nil
}

func (p place) compare(q place) int {
	if p.partition != q.partition {
		return int(p.partition) - int(q.partition)
	}
	return int(max(-1, min(1, p.offset-q.offset)))
}

// moment is a time as an operator writes it.
type moment struct{ time.Time }

// UnmarshalText is called by kong.
func (m *moment) UnmarshalText(text []byte) error {
	if ago, err := time.ParseDuration(string(text)); err == nil && ago >= 0 {
		m.Time = time.Now().Add(-ago)
		return nil
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("%q is no time; write it by RFC 3339, as 2026-01-02T15:04:05Z, or how long ago it was, as 90m or 24h", text)
	}
	m.Time = at
	return nil
}

// deadFilter chooses dead letters.
type deadFilter struct {
	Tenant string   `help:"Only those of this tenant." placeholder:"NAME"`
	Reason []string `help:"Only those with this reason; can be given more than once." placeholder:"REASON"`
	Since  moment   `help:"Only those that came to the topic at or after this time: RFC 3339, or how long ago." placeholder:"TIME"`
	Until  moment   `help:"Only those that came before this time." placeholder:"TIME"`
}

// check refuses what chooses nothing.
func (f *deadFilter) check() error {
	for _, reason := range f.Reason {
		if !slices.Contains(event.Reasons(), reason) {
			return usageError{fmt.Errorf("--reason: there is no %q%s; there are %s", reason,
				spelling.DidYouMean(reason, event.Reasons()), strings.Join(event.Reasons(), ", "))}
		}
	}
	return nil
}

func (f *deadFilter) takes(l *letter) bool {
	return (f.Tenant == "" || f.Tenant == l.tenant) &&
		(len(f.Reason) == 0 || slices.Contains(f.Reason, l.reason)) &&
		(f.Since.IsZero() || !l.at.Before(f.Since.Time)) &&
		(f.Until.IsZero() || l.at.Before(f.Until.Time))
}

// desk is where an operator works on dead letters: the topic as it was when the command began.
type desk struct {
	*queue.Snapshot
	cfg *Config
	p   *process
}

// atDesk opens the topic of dead letters for work, until that is done or the process is told to end.
func atDesk(p *process, cfg *Config, work func(context.Context, *desk) error) error {
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	snapshot, err := queue.OpenSnapshot(ctx, cfg.Kafka, cfg.Feedback.Dead)
	if err != nil {
		return err
	}
	defer snapshot.Close()
	return work(ctx, &desk{snapshot, cfg, p})
}
