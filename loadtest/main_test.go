package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"pushd/loadtest/daemon"
	"pushd/loadtest/descriptors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

type called struct {
	code           int
	stdout, stderr string
}

func call(args ...string) called {
	var stdout, stderr strings.Builder
	code := execute(args, &stdout, &stderr)
	return called{code, stdout.String(), stderr.String()}
}

func scenarioFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tiny has all that goes on in a scenario, in two seconds, and expects nothing of the machine's speed.
const tiny = `
duration: 2s
interval: 200ms
groups:
  - name: fleet
    tenants: 3
    devices: 300
    rate: 200
    again: 0.3
    duplicates: 0.1
    dead: 0.05
  - name: doubted
    devices: 1000
    rate: 200
    providers: {apns: 1}
faults:
  - {provider: apns, tenants: [doubted-0000], for: 1s, answer: Unregistered}
acts:
  - {after: 500ms, renew: fleet}
  - {after: 1500ms, renew: doubted}
daemon: [--guard.patience=1s]
expect:
  metrics:
    - {name: 'pushd_guard_trips_total{provider="apns"}', min: 1}
`

func TestAScenarioIsPlayedToItsEnd(t *testing.T) {
	t.Parallel()
	pushd, err := daemon.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a daemon that keeps its promises", func(t *testing.T) {
		t.Parallel()
		got := call("--pushd", pushd, "--scenario", scenarioFile(t, tiny), "--seed", "3", "--known-devices", "5000", "--json")
		var res Result
		if err := json.Unmarshal([]byte(got.stdout), &res); err != nil {
			t.Fatalf("%v\n%s", err, got.stderr)
		}
		if res.Lost != 0 || res.FalselyDead != 0 || !res.Scrapes.balanced() || res.Extra != 0 || res.DeadLetters != 0 || res.Unpublished != 0 {
			t.Errorf("%+v", res)
		}
		if res.Events != 800 || res.Pushes == 0 || res.TokensDead == 0 || res.Latency[1].Events == 0 || res.Daemon.PeakMB < 1 || res.Daemon.ReadyS <= 0 || res.Daemon.Known < 4000 || len(res.Swaps) != 4 {
			t.Errorf("%+v", res)
		}
		for _, c := range res.Checks {
			if strings.HasPrefix(c.What, "pushd_guard") && !c.Passed {
				t.Errorf("%+v", c)
			}
		}
	})
	t.Run("a daemon with a backlog", func(t *testing.T) {
		t.Parallel()
		got := call("--pushd", pushd, "--scenario", scenarioFile(t, smallest+"    dead: 0.05\n"), "--seed", "3", "--backlog", "3000", "--json")
		var res Backlog
		if err := json.Unmarshal([]byte(got.stdout), &res); err != nil {
			t.Fatalf("%v\n%s", err, got.stderr)
		}
		if res.Lost != 0 || res.Falsely != 0 || res.Extra != 0 || res.Scrapes.WorstImbalance != 0 || res.Events < 2900 || res.Events > 3100 {
			t.Errorf("%+v", res)
		}
		if res.Pushes < 1000 || res.PerSecond <= 0 || res.PerPush <= 0 || res.Timeline[0].Intended != 0 || res.Timeline[0].Published != 0 {
			res.Timeline = res.Timeline[:1]
			t.Errorf("%+v", res)
		}
	})
	t.Run("providers that never answer", func(t *testing.T) {
		t.Parallel()
		got := call("--pushd", pushd, "--scenario", scenarioFile(t, `
duration: 1s
drain: 1s
interval: 100ms
groups: [{name: fleet, devices: 100, rate: 100}]
faults: [{answer: hang}]
daemon: [--kafka.shutdown_drain=1s]
`))
		if got.code != exitFailed || !strings.Contains(got.stdout, "FAIL  events lost: 0; it is 100") || !strings.Contains(got.stdout, "100  lost") {
			t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
		}
	})
	t.Run("a daemon that does not start", func(t *testing.T) {
		t.Parallel()
		got := call("--pushd", pushd, "--scenario", scenarioFile(t, smallest+"daemon: [--rates.total=-1]\n"))
		if got.code != exitFailed || !strings.Contains(got.stderr, "pushd ended by itself: exit status 2") || !strings.Contains(got.stderr, "rates.total") {
			t.Errorf("exit code %d\n%s", got.code, got.stderr)
		}
	})
}

func TestAWrongCallStartsNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"an unknown flag":      {[]string{"--fast"}, "unknown flag --fast"},
		"an unknown scenario":  {[]string{"--scenario", "calm"}, "no scenario of that name; there are burst, "},
		"a faulty scenario":    {[]string{"--scenario", scenarioFile(t, "about: x\n")}, "tiny.yaml:1: a scenario needs groups"},
		"too many events":      {[]string{"--duration", "1h"}, "name another with --brokers"},
		"no rate":              {[]string{"--rate", "0"}, "--rate: 0 events per second is not above 0 and at most 200000"},
		"no number for a rate": {[]string{"--rate", "nan"}, "--rate: NaN events per second"},
		"no duration":          {[]string{"--duration", "0s"}, "--duration: 0s is not between 1s and 24h0m0s"},
		"a ramp at a rate":     {[]string{"--ramp", "--rate", "5"}, "--ramp sets rate and duration itself"},
		"a ramp without steps": {[]string{"--ramp", "--step", "1x"}, "is no factor from 1.05x to 10x"},
		"a ramp from nothing":  {[]string{"--ramp", "--from", "0"}, "--from: 0 events per second is not between 1"},
		"too long a ramp":      {[]string{"--ramp", "--hold", "2h"}, "--hold: 2h0m0s is not between 2s and 1h"},
		"too short a bound":    {[]string{"--ramp", "--p99", "1us"}, "--p99: 1µs is not between 1ms and 1m"},
		"a bound and no ramp":  {[]string{"--p99", "50ms"}, "--p99 does nothing without --ramp: add --ramp, or leave --p99 out"},
		"a hold and no ramp":   {[]string{"--hold", "5s", "--step=2x"}, "--hold does nothing without --ramp: add --ramp, or leave --hold out\n--step does nothing"},
		"nothing to compare":   {[]string{"--threshold", "5%"}, "--threshold does nothing without --compare: add --compare, or leave"},
		"no backlog":           {[]string{"--backlog", "0"}, "--backlog: 0 events are not between 1000 and 5000000; leave it out to have none"},
		"a small backlog":      {[]string{"--backlog", "5"}, "--backlog: 5 events are not between 1000 and"},
		"a backlog at a rate":  {[]string{"--backlog", "5000", "--rate", "5"}, "leave --ramp, --rate and --duration out"},
		"too large a backlog":  {[]string{"--backlog", "3000000"}, "name another with --brokers"},
		"no broker's address":  {[]string{"--brokers", "127.0.0.1"}, "--brokers: \"127.0.0.1\" is not host:port"},
		"too many are known":   {[]string{"--known-devices", "50000000"}, "--known-devices: 50000000 is not between 0 and 20000000"},
		"no such binary":       {[]string{"--pushd", "/nope"}, "--pushd: /nope cannot be run: stat /nope: no such file or directory; name the daemon's binary"},
		"no binary":            {[]string{"--pushd", "main.go"}, "--pushd: main.go cannot be run"},
		"no place for a log":   {[]string{"--log", "/nope/x"}, "--log: open /nope/x: no such file or directory; name a file"},
		"too short a duration": {[]string{"--scenario", "credential-swap", "--duration", "10s"}, "scenarios/credential-swap.yaml:14: after is 12s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := call(c.args...); got.code != exitUsage || !strings.Contains(got.stderr, c.want) {
				t.Errorf("exit code %d: %s", got.code, got.stderr)
			}
		})
	}
}

func TestTheListHasEveryScenario(t *testing.T) {
	t.Parallel()
	got := call("--list")
	for _, name := range names() {
		if !strings.Contains(got.stdout, name) {
			t.Errorf("%s is not listed", name)
		}
	}
	if got.code != exitPassed || call("--help").code != exitPassed {
		t.Error("--list and --help pass")
	}
}
