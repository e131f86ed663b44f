package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pushd/loadtest/mixture"
	"pushd/loadtest/stage"
	"pushd/queue/event"
)

// accountOf runs "pushd dead" with --json and reads its one object.
func (o *office) accountOf(code int, args ...string) accountJSON {
	o.t.Helper()
	got := o.pushd(append(args, "--json")...)
	var a accountJSON
	if err := json.Unmarshal([]byte(got.stdout), &a); err != nil || got.code != code || strings.Count(got.stdout, "\n") != 1 {
		o.t.Fatalf("%v: %v, %+v", args, err, got)
	}
	return a
}

func placesOf(letters *[]doneLetter) string {
	if letters == nil {
		return "none"
	}
	var all []string
	for _, l := range *letters {
		all = append(all, l.Place.String())
	}
	return strings.Join(all, " ")
}

func TestDeadReplayAndDropAccountInJSON(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.put(event.DeadTopic, 0, o.letter("acme/d-0", "{"), o.letter("acme/d-1", goodWake), o.letter("beta/d-2", goodWake))
	for _, commit := range []bool{false, true} {
		args := []string{"replay", "--tenant=acme"}
		if commit {
			args = append(args, "--commit")
		}
		a := o.accountOf(exitFailed, args...)
		if a.DryRun == commit || a.Dropped != nil || placesOf(a.Published) != "0/1" || (*a.Published)[0] != (doneLetter{place{0, 1}, "acme", "d-1", "unknown_tenant"}) {
			t.Errorf("replay, commit %t: %+v", commit, a)
		}
		if len(a.LeftOut) != 1 || a.LeftOut[0].Place != (place{0, 0}) || a.LeftOut[0].Device != "d-0" || a.LeftOut[0].Reason != "bad_json" || !strings.Contains(a.LeftOut[0].Why, "dead letter again: bad_json") {
			t.Errorf("replay, commit %t: left out are %+v", commit, a.LeftOut)
		}
	}
	if n := len(o.records(event.CheckinTopic)); n != 1 {
		t.Errorf("%d records were published", n)
	}
	for _, commit := range []bool{false, true} {
		args := []string{"drop", "0/1", "0/2"}
		if commit {
			args = append(args, "--commit")
		}
		a := o.accountOf(exitFailed, args...) // 0/1 was named, and is not dropped
		if a.DryRun == commit || a.Published != nil || placesOf(a.Dropped) != "0/2" || (*a.Dropped)[0].Tenant != "beta" {
			t.Errorf("drop, commit %t: %+v", commit, a)
		}
		if len(a.LeftOut) != 1 || !strings.HasPrefix(a.LeftOut[0].Why, "was replayed by "+operator()+" at ") {
			t.Errorf("drop, commit %t: left out are %+v", commit, a.LeftOut)
		}
	}
	// Nothing is a list too, and only one of the two.
	if got := o.pushd("drop", "--tenant=nobody", "--json"); got.stdout != `{"dry_run":true,"dropped":[],"left_out":[]}`+"\n" {
		t.Errorf("of nothing it says %+v", got)
	}
	if got := o.pushd("replay", "--tenant=nobody", "--json", "--commit"); got.stdout != `{"dry_run":false,"published":[],"left_out":[]}`+"\n" {
		t.Errorf("of nothing it says %+v", got)
	}
}

func TestDeadDropSaysWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.put(event.DeadTopic, 0, o.letter("acme/d-0", "{"), markMessage(event.Replayed, 0, 0), o.letter("acme/d-1", "{"), markMessage(event.Dropped, 0, 2))
	for _, more := range [][]string{nil, {"--commit"}} {
		got := o.pushd(append([]string{"drop", "0/0", "0/2"}, more...)...)
		for _, part := range []string{"0/0  left out: was replayed by ops@desk at 20", "0/2  left out: was dropped by ops@desk at 20", "0 dead letters"} {
			if got.code != exitFailed || !strings.Contains(got.stderr, "2 dead letters were left out") || !strings.Contains(got.stdout, part) {
				t.Errorf("%v: %q is missing in %+v", more, part, got)
			}
		}
	}
}

func TestDeadReplayLeavesOutWhoStillHasNoCredential(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	dir := t.TempDir()
	s, err := stage.BuildProviders(dir, mixture.New(mixture.Config{Events: 1, Tenants: 2, Seed: 1}), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	faulty := "tenant: faulty\napns:\n  certificate: nowhere.pem\n"
	if err := os.WriteFile(filepath.Join(s.TenantsDir, "faulty.yaml"), []byte(faulty), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"tenant-000", "stranger", "faulty"} { // the last has its wakes held
		o.put(event.DeadTopic, 0, o.letter(tenant+"/d", goodWake))
	}
	fcm := `{"provider":"fcm","token":"aa11"}`
	o.put(event.DeadTopic, 0, o.letter("tenant-000/fcm", fcm), o.letter("stranger/gone", `{"type":"forget","time":"2026-01-02T15:04:05Z"}`))

	for _, args := range [][]string{{"--reason=unknown_tenant"}, {"--reason=unknown_tenant", "--commit"}} {
		got := o.pushd(append([]string{"replay", "--tenants.dir=" + s.TenantsDir}, args...)...)
		for _, part := range []string{
			fmt.Sprintf(`0/1  not published: it would be a dead letter again: tenants.dir (%s) has no credential for apns of tenant "stranger"`, s.TenantsDir),
			`0/3  not published: it would be a dead letter again: `, `for fcm of tenant "tenant-000"`, "2 dead letters were not published",
		} {
			if got.code != exitFailed || !strings.Contains(got.stderr, part) {
				t.Errorf("%v: %q is missing in %+v", args, part, got)
			}
		}
	}
	var published []string
	for _, r := range o.records(event.CheckinTopic) {
		published = append(published, string(r.Key))
	}
	slices.Sort(published)
	if want := []string{"faulty/d", "stranger/gone", "tenant-000/d"}; !slices.Equal(published, want) {
		t.Errorf("published are %q, want %q", published, want)
	}
	// Where nobody can say what the daemon has, it is published.
	if got := o.pushd("replay", "0/1", "--commit", "--tenants.dir="+t.TempDir()); got.code != exitOK || !strings.Contains(got.stdout, "1 dead letter published") {
		t.Errorf("without tenants: %+v", got)
	}
}
