package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"pushd/dispatcher"
	"pushd/loadtest/mixture"
	"pushd/loadtest/stage"
	"pushd/queue/event"
)

// permission is what a row of SECURITY.md's tables lets pushd do in Kafka.
type permission struct{ setting, name, operation string }

// sharers is the group's name, which is in no other name and in no word of the log.
const sharers = "sharers"

// permissions are those of SECURITY.md that a command needs, but for those that hang on a setting. The daemon is the command "".
func permissions(t *testing.T, command string) (all []permission) {
	t.Helper()
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{
		"kafka.topic": event.CheckinTopic, "kafka.group": sharers, "kafka.feedback_topic": event.FeedbackTopic,
		"kafka.dead_topic": event.DeadTopic, "retry.topic": DefaultConfig().Engine.Retry.Topic,
	}
	rows := regexp.MustCompile("(?m)^\\| (?:`([a-z ]+)` \\| )?(?:topic|group) of `([a-z_.]+)` \\| ([A-Za-z, ]+) \\|").FindAllStringSubmatch(string(text), -1)
	for _, row := range rows {
		if names[row[2]] == "" {
			t.Fatalf("SECURITY.md has a permission of %s, which is no topic or group", row[2])
		}
		if row[1] != command {
			continue
		}
		for operation := range strings.SplitSeq(row[3], ", ") {
			all = append(all, permission{row[2], names[row[2]], operation})
		}
	}
	if len(all) == 0 || command == "" && len(all) < len(names) {
		t.Fatalf("SECURITY.md has permissions %v of %q", all, command)
	}
	return all
}

// without is all permissions but one.
func without(all []permission, missing permission) []permission {
	return slices.DeleteFunc(slices.Clone(all), func(p permission) bool { return p == missing })
}

// acl is the permission as the broker has it.
func (p permission) acl(t *testing.T) kfake.ACL {
	t.Helper()
	operation, err := kmsg.ParseACLOperation(p.operation)
	if err != nil {
		t.Fatal(err)
	}
	resource := kmsg.ACLResourceTypeTopic
	if p.setting == "kafka.group" {
		resource = kmsg.ACLResourceTypeGroup
	}
	return kfake.ACL{Resource: resource, Name: p.name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: operation, Allow: true}
}

// permitting is a broker that lets pushd do what is permitted and nothing else, and a client that may do everything.
type permitting struct {
	addr  string
	admin *kafka.Client
}

func newPermitting(t *testing.T, permitted []permission) *permitting {
	t.Helper()
	const mechanism = "SCRAM-SHA-256"
	var acls []kfake.ACL
	for _, p := range permitted {
		acls = append(acls, p.acl(t))
	}
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser(mechanism, "admin", "admin"),
		kfake.User(mechanism, "pushd", "pushd", acls...), kfake.SeedTopics(2, event.CheckinTopic, event.FeedbackTopic, event.DeadTopic, DefaultConfig().Engine.Retry.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	proof, err := scram.Mechanism(scram.SHA256, "admin", "admin")
	if err != nil {
		t.Fatal(err)
	}
	transport := &kafka.Transport{SASL: proof}
	t.Cleanup(transport.CloseIdleConnections)
	addr := broker.ListenAddrs()[0]
	return &permitting{addr, &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}}
}

