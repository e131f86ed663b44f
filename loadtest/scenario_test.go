package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func parsed(t *testing.T, text string) *Scenario {
	t.Helper()
	s, err := parse("test.yaml", []byte(text), func(*Scenario) {})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryScenarioOfTheBinaryIsInOrder(t *testing.T) {
	t.Parallel()
	if len(names()) < 9 {
		t.Fatalf("there are only %v", names())
	}
	for _, name := range names() {
		s, err := (&command{Scenario: name}).load(nil, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		if s.About == "" || s.Duration != 30*time.Second && name != "long-outage" && name != "many-tenants" || s.name != name {
			t.Errorf("%s: about %q, for %v, named %q", name, s.About, s.Duration, s.name)
		}
		if s.longest() > 5*time.Minute {
			t.Errorf("%s can take %v", name, s.longest())
		}
		if s.Rate() > 5000 {
			t.Errorf("%s has %v events/s: too much for a default", name, s.Rate())
		}
	}
}

const smallest = `
groups:
  - name: fleet
    devices: 10
    rate: 5
`

func TestWhatAScenarioLeavesOutGoesWithoutSaying(t *testing.T) {
	t.Parallel()
	s := parsed(t, smallest)
	g := s.Groups[0]
	if s.Duration != 30*time.Second || s.Interval != 2*time.Second || g.Tenants != 1 || g.Providers != (Providers{1, 1}) || g.Priorities.Normal != 1 || s.script != nil {
		t.Errorf("%+v", s)
	}
}

func TestEveryFaultOfAFileIsToldWithItsLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty":        {"", []string{"test.yaml:1: the file is empty"}},
		"no YAML":      {"groups: [", []string{"test.yaml:1: "}},
		"unknown keys": {"abuot: x\ngroups:\n  - nmae: y\n", []string{"test.yaml:1: abuot is no key", "test.yaml:3: nmae is no key"}},
		"wrong types":  {"duration: soon\ndrain: 5\n" + smallest + "    again: much\n", []string{`test.yaml:1: "soon" is not a duration`, `test.yaml:2: "5" is not a duration`, `test.yaml:8: "much" is not a number`}},
		"no groups":    {"duration: 5s\n", []string{"test.yaml:1: a scenario needs groups"}},
		"bursts of 0":  {"groups:\n  - {name: a, devices: 1, bursts: [{for: 1s}]}\n", []string{"test.yaml:1: no group has a rate"}},
		"too much in all": {
			"groups:\n  - {name: a, tenants: 6000, devices: 3_000_000, rate: 150_000}\n  - {name: b, tenants: 6000, devices: 3_000_000, bursts: [{after: 1s, for: 1s, rate: 60_000}]}\n",
			[]string{
				"test.yaml:1: there are 12000 tenants in all", "test.yaml:1: there are 6000000 devices in all",
				"test.yaml:1: there are 210000 events per second in all",
			},
		},
		"too many groups": {"groups:\n" + manyGroups(101), []string{"test.yaml:1: there are 101 groups in all, which is more than 100"}},
		"too many seconds": {
			"groups:\n  - {name: a, tenants: 10_000, devices: 10_000, rate: 1}\nduration: 24h\n",
			[]string{"test.yaml:3: 10000 tenants for 24h0m43s are too much: the seconds of each need 6595 MB, and there are 64 MB"},
		},
		"no rate":          {"groups:\n  - {name: a, devices: 1}\n", []string{"test.yaml:1: no group has a rate"}},
		"out of bounds":    {"duration: 1ms\n" + smallest + "    tenants: 11\n    dead: 2\n", []string{"test.yaml:1: duration is 1ms", "test.yaml:5: devices is 10", "test.yaml:8: dead is 2"}},
		"two of a name":    {smallest + "  - name: fleet\n    devices: 1\n", []string{"test.yaml:6: there are two groups named fleet"}},
		"a burst late":     {smallest + "    bursts: [{after: 29s, for: 2s, rate: 1}]\n", []string{"test.yaml:6: the burst, of 2s after 29s"}},
		"daemon's flags":   {smallest + "daemon:\n  - rates.apns=1\n  - --store.dir=x\n", []string{`test.yaml:7: "rates.apns=1" is no flag`, "test.yaml:8: --store.dir is given by the load test"}},
		"acts":             {smallest + "acts:\n  - {after: 60s, renew: nobody}\n", []string{"test.yaml:7: after is 1m0s", `test.yaml:7: there is no group "nobody"`}},
		"faults":           {"faults:\n  - {answer: Unregisterd}\n" + smallest, []string{"test.yaml:2: "}},
		"faults of nobody": {"faults:\n  - {answer: hang, tenants: [fleet-0001]}\n" + smallest, []string{"test.yaml:2: tenants: nobody is called"}},
		"faults below":     {smallest + "faults:\n  - provider: apns\n    answer: hangs\nlatency: 1ms\n", []string{"test.yaml:8: "}},
		"numbers that are none": {
			"groups:\n  - {name: a, devices: 1, rate: .nan}\n  - {name: b, devices: 1, rate: 1, dead: .nan, bursts: [{for: 1s, rate: .inf}]}\nexpect:\n  rates: [{group: a, for: 1s, is: .nan, within: 1}]\n  shares: [{group: a, for: 1s, within: .nan}]\n",
			[]string{"test.yaml:2: rate is NaN", "test.yaml:3: dead is NaN", "test.yaml:3: rate is +Inf", "test.yaml:5: say within", "test.yaml:6: say the group"},
		},
		"sums that overflow": {
			smallest + "    providers: {apns: 9223372036854775807, fcm: 1}\n    priorities: {bulk: -1}\n    bursts: [{after: 1s, for: 2562047h, rate: 1}]\nexpect:\n  shares: [{group: fleet, after: 1s, for: 2562047h, within: 1}]\n",
			[]string{"test.yaml:6: a weight is not between 0 and 1000000", "test.yaml:7: a weight is not", "test.yaml:8: the burst", "test.yaml:10: after and for"},
		},
		"expectations of nothing": {smallest + "expect:\n  extra: -1\n  seen_after: 1s\n", []string{"test.yaml:7: extra is -1", "test.yaml:8: seen_after is 1s: say how soon after the acts, of which there are 0"}},
		"expectations": {
			smallest + "expect:\n  latency:\n    - {group: fleet}\n    - {p99: 1s, provider: gcm}\n  rates:\n    - {after: 1500ms, for: 1s, is: 5, within: 1}\n    - {for: 1s, within: 1}\n  shares: [{group: fleet, for: 1s}]\n  metrics:\n    - {name: x}\n",
			[]string{
				"test.yaml:8: say p50, p99 or max", `test.yaml:9: provider is apns or fcm, not "gcm"`, "test.yaml:11: after and for are whole seconds",
				"test.yaml:12: say what the rate is", "test.yaml:13: say the group", "test.yaml:15: say the metric's name",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse("test.yaml", []byte(c.text), func(*Scenario) {})
			if err == nil {
				t.Fatal("no fault is told")
			}
			lines := strings.Split(err.Error(), "\n")
			for _, want := range c.want {
				if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, want) }) {
					t.Errorf("not told: %s\nbut:\n%v", want, err)
				}
			}
			if len(lines) != len(c.want) {
				t.Errorf("%d faults, want %d:\n%v", len(lines), len(c.want), err)
			}
		})
	}
}

