package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"pushd/loadtest/stage"
	"pushd/providers/simulator"
	"pushd/queue"
	"pushd/queue/event"
)

const (
	hostiles = 1000
	goods    = 2000
)

// Hostile records of all kinds, mixed with good ones: each of them ends where it should, and costs no other anything. Then
// an operator mends what can be mended.
func TestHostileRecordsEndAsDeadLettersOrFeedbackAndTheMendedComeHome(t *testing.T) {
	t.Parallel()
	p := embeddedPlay(t, 1, 11)
	tenants := withDevices(p.load)
	bad := hostileRecords(hostiles, tenants)
	var records []kafka.Message
	for i := range bad {
		records = append(records, bad[i].Message)
	}
	var pushed []string // tokens
	for i := range goods {
		tenant := tenants[i%len(tenants)].Name
		device := fmt.Sprintf("good-%04d", i)
		wake := goodWakeOf(tenant, device, hostiles+i)
		records, pushed = append(records, recordOf(tenant, device, wake)), append(pushed, wake["token"].(string))
	}
	rand.New(rand.NewPCG(11, 11)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })

	daemon := p.daemon("daemon")
	p.publishHostile(records)
	p.eventually("everything is committed", p.committedToTheEnd)

	for _, token := range pushed {
		if n := len(p.stage.Receipts(token)); n != 1 {
			t.Fatalf("a good record's token %s was pushed to %d times", token, n)
		}
	}
	letters := p.judgeHostile(bad)
	p.balanced(daemon)
	if n := p.stage.Accepted(); n != goods {
		t.Errorf("%d pushes were accepted, want those of the %d good records alone", n, goods)
	}
	p.listed(letters)

	// The tenant comes, and so does what was published for it.
	p.welcome(daemon)
	strangers := letters[event.UnknownTenant]
	replayed := p.dead("replay", "--reason=unknown_tenant", "--tenant="+stranger.Name, "--commit")
	if replayed.code != exitOK || !strings.Contains(replayed.stdout, fmt.Sprint(len(strangers), " dead letters published")) {
		t.Fatalf("%+v", replayed)
	}
	p.eventually("the replayed are pushed", func() bool { return p.stage.Accepted() == goods+len(strangers) })

	// One is mended by hand.
	lacking := letters[event.MissingField][0]
	mended := file(t, fmt.Sprintf(`{"provider":"apns","token":%q,"push_magic":"magic"}`, lacking.token))
	if got := p.dead("replay", lacking.place.String(), "--value="+mended, "--commit"); got.code != exitOK {
		t.Fatalf("%+v", got)
	}
	p.eventually("the mended one is pushed", func() bool { return len(p.stage.Receipts(lacking.token)) == 1 })
	for _, l := range strangers {
		if n := len(p.stage.Receipts(l.token)); n != 1 {
			t.Errorf("the replayed %s was pushed %d times", l.place, n)
		}
	}
	if got := p.dead("list", "--reason=unknown_tenant"); !strings.HasPrefix(got.stdout, "0 dead letters") {
		t.Errorf("after the replay there still are %s", got.stdout)
	}
	p.eventually("everything is committed", p.committedToTheEnd)
	p.balanced(daemon)
	daemon.stop(t)
}

// publishHostile publishes records, larger ones than brokers take by default too.
func (p *play) publishHostile(records []kafka.Message) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := &kafka.Client{Addr: kafka.TCP(p.brokers), Transport: &kafka.Transport{}}
	defer client.Transport.(*kafka.Transport).CloseIdleConnections()
	_, err := client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: p.server.Topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "max.message.bytes", Value: fmt.Sprint(4 << 20)}},
	}}})
	if err != nil {
		p.t.Fatal(err)
	}
	w := &kafka.Writer{
		Addr: kafka.TCP(p.brokers), Topic: p.server.Topic, Balancer: kafka.Murmur2Balancer{}, Transport: client.Transport,
		RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond, BatchBytes: 2 << 20,
	}
	defer w.Close()
	if err := w.WriteMessages(ctx, records...); err != nil {
		p.t.Fatal(err)
	}
}

// committedToTheEnd says whether the group has committed everything that was published.
func (p *play) committedToTheEnd() bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := &kafka.Client{Addr: kafka.TCP(p.brokers), Transport: &kafka.Transport{}}
	defer client.Transport.(*kafka.Transport).CloseIdleConnections()
	var ids []int
	var ends []kafka.OffsetRequest
	for id := range stage.Partitions {
		ids, ends = append(ids, id), append(ends, kafka.LastOffsetOf(id))
	}
	have, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{p.server.Topic: ends}})
	if err != nil {
		p.t.Fatal(err)
	}
	done, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: p.group, Topics: map[string][]int{p.server.Topic: ids}})
	if err != nil {
		p.t.Fatal(err)
	}
	committed := map[int]int64{}
	for _, c := range done.Topics[p.server.Topic] {
		committed[c.Partition] = c.CommittedOffset
	}
	for _, end := range have.Topics[p.server.Topic] {
		if committed[end.Partition] != end.LastOffset {
			return false
		}
	}
	return true
}

