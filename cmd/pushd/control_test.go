package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pushd/loadtest/mixture"
	"pushd/queue/event"
)

// command runs a command in this process, and gives what it prints and its exit code.
func command(args ...string) (stdout, stderr string, code int) {
	var out, faults bytes.Buffer
	code = runIn(&process{stdout: &out, stderr: &faults, getenv: func(string) (string, bool) { return "", false }}, args)
	return out.String(), faults.String(), code
}

// allDead is a load of which every token of one credential is dead.
func allDead(events int, seed uint64) (load *mixture.Mixture, tenant string) {
	load = newLoad(events, seed)
	tenant = withDevices(load)[0].Name
	load.Records = slices.DeleteFunc(load.Records, func(r mixture.Record) bool {
		return r.Want == mixture.Expired && strings.HasPrefix(r.Device, tenant+"/")
	})
	for i := range load.Records {
		if r := &load.Records[i]; r.Want == mixture.Push && strings.HasPrefix(r.Device, tenant+"/") {
			r.Want = mixture.Dead
			load.Faults[r.Token] = mixture.DeadToken
		}
	}
	return load, tenant
}

func TestAGuardHoldsBackAFleetUntilItIsReleased(t *testing.T) {
	t.Parallel()
	load, tenant := allDead(6000, 11)
	p := playOf(t, load)
	daemon := p.daemon("daemon", "--guard.count=20")
	daemon.ready(t)
	store := "--store.dir=" + p.ledger("daemon")
	if out, _, code := command("guard", "list", store); code != exitOK || out != "no guard is tripped\n" {
		t.Errorf("before: exit code %d, %q", code, out)
	}
	p.publish(load.Records, 0)
	others := 0
	for i := range load.Records {
		if !strings.HasPrefix(load.Records[i].Device, tenant+"/") {
			others++
		}
	}
	p.eventually("the others' wakes are settled and the guard trips", func() bool {
		return p.server.Audit.Published() == len(load.Records) && p.pending() <= len(load.Records)-others && daemon.said("are said to be dead") != ""
	})
	p.quiet()
	if told := p.server.Audit.Told(tenant, event.TokenDead); told != 0 {
		t.Errorf("%d tokens were reported though the guard is tripped", told)
	}
	p.balanced(daemon)
	if _, body := daemon.ask(t, "/readyz"); !strings.Contains(body, "see pushd guard: "+tenant+"/apns") {
		t.Errorf("/readyz does not say it: %s", body)
	}
	if out, _, code := command("guard", "list", store); code != exitOK || !strings.Contains(out, tenant+"  apns") {
		t.Errorf("the list: exit code %d\n%s", code, out)
	}

	clean := withDevices(load)[1].Name
	out, faults, code := command("guard", "release", clean, store)
	if want := "no guard of " + clean + " is tripped; nothing was released"; code != exitFailed || out != "" || !strings.Contains(faults, want) {
		t.Errorf("one that is not tripped: exit code %d, %q, %q", code, out, faults)
	}
	out, faults, code = command("guard", "release", clean, "--json", store)
	if code != exitFailed || out != "{\"released\":[]}\n" {
		t.Errorf("the same as JSON: exit code %d, %q, %q", code, out, faults)
	}
	if out, _, _ := command("guard", "list", "--json", store); !strings.HasPrefix(out, `{"tenant":"`+tenant+`","provider":"apns",`) || strings.Count(out, "\n") != 1 {
		t.Errorf("the list as JSON: %s", out)
	}
	out, faults, code = command("guard", "release", tenant, store)
	if want := fmt.Sprintf("released apns of %s: what was held back is sent again\n", tenant); code != exitOK || out != want {
		t.Errorf("the release: exit code %d, %q, %s", code, out, faults)
	}
	p.settled(len(load.Records))
	p.judge(0)
	p.balanced(daemon)
	if p.server.Audit.Told(tenant, event.TokenDead) == 0 {
		t.Error("no token was reported after the release")
	}
	want := fmt.Sprintf(`msg=audit component=control actor=local from=127.0.0.1:PORT action="release guards" arguments="provider=&report=false&tenant=%s" before=[apns] after=[]`, tenant)
	port := regexp.MustCompile(`from=127.0.0.1:\d+`)
	p.eventually("the log says: "+want, func() bool {
		return strings.Contains(port.ReplaceAllString(daemon.said("before=[apns]"), "from=127.0.0.1:PORT"), want)
	})
	daemon.stop(t)
}