func manyGroups(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  - {name: g%d, devices: 1, rate: 1}\n", i)
	}
	return b.String()
}

func TestAScenarioOfBurstsOnlyIsPublished(t *testing.T) {
	t.Parallel()
	s := parsed(t, "groups:\n  - {name: a, devices: 1, bursts: [{after: 1s, for: 1s, rate: 60}]}\n")
	if s.mean() != 2 {
		t.Errorf("%g events/s, want 2", s.mean())
	}
	s.scale(4)
	if s.mean() != 4 {
		t.Errorf("%g events/s, want 4", s.mean())
	}
}

func TestAFewEventsAreScaledAsManyAre(t *testing.T) {
	t.Parallel()
	s := parsed(t, strings.Replace(smallest, "rate: 5", "rate: 0.5", 1))
	s.scale(10)
	if s.Rate() != 10 {
		t.Errorf("%g events/s, want 10", s.Rate())
	}
}

func FuzzAScenarioIsTakenOrItsFaultsAreTold(f *testing.F) {
	for _, name := range names() {
		_, content, err := read(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := parse("test.yaml", content, func(*Scenario) {})
		if err == nil && (len(s.Groups) == 0 || s.Rate() < 0) {
			t.Errorf("%+v is taken", s)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "test.yaml:") {
			t.Errorf("the fault has no place: %v", err)
		}
	})
}