// records are all records of a topic.
func (p *play) records(topic string) []queue.Record {
	cfg := queue.DefaultConfig()
	cfg.Brokers = []string{p.brokers}
	return recordsOf(p.t, cfg, topic)
}

// ended is a dead letter, and the token of the device that its record was of.
type ended struct {
	place
	token string
}

// judgeHostile checks that each record came to its end, and to no other. It returns the dead letters by reason.
func (p *play) judgeHostile(records []hostile) map[event.Reason][]ended {
	p.t.Helper()
	letters := map[string][]queue.Record{}
	for _, r := range p.records(p.server.Dead) {
		letters[string(r.Key)] = append(letters[string(r.Key)], r)
	}
	feedback := map[string][]event.Feedback{}
	for _, r := range p.records(p.server.Feedback) {
		f, err := event.DecodeFeedback(r.Value)
		if err != nil {
			p.t.Fatal(err)
		}
		feedback[string(r.Key)] = append(feedback[string(r.Key)], f)
	}
	byReason := map[event.Reason][]ended{}
	for i := range records {
		h := &records[i]
		key := string(h.Key[:min(len(h.Key), event.MaxKeptKey)])
		kind := fmt.Sprintf("kind %d (%.60q: %.60q)", i%len(hostileKinds), h.Key, h.Value)
		dead, told := letters[key], feedback[key]
		delete(letters, key)
		delete(feedback, key)
		if h.feedback != 0 {
			if len(told) != 1 || told[0].Outcome != h.feedback || told[0].Reason != h.why || len(dead) > 0 {
				p.t.Errorf("%s has the feedback %+v and %d dead letters, want %s %q", kind, told, len(dead), h.feedback, h.why)
			}
			continue
		}
		if len(dead) != 1 || len(told) > 0 {
			p.t.Errorf("%s has %d dead letters and the feedback %+v", kind, len(dead), told)
			continue
		}
		said, ok := event.ParseDeadLetter(dead[0].Headers)
		if !ok || said.Reason != h.letter.String() || said.Cut != h.cut() || string(h.Value[:min(len(h.Value), event.MaxValue)]) != string(dead[0].Value) {
			p.t.Errorf("%s is the dead letter %+v of %d bytes, want %s, cut %+v", kind, said, len(dead[0].Value), h.letter, h.cut())
		}
		byReason[h.letter] = append(byReason[h.letter], ended{place{dead[0].Partition, dead[0].Offset}, h.token})
	}
	for key := range letters {
		p.t.Errorf("%.80q is a dead letter, and was not hostile", key)
	}
	for key := range feedback {
		p.t.Errorf("there is feedback of %.80q, which was not hostile", key)
	}
	return byReason
}

// dead runs "pushd dead".
func (p *play) dead(args ...string) outcome {
	return pushd(nil, append([]string{"dead", args[0], "--kafka.brokers=" + p.brokers}, args[1:]...)...)
}

// listed checks that the list sums up all letters, of all reasons.
func (p *play) listed(letters map[event.Reason][]ended) {
	p.t.Helper()
	if len(letters) != len(event.Reasons())-1 { // all but other
		p.t.Errorf("the letters have %d reasons, there are %v", len(letters), event.Reasons())
	}
	got := p.dead("list")
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	summary := lines[len(lines)-1] + ","
	n := 0
	for reason, of := range letters {
		n += len(of)
		if !strings.Contains(strings.ReplaceAll(summary, ";", ","), fmt.Sprintf(" %d %s,", len(of), reason)) {
			p.t.Errorf("the summary does not have %d %s: %s", len(of), reason, summary)
		}
	}
	if !strings.HasPrefix(summary, fmt.Sprint(n, " dead letters: ")) || strings.Contains(summary, "replayed") {
		p.t.Errorf("the summary is %s, want %d letters", summary, n)
	}
}

// welcome gives the stranger a certificate and its file, and waits until the daemon has it.
func (p *play) welcome(daemon *child) {
	p.t.Helper()
	if _, err := p.stage.Renew(stranger, simulator.PushOptions{}); err != nil {
		p.t.Fatal(err)
	}
	text := fmt.Sprintf("tenant: %s\napns:\n  certificate: %[1]s.pem\n  key: %[1]s.key\n", stranger.Name)
	if err := os.WriteFile(filepath.Join(p.stage.TenantsDir, stranger.Name+".yaml"), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	daemon.hangUp(p.t)
	p.eventually("the new tenant is read", func() bool {
		return strings.Contains(daemon.said("tenants read again"), "faults=0") && daemon.said("changed=1") != ""
	})
}