// write writes messages to a topic.
func (g *permitting) write(t *testing.T, topic string, spread kafka.Balancer, messages ...kafka.Message) {
	t.Helper()
	writer := &kafka.Writer{Addr: g.admin.Addr, Transport: g.admin.Transport, Topic: topic, Balancer: spread, BatchTimeout: time.Millisecond}
	defer writer.Close()
	if err := writer.WriteMessages(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
}

// toTheFirst has all messages written to partition 0.
var toTheFirst = kafka.BalancerFunc(func(kafka.Message, ...int) int { return 0 })

// park writes a parked wake that is none, so that there is something to be read.
func (g *permitting) park(t *testing.T) {
	t.Helper()
	g.write(t, DefaultConfig().Engine.Retry.Topic, toTheFirst, kafka.Message{Key: []byte("no place"), Value: []byte("no wake")})
}

// publish publishes a load's records, and one that is a dead letter.
func (g *permitting) publish(t *testing.T, records []mixture.Record) {
	t.Helper()
	var messages []kafka.Message
	for _, r := range append(records, mixture.Record{Key: []byte("tenant-000/d"), Value: []byte("no event")}) {
		messages = append(messages, kafka.Message{Key: r.Key, Value: r.Value})
	}
	g.write(t, event.CheckinTopic, kafka.Murmur2Balancer{}, messages...)
}

// holds is how many records a topic has.
func (g *permitting) holds(t *testing.T, topic string) (n int64) {
	t.Helper()
	response, err := g.admin.ListOffsets(t.Context(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.LastOffsetOf(0), kafka.LastOffsetOf(1)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range response.Topics[topic] {
		n += p.LastOffset
	}
	return n
}

// committed is how many records the group is done with.
func (g *permitting) committed(t *testing.T) (n int64) {
	t.Helper()
	response, err := g.admin.OffsetFetch(t.Context(), &kafka.OffsetFetchRequest{
		GroupID: sharers, Topics: map[string][]int{event.CheckinTopic: {0, 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range response.Topics[event.CheckinTopic] {
		n += max(0, p.CommittedOffset)
	}
	return n
}

// kept is a log that is kept.
type kept struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (k *kept) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.Write(b)
}

// said is the lines that say something.
func (k *kept) said(says string) (lines []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for line := range strings.Lines(k.text.String()) {
		if strings.Contains(line, says) {
			lines = append(lines, line)
		}
	}
	return lines
}

// passwordFile has the password of the user pushd.
func passwordFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("pushd"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// servePermitted runs a daemon as the user pushd until the test ends.
func servePermitted(t *testing.T, g *permitting, load *mixture.Mixture) *kept {
	t.Helper()
	dir := t.TempDir()
	s, err := stage.Build(dir, load, 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stagedConfig(dir, s)
	cfg.Kafka.Brokers, cfg.Kafka.Group = []string{g.addr}, sharers
	cfg.Kafka.SASL.Mechanism, cfg.Kafka.SASL.Username, cfg.Kafka.SASL.PasswordFile = "scram-sha-256", "pushd", passwordFile(t)
	cfg.Engine.Retry.Durability = dispatcher.Replicated
	log := &kept{}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, &cfg, reloading{}, slog.New(slog.NewTextHandler(log, nil)), func(serving) {})
	}()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Errorf("%s: the daemon was told to end, and has not within %v", t.Name(), patience)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

// What SECURITY.md has an operator permit is enough for all that pushd does.
func TestPushdNeedsNoMorePermissionsThanAreTold(t *testing.T) {
	t.Parallel()
	g := newPermitting(t, permissions(t, ""))
	g.park(t)
	load := mixture.New(mixture.Config{Events: 300, Tenants: 4, Seed: 4})
	log := servePermitted(t, g, load)
	g.publish(t, load.Records)
	done := func() bool {
		return g.committed(t) == int64(len(load.Records))+1 && g.holds(t, event.FeedbackTopic) > 0 && g.holds(t, event.DeadTopic) > 0 &&
			g.holds(t, DefaultConfig().Engine.Retry.Topic) > 1 && len(log.said("a record of a parked wake cannot be read")) > 0
	}
	eventually(t, "all events are done, with feedback, dead letters and parked wakes, of which one was there before", done)
	if refused := log.said("allow this user to"); len(refused) > 0 {
		t.Errorf("not all of it is permitted: %s", refused)
	}
}

// Whatever of it is missing is told, with what to do.
func TestAMissingPermissionIsTold(t *testing.T) {
	t.Parallel()
	all := permissions(t, "")
	for _, missing := range all {
		t.Run(missing.setting+" "+missing.operation, func(t *testing.T) {
			t.Parallel()
			g := newPermitting(t, without(all, missing))
			g.park(t)
			load := mixture.New(mixture.Config{Events: 300, Tenants: 4, Seed: 4})
			log := servePermitted(t, g, load)
			g.publish(t, load.Records)
			eventually(t, "the log tells what is not permitted", func() bool {
				return slices.ContainsFunc(log.said("allow this user to"), func(line string) bool {
					failure, _, _ := strings.Cut(line, " mend=") // the remedy is about all of them
					return strings.Contains(failure, missing.name)
				})
			})
		})
	}
}

// What SECURITY.md has an operator permit who works on dead letters is enough, and all of it is needed.
func TestEachDeadCommandNeedsThePermissionsThatAreTold(t *testing.T) {
	t.Parallel()
	for command, args := range map[string][]string{
		"list": nil, "show": {"0/0"}, "replay": {"--tenant=acme", "--commit"}, "drop": {"--tenant=acme", "--commit"},
	} {
		all := permissions(t, "pushd dead "+command)
		play := func(t *testing.T, permitted []permission) (*permitting, outcome) {
			t.Helper()
			g, o := newPermitting(t, permitted), &office{t: t}
			g.write(t, event.DeadTopic, toTheFirst, o.letter("acme/d-1", goodWake), o.letter("acme/d-2", goodWake), o.letter("acme/d-3", goodWake))
			return g, pushd(nil, append([]string{"dead", command, "--kafka.brokers=" + g.addr, "--kafka.sasl.mechanism=scram-sha-256",
				"--kafka.sasl.username=pushd", "--kafka.sasl.password_file=" + passwordFile(t)}, args...)...)
		}
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			if _, got := play(t, all); got.code != exitOK {
				t.Error(got)
			}
		})
		for _, missing := range all {
			t.Run(command+" without "+missing.operation+" of "+missing.setting, func(t *testing.T) {
				t.Parallel()
				g, got := play(t, without(all, missing))
				if got.code != exitFailed || !strings.Contains(got.stderr, missing.name) || !strings.Contains(got.stderr, "allow this user to") {
					t.Error(got)
				}
				if published := g.holds(t, event.CheckinTopic); published > 1 {
					t.Errorf("%d letters are published, and none is marked", published)
				}
			})
		}
	}
}