func TestTheRateOfAGroupFollowsItsBursts(t *testing.T) {
	t.Parallel()
	g := Group{Rate: 10, Bursts: []Burst{{After: 5 * time.Second, For: time.Second, Rate: 100}, {After: 0, For: time.Second}}}
	for at, want := range map[time.Duration]float64{0: 0, time.Second: 10, 4 * time.Second: 10, 5 * time.Second: 100, 6 * time.Second: 10} {
		if rate, _ := g.rate(at); rate != want {
			t.Errorf("at %v: %v, want %v", at, rate, want)
		}
	}
	if mean := g.mean(0, 10*time.Second); mean != 18 {
		t.Errorf("the mean is %v, want 18", mean)
	}
}

func TestAPlanHasEachEventAtItsTimeWhoeverAsksWhen(t *testing.T) {
	t.Parallel()
	s := parsed(t, smallest+`    again: 0.5
    duplicates: 0.5
    priorities: {urgent: 1, normal: 1, bulk: 1}
    bursts: [{after: 10s, for: 5s, rate: 100}]
  - name: late
    devices: 5
    rate: 0
    bursts: [{after: 20s, for: 1s, rate: 50}]
`)
	f := newFleet(s.Groups, 1)
	all := func(step time.Duration) (events []planned) {
		p := newPlan(f, s.Duration, 3)
		for at := time.Duration(0); !p.over(); at += step {
			for e, ok := p.take(at); ok; e, ok = p.take(at) {
				events = append(events, e)
			}
		}
		return events
	}
	events := all(time.Hour)
	if again := all(7 * time.Millisecond); !slices.Equal(events, again) {
		t.Fatal("the plan depends on when it is asked")
	}
	perSecond := map[int]int{}
	twice, priorities := 0, map[string]int{}
	for i, e := range events {
		if i > 0 && e.due < events[i-1].due || e.number != int64(i) {
			t.Fatalf("event %d is out of order", i)
		}
		perSecond[int(e.due/time.Second)]++
		priorities[e.priority.String()]++
		if e.twice {
			twice++
		}
	}
	for second, want := range map[int]int{0: 5, 9: 5, 12: 100, 16: 5, 20: 55, 21: 5, 29: 5} {
		if got := perSecond[second]; got < want-1 || got > want+1 {
			t.Errorf("%d events in second %d, want %d", got, second, want)
		}
	}
	if twice < len(events)/4 || len(slices.Collect(maps.Keys(priorities))) != 3 {
		t.Errorf("%d of %d twice, priorities %v", twice, len(events), priorities)
	}
}

func TestABacklogIsForAsManyDevices(t *testing.T) {
	t.Parallel()
	for _, name := range names() {
		s, err := (&command{Scenario: name, backlogOptions: backlogOptions{Backlog: new(300_000)}}).load(nil, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		devices := 0
		for _, g := range s.Groups {
			devices += g.Devices
		}
		if events := s.mean() * s.Duration.Seconds(); events < 299_000 || events > 301_000 || float64(devices) < .99*events || len(s.Acts) > 0 {
			t.Errorf("%s: %.0f events for %d devices", name, events, devices)
		}
	}
}

func TestTheRateOfTheCommandLineScalesAllGroups(t *testing.T) {
	t.Parallel()
	_, err := (&command{Scenario: "noisy-tenant"}).load(new(160.0), new(15*time.Second))
	if err == nil || !strings.Contains(err.Error(), "within the 15s of the load") {
		t.Errorf("expectations beyond the end are taken: %v", err)
	}
	s, err := (&command{Scenario: "noisy-tenant"}).load(new(160.0), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Groups[0].Rate != 150 || s.Groups[1].Rate != 10 || s.Groups[1].Bursts[0].Rate != 300 {
		t.Errorf("%+v", s.Groups)
	}
}