func TestAStoppedPartitionGoesOnWhenTold(t *testing.T) {
	t.Parallel()
	load := newLoad(2, 12)
	for i := range 400 {
		text := fmt.Appendf(nil, "no event %d", i)
		load.Records = append(load.Records, mixture.Record{Want: mixture.Garbage, ID: string(text), Key: text, Value: text})
	}
	p := playOf(t, load)
	daemon := p.daemon("daemon", "--dead_letters.stop_count=20")
	store := "--store.dir=" + p.ledger("daemon")
	daemon.ready(t)
	p.publish(load.Records, 0)
	var stopped []partitionAnswer
	p.eventually("all partitions stop", func() bool {
		out, _, code := command("partitions", "list", "--json", store)
		stopped = nil
		for line := range strings.Lines(out) {
			var s partitionAnswer
			if err := json.Unmarshal([]byte(line), &s); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			stopped = append(stopped, s)
		}
		return len(stopped) == 8 && code == exitOK
	})
	for i, s := range stopped {
		if s.Partition != int32(i) || s.Bad < 20 || s.Of < s.Bad || s.Of > 22 {
			t.Errorf("stopped is %+v", s)
		}
	}
	if out, _, _ := command("partitions", "list", store); !strings.HasPrefix(out, "PARTITION  BAD ") || !strings.Contains(out, "\n0          20 of 2") {
		t.Errorf("the list for people:\n%s", out)
	}
	if status, body := daemon.ask(t, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "pushd partitions proceed") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	out, faults, code := command("partitions", "proceed", "3", "99", store)
	if code != exitFailed || out != "read on: [3]\n" || !strings.Contains(faults, "99 is not assigned to this daemon") || strings.Contains(faults, "3 is") {
		t.Errorf("one that is stopped, one that is none: exit code %d, %q, %q", code, out, faults)
	}
	out, faults, code = command("partitions", "proceed", "3", "99", "--json", store)
	if want := `{"read_on":[],"not_stopped":[3],"not_assigned":[99]}` + "\n"; code != exitFailed || out != want || !strings.Contains(faults, "3 is not stopped") {
		t.Errorf("none that is stopped: exit code %d, %q, %q", code, out, faults)
	}
	p.eventually("the log says who did it and what changed", func() bool {
		return strings.Contains(daemon.said(`before="[0 1 2 3 4 5 6 7]"`), `actor=local from=127.0.0.1:`) &&
			daemon.said(`action="proceed with partitions" arguments="partition=3&partition=99" before="[0 1 2 3 4 5 6 7]" after="[0 1 2 4 5 6 7]"`) != ""
	})
	p.eventually("the rest goes on", func() bool {
		_, _, code := command("partitions", "proceed", store)
		return code == exitOK && p.pending() == 0
	})
	p.settled(len(load.Records))
	p.judge(0)
	daemon.stop(t)
}

func TestOnlyWhoHasTheTokenCommands(t *testing.T) {
	t.Parallel()
	p := playOf(t, newLoad(1, 13))
	daemon := p.daemon("daemon")
	daemon.ready(t)
	path := filepath.Join(p.ledger("daemon"), controlName)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the token: %v, %v", info, err)
	}
	remote, err := findRemote(p.ledger("daemon"))
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + remote.file.Address
	for _, path := range []string{"/control/guards/release", "/control/partitions/proceed"} {
		for _, authorization := range []string{"", "Bearer ", "Bearer " + remote.file.Token + "x", "Basic " + remote.file.Token} {
			if status := ask(t, http.MethodPost, url+path, authorization, ""); status != http.StatusUnauthorized {
				t.Errorf("%s with %q: %d", path, authorization, status)
			}
		}
	}
	if status := ask(t, http.MethodPost, url+"/control/guards/release", "Bearer "+remote.file.Token, strings.Repeat("x", adminMaxBody+1)); status != http.StatusBadRequest {
		t.Errorf("with too large a body: %d", status)
	}
	store := "--store.dir=" + p.ledger("daemon")
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"guard", "release", "nobody", store}, `tenant "nobody" has had no push since the start`},
		{[]string{"guard", "list", "--store.dir=" + t.TempDir()}, "no pushd runs with the ledger in"},
	} {
		if _, faults, code := command(row.args...); code != exitFailed || !strings.Contains(faults, row.says) {
			t.Errorf("%v: exit code %d, %s", row.args, code, faults)
		}
	}
	if _, faults, code := command("guard", "release", "nobody", "--provider=gcm", store); code != exitUsage || !strings.Contains(faults, `--provider: "gcm" is neither apns nor fcm`) {
		t.Errorf("an unknown provider: exit code %d, %s", code, faults)
	}
	daemon.stop(t)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if _, faults, code := command("partitions", "list", store); code != exitFailed || !strings.Contains(faults, "no pushd runs") {
		t.Errorf("after the stop: exit code %d, %s", code, faults)
	}
}
