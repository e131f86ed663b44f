package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pushd/providers/simulator"
)

func writeScript(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestATrialPlaysItsScriptAndAnewWhenTold(t *testing.T) {
	t.Parallel()
	cmd := anywhere(t.TempDir())
	cmd.Faults = filepath.Join(t.TempDir(), "faults.yaml")
	writeScript(t, cmd.Faults, `
faults:
  - {provider: apns, answer: TooManyRequests, retry_after: 1, tenants: [acme]}
  - {provider: fcm, answer: UNREGISTERED, tokens: 1}
  - {provider: fcm, after: 1h, answer: refuse-connections}
`)
	s := startSimulation(t, cmd)
	defer s.startDaemon(t)()
	s.screen.await(`(?m)^\d\d:\d\d:\d\d\.\d{3}  apns  begins    TooManyRequests, retry after 1 s, of acme \(line 3\)$`)
	s.screen.await(`(?m)^\d\d:\d\d:\d\d\.\d{3}  fcm   begins    UNREGISTERED \(line 4\)$`)
	s.publish(t, "apple-1", `{"provider":"apns","push_magic":"m","token":"aa11bb22cc33dd44"}`)
	s.publish(t, "google-1", `{"provider":"fcm","token":"fGx3kQ:APA91b"}`)
	s.screen.await(`(?m)  apns  refused   429 TooManyRequests`)
	s.screen.await(`(?m)  fcm   refused   404 UNREGISTERED$`)

	writeScript(t, cmd.Faults, "faults: [{answer: UNAVAILABEL}]")
	s.hangup <- syscall.SIGHUP
	s.screen.await(`(?m)  both  script    the one before goes on:\n  .*faults.yaml:1: answer: "UNAVAILABEL" is not known \(did you mean "UNAVAILABLE"\?\)$`)
	writeScript(t, cmd.Faults, "faults: [{answer: hang, tenants: [acme-2]}]")
	s.hangup <- syscall.SIGHUP
	s.screen.await(`faults.yaml:1: tenants: nobody is called "acme-2" \(did you mean "acme"\?\)`)
	if strings.Contains(s.screen.String(), "accepted  ") {
		t.Errorf("a faulty script has ended the one before:\n%s", s.screen)
	}

	writeScript(t, cmd.Faults, "faults: [{provider: apns, latency: 1ms}]")
	s.hangup <- syscall.SIGHUP
	s.screen.await(`(?m)  both  script    \S*faults.yaml is read again, and begins now$`)
	s.screen.await(`(?m)  apns  begins    1ms late \(line 1\)$`)
	s.screen.await(`(?m)  apns  accepted  .* token aa11bb22…  push 1$`)
}

func TestASighupWithoutAScriptChangesNothing(t *testing.T) {
	t.Parallel()
	s := startSimulation(t, anywhere(t.TempDir()))
	s.hangup <- syscall.SIGHUP
	s.screen.await(`(?m)  both  script    no --faults were given: nothing to read again$`)
	s.hangup <- syscall.SIGHUP // it listens on
}

// The shell sends a SIGHUP too when its terminal is closed; then nobody is left who could see, or end, the trial.
func TestASighupThatNobodyCanBeToldOfEndsATrial(t *testing.T) {
	t.Parallel()
	seen, screen, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	hangup, ended := make(chan os.Signal), make(chan error, 1)
	go func() {
		ended <- anywhere(t.TempDir()).simulate(t.Context(), &process{stdout: screen, stderr: io.Discard}, hangup, func() { seen.Close() })
	}()
	hangup <- syscall.SIGHUP
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAScriptThatIsReplacedIsNotPlayedOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shown := newScreen()
		trial := &trial{screen: &trialScreen{out: shown}}
		for _, text := range []string{"faults: [{after: 1h, answer: hang}]", "faults: [{after: 2h, answer: reset}]"} {
			script, err := simulator.ParseScript("faults.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			trial.play(t.Context(), script)
		}
		time.Sleep(3 * time.Hour)
		trial.faults.end()
		if text := shown.String(); strings.Contains(text, "hang") || !strings.Contains(text, "reset") {
			t.Errorf("it shows %q", text)
		}
	})
}

