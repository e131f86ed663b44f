package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"pushd/queue"
	"pushd/queue/event"
)

// records are all records of a topic.
func (o *office) records(topic string) []queue.Record {
	o.t.Helper()
	cfg := queue.DefaultConfig()
	cfg.Brokers = []string{o.broker.Addr()}
	return recordsOf(o.t, cfg, topic)
}

func recordsOf(t *testing.T, cfg queue.Config, topic string) (all []queue.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := queue.OpenSnapshot(ctx, cfg, topic)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Read(ctx, func(r queue.Record) error { all = append(all, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// open are the devices of the letters that are listed.
func (o *office) open() string {
	o.t.Helper()
	var devices []string
	for line := range strings.Lines(o.pushd("list").stdout) {
		if fields := strings.Fields(line); strings.Contains(fields[0], "/") {
			devices = append(devices, fields[3])
		}
	}
	return strings.Join(devices, " ")
}

func TestDeadReplayPublishesOnceWhatItWasToldTo(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	trace := event.Header{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}
	o.put(event.DeadTopic, 0, o.letter("acme/d-1", goodWake, trace), o.letter("beta/d-2", goodWake), o.letter("acme/d-3", "{"))
	o.put(event.DeadTopic, 1, o.letter("acme/d-4", goodWake))

	dry := o.pushd("replay", "--tenant=acme", "--reason=unknown_tenant")
	if dry.code != exitOK || !strings.Contains(dry.stdout, "0/0  wake acme/d-1\n1/0  wake acme/d-4\n2 dead letters would be published to pushd.checkin again") {
		t.Errorf("the dry run says %+v", dry)
	}
	if n := len(o.records(event.CheckinTopic)); n != 0 || o.open() != "d-1 d-2 d-3 d-4" {
		t.Fatalf("a dry run published %d records, and leaves %q open", n, o.open())
	}
	for range 2 { // the second finds nothing
		if got := o.pushd("replay", "--tenant=acme", "--reason=unknown_tenant", "--commit"); got.code != exitOK {
			t.Fatal(got)
		}
	}
	if got := o.pushd("replay", "0/0", "--commit"); got.code != exitFailed || !strings.Contains(got.stdout, "0/0  left out: was replayed by ") ||
		!strings.Contains(got.stderr, "1 dead letter was left out: what was done is not done again") {
		t.Errorf("the third time it says %+v", got)
	}
	if open := o.open(); open != "d-2 d-3" {
		t.Errorf("open are %q", open)
	}
	published := o.records(event.CheckinTopic)
	if len(published) != 2 {
		t.Fatalf("%d records were published", len(published))
	}
	for _, r := range published {
		dead, ok := event.ParseDeadLetter(r.Headers)
		if want := (kafka.Murmur2Balancer{}).Balance(kafka.Message{Key: r.Key}, 0, 1); int(r.Partition) != want {
			t.Errorf("%s is in partition %d, its events are in %d", r.Key, r.Partition, want)
		}
		if string(r.Value) != goodWake || !ok || dead.FirstSeen.IsZero() {
			t.Errorf("%s: value %s, headers %v", r.Key, r.Value, r.Headers)
		}
		if string(r.Key) == "acme/d-1" && (len(dead.Original) != 1 || string(dead.Original[0].Value) != string(trace.Value)) {
			t.Errorf("its headers became %q", dead.Original)
		}
	}
}

func TestDeadReplayRefusesWhatWouldDoHarm(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	elsewhere := o.letter("acme/d-3", goodWake)
	for i := range elsewhere.Headers {
		if elsewhere.Headers[i].Key == "pushd-dlq-topic" {
			elsewhere.Headers[i].Value = []byte("other.checkin")
		}
	}
	o.put(event.DeadTopic, 0,
		o.letter("acme/d-0", "{"),
		o.letter("acme/d-1", goodWake),
		o.letter("acme/d-2", `{"type":"checkin"}`),
		elsewhere,
		o.letter("acme/d-4", `{"type":"forget"}`),
	)
	got := o.pushd("replay", "--tenant=acme", "--commit")
	for _, part := range []string{"0/0  not published: it would be a dead letter again: bad_json", "0/2  not published: a checkin that says no time", "0/3  not published: it was read from other.checkin", "0/4  not published: a forget that says no time", "4 dead letters were not published"} {
		if !strings.Contains(got.stderr, part) {
			t.Errorf("it does not say %q:\n%s", part, got.stderr)
		}
	}
	if got.code != exitFailed || !strings.Contains(got.stdout, "1 dead letter published to pushd.checkin again") || o.open() != "d-0 d-2 d-3 d-4" {
		t.Errorf("code %d, %s; open: %s", got.code, got.stdout, o.open())
	}
	for _, wrong := range []string{"", "--tenant=acme 0/0", "0/9", "0", "--value=x --tenant=acme", "--value=/nowhere/x 0/0"} {
		if got := o.pushd(append([]string{"replay", "--commit"}, strings.Fields(wrong)...)...); got.code == exitOK || got.stderr == "" {
			t.Errorf("%q: %+v", wrong, got)
		}
	}
	if n := len(o.records(event.CheckinTopic)); n != 1 {
		t.Errorf("%d records were published", n)
	}
}

func TestDeadReplayPublishesAMendedValue(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.put(event.DeadTopic, 0, o.letter("acme/d-1", "{"), o.letter("no key", "{"))
	mended := file(t, "\n"+goodWake+"\n")
	if got := o.pushd("replay", "0/0", "--value="+mended, "--commit"); got.code != exitOK {
		t.Fatal(got)
	}
	if got := o.pushd("replay", "0/1", "--value="+mended, "--commit"); got.code != exitFailed || !strings.Contains(got.stderr, "bad_key") {
		t.Errorf("with a bad key: %+v", got)
	}
	if got := o.pushd("replay", "0/1", "--value="+file(t, strings.Repeat("x", 1<<20)), "--commit"); got.code != exitFailed || !strings.Contains(got.stderr, "too_large") {
		t.Errorf("with a value that is too large: %+v", got)
	}
	if got := o.pushd("replay", "0/1", "--commit", "--value="+file(t, `{"tenant":"acme","device":"d-2",`+goodWake[1:])); got.code != exitOK {
		t.Fatal(got)
	}
	keys := map[string]bool{}
	for _, r := range o.records(event.CheckinTopic) {
		keys[string(r.Key)] = true
		if e, err := event.Decode(r.Key, r.Value, r.Headers, r.Time); err != nil || e.Token != "aa11" {
			t.Errorf("%s: %+v, %v", r.Key, e, err)
		}
	}
	if !keys["acme/d-1"] || !keys["acme/d-2"] || o.open() != "" {
		t.Errorf("published are %v, open are %q", keys, o.open())
	}
}

func TestDeadDropMarksAndCanBeTakenBack(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var many []kafka.Message
	for range 2*postAtOnce + 1 {
		many = append(many, o.letter("acme/d", "{"))
	}
	o.put(event.DeadTopic, 0, many...)
	o.put(event.DeadTopic, 1, o.letter("beta/d-1", goodWake), o.letter("beta/d-2", goodWake))
	if got := o.pushd("drop", "--reason=bad_json"); got.code != exitOK || !strings.Contains(got.stdout, "… and 101 more\n201 dead letters would be dropped") {
		t.Errorf("the dry run says %+v", got)
	}
	if got := o.pushd("drop", "--reason=bad_json", "--commit"); got.code != exitOK || !strings.Contains(got.stdout, "201 dead letters dropped") {
		t.Fatal(got)
	}
	if got := o.pushd("drop", "1/0", "1/1", "--commit"); got.code != exitOK || o.open() != "" {
		t.Errorf("%+v, open are %q", got, o.open())
	}
	if got := o.pushd("drop", "1/0", "--commit"); got.code != exitFailed || !strings.Contains(got.stdout, "1/0  left out: was dropped by ") || !strings.Contains(got.stdout, "0 dead letters dropped") {
		t.Errorf("the second time it says %+v", got)
	}
	if n := len(o.records(event.DeadTopic)); n != 2*203 {
		t.Errorf("%d records, want a mark for each of 203 letters", n)
	}
	if got := o.pushd("replay", "--tenant=beta", "--commit"); got.code != exitOK || len(o.records(event.CheckinTopic)) != 0 {
		t.Errorf("a filter takes what was dropped: %+v", got)
	}
	if got := o.pushd("replay", "1/1", "--commit"); got.code != exitOK || len(o.records(event.CheckinTopic)) != 1 {
		t.Errorf("a dropped letter cannot be replayed: %+v", got)
	}
	if shown := o.pushd("show", "1/1").stdout; !strings.Contains(shown, "replayed by "+operator()) {
		t.Errorf("its last mark is not shown:\n%s", shown)
	}
}

func TestDeadReplaySaysWhatWasDoneUntilItFailed(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.put(event.DeadTopic, 0, o.letter("acme/d-1", goodWake))
	var stdout strings.Builder
	p := &process{stdout: &stdout, stderr: io.Discard}
	cfg := DefaultConfig()
	cfg.Kafka.Brokers = []string{o.broker.Addr()}
	err := atDesk(p, &cfg, func(ctx context.Context, d *desk) error {
		chosen, err := d.choose(ctx, &deadChoice{Places: []place{{0, 0}}})
		if err != nil {
			t.Fatal(err)
		}
		gone := cfg.Kafka
		gone.Brokers = []string{"127.0.0.1:1"}
		poster, err := queue.NewPoster(gone)
		if err != nil {
			t.Fatal(err)
		}
		return errors.Join((&replay{desk: d, account: &account{p: p, commit: true}, poster: poster}).run(ctx, chosen), poster.Close())
	})
	if err == nil || !strings.Contains(err.Error(), "it ended early, after 0 of 1") || !strings.Contains(err.Error(), "kafka.brokers") ||
		!strings.Contains(stdout.String(), "0 dead letters published") {
		t.Errorf("%v\n%s", err, stdout.String())
	}
	if o.open() != "d-1" {
		t.Error("what was not published is marked")
	}
}

func TestDeadReplayDoesNotTakeABeginningForTheWhole(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	// What is left of the record is an event, though it was none.
	cut := event.Cut{Value: 1 << 20, Headers: 40_000}
	m := kafka.Message{Key: []byte("acme/d-1"), Value: []byte(`{"provider":"apns","token":"aa11","push_magic":"m"}é`)[:52]}
	for _, h := range event.DeadLetterHeaders([]event.Header{{Key: "ce_type", Value: []byte("x")}}, cut, cut.Fault(), event.CheckinTopic, 0, 0, time.Now()) {
		m.Headers = append(m.Headers, kafka.Header(h))
	}
	o.put(event.DeadTopic, 0, m)
	if got := o.pushd("replay", "0/0", "--commit"); got.code != exitFailed || !strings.Contains(got.stderr, "only the beginning") {
		t.Errorf("as it is: %+v", got)
	}
	shown := o.pushd("show", "0/0").stdout
	for _, part := range []string{"the value had 1048576 bytes; the letter holds the first 52", "the headers had 40000 bytes", "51 bytes, JSON", "--value FILE"} {
		if !strings.Contains(shown, part) {
			t.Errorf("%q is not shown:\n%s", part, shown)
		}
	}
	if got := o.pushd("replay", "0/0", "--commit", "--value="+file(t, goodWake)); got.code != exitOK {
		t.Fatal(got)
	}
	published := o.records(event.CheckinTopic)
	if len(published) != 1 {
		t.Fatalf("%d records were published", len(published))
	}
	if dead, _ := event.ParseDeadLetter(published[0].Headers); len(dead.Original) != 0 {
		t.Errorf("half of a CloudEvent's headers are published: %q", dead.Original)
	}
}
