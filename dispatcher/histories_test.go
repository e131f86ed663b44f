package dispatcher

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

// TestHistories runs the scripts of testdata/histories: each is a history of one or a few devices, with what the core
// makes of it. `go test -run Histories -rewrite` writes the outputs anew; read the diff before you believe it.
//
// Commands (times count from the start of the script):
//
//	config interval=30s until=checkin max_waiting=1    before anything else
//	event d1 [id=] [type=checkin|forget] [token=] [magic=] [priority=] [expires=+10s] [registered=-1h] [time=-10s] [tenant=] [provider=]
//	raw VALUE                      a record that is no event
//	begin d1                       the lane claims the first place it has for d1
//	result d1 OUTCOME [wait=10s] [obeyed] [credential] [since=-1h] [reason=]
//	advance 30s | ack | flush | crash | release | abandon | assign | state | books
//	takeover [blind]               another machine goes on; blind: not knowing what is done beyond the commit
func TestHistories(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/histories", func(t *testing.T, path string) {
		s := &script{cfg: localConfig()}
		datadriven.RunTest(t, path, s.run)
	})
}

type script struct {
	cfg    Config
	world  *world
	places []*wake // in the lanes, in the order they were offered
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	if d.Cmd == "config" {
		return s.config(t, d)
	}
	if s.world == nil {
		s.world = newWorld(t, s.cfg)
	}
	s.world.t = t
	w := s.world
	var out strings.Builder
	switch d.Cmd {
	case "event":
		w.event(s.event(t, d))
		w.read()
	case "raw":
		w.append([]byte("acme/d1"), []byte(d.Input))
		w.read()
	case "begin":
		s.begin(d.CmdArgs[0].Key, &out)
	case "result":
		w.result(d.CmdArgs[0].Key, s.result(t, d))
	case "advance":
		wait, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		w.advance(wait)
	case "ack":
		w.ack()
	case "flush":
		describeFlush(&out, w)
	case "crash":
		w.crash()
		s.places = nil
	case "takeover": // by another machine, with or without what is known of offsets beyond the commit
		if d.HasArg("blind") {
			w.done = queue.At(w.done.Watermark)
		}
		w.fs = vfs.NewMem()
		w.crash()
		s.places = nil
	case "replay": // the records from the committed offset on
		w.read()
	case "release":
		w.core.release()
		fmt.Fprintf(&out, "drained: %v\n", w.core.drain())
	case "abandon":
		w.core.abandon()
	case "assign":
		w.core.endTenure()
		w.core.assign(queue.Assignment{From: w.done})
		w.next = int(w.done.Watermark)
		w.read()
	case "state":
		out.WriteString(w.describe() + "\n")
	case "books":
		describeBooks(&out, &w.core.books)
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	w.settleStep()
	s.outputs(&out)
	return out.String()
}

func (s *script) config(t *testing.T, d *datadriven.TestData) string {
	for _, arg := range d.CmdArgs {
		var err error
		switch arg.Key {
		case "interval":
			s.cfg.Merge.Interval, err = time.ParseDuration(arg.Vals[0])
		case "until":
			s.cfg.Merge.Until = Until(arg.Vals[0])
		case "max_waiting":
			_, err = fmt.Sscan(arg.Vals[0], &s.cfg.Merge.MaxWaiting)
		case "give_up":
			s.cfg.Merge.GiveUp, err = time.ParseDuration(arg.Vals[0])
		default:
			t.Fatalf("%s: unknown setting %q", d.Pos, arg.Key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return ""
}

func (s *script) event(t *testing.T, d *datadriven.TestData) event.Event {
	e := event.Event{
		Tenant: "acme", Device: d.CmdArgs[0].Key, Provider: providers.APNs, Token: "aa" + fmt.Sprintf("%x", d.CmdArgs[0].Key),
		PushMagic: "magic", PushType: "mdm", Priority: event.Normal, Time: s.world.now, ID: fmt.Sprint("e", len(s.world.log)),
	}
	ago := func(v string) time.Time {
		shift, err := time.ParseDuration(v)
		if err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
		return s.world.now.Add(shift)
	}
	for _, arg := range d.CmdArgs[1:] {
		v := arg.Vals[0]
		switch arg.Key {
		case "id":
			e.ID = v
		case "noid":
			e.ID = ""
		case "type":
			e.Type = map[string]event.Type{"checkin": event.Checkin, "forget": event.Forget}[v]
		case "token":
			e.Token = v
		case "magic":
			e.PushMagic = v
		case "priority":
			e.Priority = map[string]event.Priority{"urgent": event.Urgent, "bulk": event.Bulk}[v]
		case "expires":
			e.Expires = ago(v)
		case "registered":
			e.TokenRegisteredAt = ago(v)
		case "time":
			e.Time = ago(v)
		case "tenant":
			e.Tenant = v
		case "provider":
			e.Provider, e.PushMagic, e.PushType = v, "", ""
		default:
			t.Fatalf("%s: unknown argument %q", d.Pos, arg.Key)
		}
	}
	return e
}

var scriptOutcomes = map[string]providers.Outcome{
	"accepted": providers.Accepted, "dead": providers.TokenDead, "rejected": providers.Rejected, "again": providers.Again,
	"later": providers.Later, "refused": providers.Refused, "lapsed": lapsed, "barred": barred,
}

func (s *script) result(t *testing.T, d *datadriven.TestData) providers.Result {
	outcome, ok := scriptOutcomes[d.CmdArgs[1].Key]
	if !ok {
		t.Fatalf("%s: unknown outcome %q", d.Pos, d.CmdArgs[1].Key)
	}
	r := providers.Result{Outcome: outcome}
	for _, arg := range d.CmdArgs[2:] {
		var err error
		switch arg.Key {
		case "wait":
			r.Wait, err = time.ParseDuration(arg.Vals[0])
		case "obeyed":
			r.Obeyed = true
		case "credential":
			r.Scope = providers.Credential
		case "reason":
			r.Reason = arg.Vals[0]
		case "since":
			var shift time.Duration
			shift, err = time.ParseDuration(arg.Vals[0])
			r.Since = s.world.now.Add(shift)
		default:
			t.Fatalf("%s: unknown argument %q", d.Pos, arg.Key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (s *script) begin(device string, out *strings.Builder) {
	for i, wk := range s.places {
		if wk.name != device {
			continue
		}
		s.places = slices.Delete(s.places, i, i+1)
		k := s.world.begin(wk)
		if k == nil {
			out.WriteString("nothing to claim\n")
			return
		}
		p := k.push(wk, s.world.now, s.cfg.Merge.Expires)
		fmt.Fprintf(out, "push to %s token=%s magic=%s", k.lane.provider, p.Token, p.PushMagic)
		if p.Urgent {
			out.WriteString(" urgent")
		}
		fmt.Fprintf(out, " expires=%s\n", p.Expires.Sub(epoch))
		return
	}
	out.WriteString("no place in the lane\n")
}

// outputs prints what the core asked for.
func (s *script) outputs(out *strings.Builder) {
	for _, wk := range s.world.offers() {
		fmt.Fprintf(out, "offer %s\n", wk.name)
		s.places = append(s.places, wk)
	}
	for _, n := range s.world.unacked {
		if n.dead != nil {
			fmt.Fprintf(out, "unacknowledged: dead letter\n")
			continue
		}
		f, err := event.DecodeFeedback(n.message.Value)
		if err != nil {
			s.world.t.Fatal(err)
		}
		fmt.Fprintf(out, "unacknowledged: %s %s %q\n", f.Outcome, f.Device, f.Reason)
	}
}

func describeFlush(out *strings.Builder, w *world) {
	f := w.flush()
	names := make(map[store.Device]string)
	for _, wk := range w.core.wakes {
		names[wk.device] = wk.name
	}
	counts := map[store.Kind]int{}
	for _, o := range f.Outcomes {
		counts[o.Kind]++
	}
	for kind := store.Accepted; kind <= store.Noted; kind++ {
		if counts[kind] > 0 {
			fmt.Fprintf(out, "%s: %d\n", kind, counts[kind])
		}
	}
	var put []string
	for _, p := range f.Put {
		put = append(put, names[p.Device])
	}
	slices.Sort(put)
	for _, name := range put {
		fmt.Fprintf(out, "put %s\n", name)
	}
	if len(f.Delete) > 0 {
		fmt.Fprintf(out, "delete: %d\n", len(f.Delete))
	}
	if len(f.Tombstones) > 0 {
		fmt.Fprintf(out, "tombstones: %d\n", len(f.Tombstones))
	}
	fmt.Fprintf(out, "commit %d of %d\n", w.done.Watermark, len(w.log))
}

func describeBooks(out *strings.Builder, b *books) {
	fmt.Fprintf(out, "read=%d restored=%d recalled=%d duplicates=%d handed_over=%d dirty=%d strays=%d\n",
		b.read, b.restored, b.recalled, b.duplicates, b.handedOver, b.dirty, b.strays)
	for kind := store.Accepted; kind <= store.Noted; kind++ {
		if n := b.settled[kind]; n > 0 {
			fmt.Fprintf(out, "settled %s=%d\n", kind, n)
		}
	}
	for s, n := range b.open {
		if n > 0 {
			fmt.Fprintf(out, "open %s=%d\n", state(s), n)
		}
	}
}
