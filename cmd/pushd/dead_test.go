package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"pushd/queue/embedded"
	"pushd/queue/event"
)

// office is a broker with a topic of dead letters, for an operator to work on.
type office struct {
	t      *testing.T
	broker *embedded.Broker
	next   int64 // offset in the check-in topic of the next letter
}

func newOffice(t *testing.T) *office {
	t.Helper()
	broker, err := embedded.Start(embedded.Config{Listen: "127.0.0.1:0", Partitions: 2, Topics: []string{event.CheckinTopic, event.DeadTopic}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return &office{t: t, broker: broker}
}

// put publishes messages to one partition.
func (o *office) put(topic string, partition int, messages ...kafka.Message) {
	o.t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	w := &kafka.Writer{
		Addr: kafka.TCP(o.broker.Addr()), Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond, Transport: transport,
		Balancer: kafka.BalancerFunc(func(kafka.Message, ...int) int { return partition }),
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.WriteMessages(ctx, messages...); err != nil {
		o.t.Fatal(err)
	}
}

// letter is a dead letter as the daemon makes one of a record.
func (o *office) letter(key, value string, headers ...event.Header) kafka.Message {
	o.next++
	_, err := event.Decode([]byte(key), []byte(value), headers, time.Now())
	if err == nil {
		err = &event.Error{Reason: event.UnknownTenant, Field: "tenant", Text: "has no credential for apns; add one"}
	}
	m := kafka.Message{Key: []byte(key), Value: []byte(value)}
	for _, h := range event.DeadLetterHeaders(headers, event.Cut{}, err, event.CheckinTopic, 7, o.next, time.Now()) {
		m.Headers = append(m.Headers, kafka.Header(h))
	}
	return m
}

// pushd runs "pushd dead".
func (o *office) pushd(args ...string) outcome {
	return pushd(nil, append([]string{"dead", args[0], "--kafka.brokers=" + o.broker.Addr()}, args[1:]...)...)
}

const goodWake = `{"provider":"apns","token":"aa11","push_magic":"m"}`

func markMessage(deed event.Deed, partition int32, offset int64) kafka.Message {
	mark := event.Mark{Deed: deed, Partition: partition, Offset: offset, By: "ops@desk", At: time.Now()}
	m := kafka.Message{Key: mark.Key()}
	for _, h := range mark.Headers() {
		m.Headers = append(m.Headers, kafka.Header(h))
	}
	return m
}

func TestDeadListShowsWhatIsOpenAndSumsUp(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if got := o.pushd("list"); got.code != exitOK || got.stdout != "0 dead letters\n" {
		t.Errorf("of an empty topic it says %+v", got)
	}
	o.put(event.DeadTopic, 0,
		o.letter("acme/d-1", `{"provider":"apns","push_magic":"m"}`),
		o.letter("acme/d-2", "{"),
		o.letter("beta/d-3", goodWake),
		markMessage(event.Dropped, 0, 1),
		kafka.Message{Key: []byte("who"), Value: []byte("knows")},
		markMessage(event.Dropped, 1, 0), // in another partition than its letter: it says nothing
	)
	hostile := event.Header{Key: "pushd-dlq-mark", Value: []byte("dropped")}
	o.put(event.DeadTopic, 1,
		o.letter("", `{"tenant":"gamma","device":"d-4","provider":7}`, hostile),
		o.letter("\x1b[2J/\u202e\r\nd", "x"),
	)
	got := o.pushd("list")
	at := regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	lines := strings.Split(at.ReplaceAllString(got.stdout, "AT"), "\n")
	want := []string{
		`PLACE  WHEN  TENANT  DEVICE  REASON  ERROR`,
		`0/0  AT  acme  d-1  missing_field  token: is missing; write the token that the device registered`,
		`0/2  AT  beta  d-3  unknown_tenant  tenant: has no credential for apns; add one`,
		`1/0  AT  gamma  d-4  bad_field  provider: is a number; write a string`,
		`1/1  AT  -  \u001b[2J/\u202e\u000d\u000ad  bad_json  at byte 0: the value is not a JSON object; write one JSON object (RFC 8259)`,
		`4 dead letters: 1 bad_field, 1 bad_json, 1 missing_field, 1 unknown_tenant; 1 more were replayed or dropped (--all); 2 records are no dead letters of pushd`,
	}
	if len(lines) != len(want)+1 || got.code != exitOK {
		t.Fatalf("code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	for i := range want {
		if got := regexp.MustCompile(`  +`).ReplaceAllString(lines[i], "  "); got != want[i] {
			t.Errorf("line %d is\n%s, want\n%s", i, got, want[i])
		}
	}
}

func TestDeadListChooses(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	old := o.letter("acme/old", "{")
	old.Time = time.Now().Add(-48 * time.Hour)
	o.put(event.DeadTopic, 0, old, o.letter("acme/d-1", "{"), o.letter("acme/d-2", "[]"), o.letter("beta/d-3", goodWake), markMessage(event.Replayed, 0, 3))
	for _, c := range []struct{ args, want string }{
		{"", "old d-1 d-2"},
		{"--all", "old d-1 d-2 d-3"},
		{"--tenant=acme", "old d-1 d-2"},
		{"--tenant=beta", ""},
		{"--tenant=beta --all", "d-3"},
		{"--reason=unknown_tenant --reason=too_deep --all", "d-3"},
		{"--since=1h", "d-1 d-2"},
		{"--until=1h", "old"},
		{"--since=72h --until=" + time.Now().Add(-47*time.Hour).Format(time.RFC3339), "old"},
		{"--limit=1", "d-2"},
		{"--limit=0", "old d-1 d-2"},
	} {
		got := o.pushd(append([]string{"list", "--json"}, strings.Fields(c.args)...)...)
		var devices []string
		for line := range strings.Lines(got.stdout) {
			var l letterJSON
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			devices = append(devices, l.Device)
			if l.Device == "d-3" && (l.Mark != "replayed" || l.MarkBy != "ops@desk" || l.MarkTime.IsZero() || l.Place != "0/3") {
				t.Errorf("the mark is lost: %s", line)
			}
		}
		if strings.Join(devices, " ") != c.want || got.code != exitOK || !strings.Contains(got.stderr, "dead letter") {
			t.Errorf("%s: %q, want %q (%s)", c.args, devices, c.want, got.stderr)
		}
	}
	for _, wrong := range []string{"--reason=bad_jsn", "--since=yesterday", "--since=-1h"} {
		if got := o.pushd("list", wrong); got.code != exitUsage || !strings.Contains(got.stderr, wrong[2:7]) {
			t.Errorf("%s: %+v", wrong, got)
		}
	}
}

func TestDeadShowIsWholeAndSafeForATerminal(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.put(event.DeadTopic, 1,
		o.letter("acme/d-1", goodWake, event.Header{Key: "traceparent", Value: []byte("\x1b]0;owned\a")}),
		o.letter("acme/d-2", "{\"device\":\"\u009b31m\u202e\",\"token\":1}"),
		o.letter("acme/d-3", "\xff\x00\x1b"),
		o.letter("acme/d-4", `{"a":`+strings.Repeat("[", 60_000)),
		markMessage(event.Dropped, 1, 2),
	)
	show := func(at string) string {
		t.Helper()
		got := o.pushd("show", at)
		if got.code != exitOK {
			t.Fatalf("%s: %s", at, got.stderr)
		}
		for _, c := range got.stdout {
			if c != '\n' && (c < ' ' || 0x7f <= c && c < 0xa0 || c == 0x202e) {
				t.Errorf("%s: %q reaches the terminal", at, c)
			}
		}
		return got.stdout
	}
	for at, parts := range map[string][]string{
		"1/0": {"unknown_tenant", "tenant: has no credential", "pushd.checkin, partition 7, offset 1", "acme/d-1", `traceparent: \u001b]0;owned\u0007`,
			"51 bytes, JSON", "\n  \"provider\": \"apns\",\n", "pushd dead replay 1/0 --commit"},
		"1/1": {"bad_field", `"device": "\u009b31m\u202e"`, "pushd dead replay 1/1 --value FILE --commit"},
		"1/2": {"bad_utf8", "in hex", "ff 00 1b", "dropped by ops@desk at", "done with"},
		"1/3": {"too_deep", "60005 bytes, text"},
	} {
		shown := show(at)
		for _, part := range parts {
			if !strings.Contains(shown, part) {
				t.Errorf("%s: %q is missing in\n%.2000s", at, part, shown)
			}
		}
		if len(shown) > 100_000 {
			t.Errorf("%s: %d bytes", at, len(shown))
		}
	}
	for at, why := range map[string]string{"1/4": "is no dead letter", "1/99": "offsets from 0 to before 5", "9/0": "9/0 is not in pushd.dead: there is no partition 9, or nothing was ever in it", "x": "PARTITION/OFFSET"} {
		if got := o.pushd("show", at); got.code == exitOK || !strings.Contains(got.stderr, why) {
			t.Errorf("%s: %+v", at, got)
		}
	}
}

func TestDeadShowPrintsCommandsThatWorkAsTheyStand(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.put(event.DeadTopic, 1, o.letter("acme/d-0", goodWake), o.letter("acme/d-1", "{"))
	config := file(t, "kafka:\n  brokers: ["+o.broker.Addr()+"]\n")
	spaced := filepath.Join(t.TempDir(), "it's mine.yaml")
	if err := os.Link(config, spaced); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config, at string
		says       []string
	}{
		{config, "1/0", []string{"pushd dead replay 1/0 --config " + config + " --commit\n"}},
		{config, "1/1", []string{"pushd dead replay 1/1 --value FILE --config " + config + " --commit;", "pushd dead drop 1/1 --config " + config + " --commit\n"}},
		{spaced, "1/1", []string{"--config '" + strings.ReplaceAll(spaced, "'", `'\''`) + "' --commit\n"}},
		{"", "1/0", []string{"pushd dead replay 1/0 --commit\n"}},
	} {
		args := []string{"dead", "show", c.at, "--config=" + c.config}
		if c.config == "" {
			args[3] = "--kafka.brokers=" + o.broker.Addr()
		}
		got := pushd(nil, args...)
		for _, part := range c.says {
			if got.code != exitOK || !strings.Contains(got.stdout, part) {
				t.Errorf("%v: %q is missing in %+v", args, part, got)
			}
		}
	}
}

func TestDeadSaysWhatIsWrongWithTheBroker(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if got := o.pushd("list", "--kafka.dead_topic=nowhere"); got.code != exitFailed || !strings.Contains(got.stderr, "nowhere") {
		t.Errorf("without the topic: %+v", got)
	}
	addr := o.broker.Addr()
	o.broker.Close()
	if got := o.pushd("list"); got.code != exitFailed || !strings.Contains(got.stderr, "kafka.brokers") {
		t.Errorf("without a broker at %s: %+v", addr, got)
	}
}

func TestPrintableLeavesInkOnly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain é 🙂 日本":       "plain é 🙂 日本",
		"a\tb\x7f\u0085":     `a\u0009b\u007f\u0085`,
		"\xff\xc3":           `\xff\xc3`,
		"\u2028\u2066\ufeff": `\u2028\u2066\ufeff`,
		"\U000e0001":         `\U000e0001`,
		string(rune(0xfffd)): "\ufffd",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := shortened("日本語", 2); got != "日…" {
		t.Errorf("shortened to %q", got)
	}
}