func TestATrialPrintsJSONForMachines(t *testing.T) {
	t.Parallel()
	cmd := anywhere(t.TempDir())
	cmd.JSON = true
	cmd.Faults = filepath.Join(t.TempDir(), "faults.yaml")
	writeScript(t, cmd.Faults, "faults: [{provider: fcm, for: 1ms, answer: refuse-connections}, {provider: fcm, answer: UNREGISTERED}]")
	s := startSimulation(t, cmd)
	defer s.startDaemon(t)()
	s.publish(t, "apple-1", `{"provider":"apns","push_magic":"m","token":"aa11bb22cc33dd44"}`)
	s.publish(t, "google-1", `{"provider":"fcm","token":"fGx3kQ:APA91b"}`)
	s.screen.await(`"event":"accepted"`)
	s.screen.await(`"event":"refused"`)
	s.screen.await(`"event":"fault_ends"`)
	writeScript(t, cmd.Faults, "")
	s.hangup <- syscall.SIGHUP
	s.screen.await(`"event":"script_faulty"`)
	writeScript(t, cmd.Faults, "faults: []")
	s.hangup <- syscall.SIGHUP
	s.screen.await(`"event":"script_read"`)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}

	var events []string
	for line := range strings.Lines(s.screen.String()) {
		var all struct {
			At, Event string
		}
		if err := json.Unmarshal([]byte(line), &all); err != nil || all.At == "" {
			t.Fatalf("%v: %q", err, line)
		}
		events = append(events, all.Event)
		for event, want := range map[string]string{
			"started":    `"tenants":["acme"],"config":`,
			"accepted":   `"provider":"apns","topic":"com.apple.mgmt.External.acme","token":"aa11bb22…","push":1}`,
			"refused":    `"provider":"fcm","answer":"404 UNREGISTERED","times":1}`,
			"fault_ends": `"provider":"fcm","fault":"refuse-connections","line":1,"seconds":0.001}`,
			"summary":    `"providers":{"apns":{"accepted":1,"refused":{},"turned_away":0},"fcm":{"accepted":0,"refused":{"404 UNREGISTERED":1},"turned_away":`,
		} {
			if all.Event == event && !strings.Contains(line, want) {
				t.Errorf("%s: %s", event, line)
			}
		}
	}
	if events[0] != "started" || events[len(events)-1] != "summary" || !slices.Contains(events, "fault_begins") {
		t.Errorf("there were %q", events)
	}
}

func TestATrialHasAsManyTenantsAsAreAskedFor(t *testing.T) {
	t.Parallel()
	cmd := anywhere(t.TempDir())
	cmd.Tenants = 3
	s := startSimulation(t, cmd)
	func() {
		defer s.startDaemon(t)()
		s.publishFor(t, "acme-3", "apple-1", `{"provider":"apns","push_magic":"m","token":"aa11bb22cc33dd44"}`)
		s.publishFor(t, "acme-2", "google-1", `{"provider":"fcm","token":"fGx3kQ:APA91b"}`)
		s.screen.await(`  apns  accepted  com\.apple\.mgmt\.External\.acme-3  `)
		s.screen.await(`  fcm   accepted  acme-2-trial  `)
	}()
	if shown := s.screen.String(); !strings.Contains(shown, "and 2 more like it, up to acme-3\n") {
		t.Errorf("it does not say who there is:\n%s", shown)
	}
	if got := trialDir(cmd.Dir).tenants(1); !slices.Equal(got, []trialTenant{"acme", "acme-2", "acme-3"}) {
		t.Errorf("another run would have %v", got)
	}
}

func TestATrialWithAFaultyScriptIsNotStarted(t *testing.T) {
	t.Parallel()
	cmd := anywhere(filepath.Join(t.TempDir(), "trial"))
	cmd.Faults = filepath.Join(t.TempDir(), "faults.yaml")
	for text, want := range map[string]string{
		"faults: [{provider: apns, answer: UNAVAILABLE}]": ":1: answer: UNAVAILABLE is a reason of fcm, and never of apns",
		"faults: [{answer: hang, tenants: [somebody]}]":   `:1: tenants: nobody is called "somebody"`,
	} {
		writeScript(t, cmd.Faults, text)
		err := cmd.simulate(context.Background(), &process{stdout: io.Discard, stderr: io.Discard}, nil, func() { t.Error("it runs") })
		var usage usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), cmd.Faults+want) {
			t.Errorf("it ended with %v; want %q and a usage error", err, want)
		}
	}
	if _, err := os.Stat(cmd.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a directory: %v", err)
	}
}

// Who learns from the examples learns nothing that is refused.
func TestTheExamplesOfScriptsCanBePlayed(t *testing.T) {
	t.Parallel()
	if !strings.Contains(simulateCmd{}.Help(), indented(faultsInBrief)) {
		t.Error("the help does not show the example")
	}
	documented := readFile(t, filepath.Join("..", ".."), "docs/faults.example.yaml")
	for name, text := range map[string]string{"the help": faultsInBrief, "docs/faults.example.yaml": documented} {
		script, err := simulator.ParseScript(name, []byte(text))
		if err == nil {
			err = script.Know(map[string]string{trialTenant("acme").topic(): "acme", trialTenant("acme").project(): "acme"})
		}
		if err != nil {
			t.Error(err)
		}
	}
	for _, key := range []string{"seed", "provider", "after", "for", "tenants", "share", "tokens", "answer", "retry_after", "latency"} {
		if !strings.Contains(documented, key+": ") {
			t.Errorf("docs/faults.example.yaml does not show %s", key)
		}
	}
	for _, answer := range []string{"refuse-connections", "close", "hang", "reset", "goaway"} {
		if !strings.Contains(documented, "answer: "+answer) {
			t.Errorf("docs/faults.example.yaml does not show the answer %s", answer)
		}
	}
}
