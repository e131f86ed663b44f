package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"pushd/providers/simulator"
)

// Scenario is a load, what goes wrong meanwhile, and what is expected of the daemon: a file says all of it.
type Scenario struct {
	About      string        `yaml:"about"`      // one line for --list
	Duration   time.Duration `yaml:"duration"`   // of publishing
	Drain      time.Duration `yaml:"drain"`      // how long the last promises may take afterwards
	Interval   time.Duration `yaml:"interval"`   // merge.interval of the daemon
	Latency    time.Duration `yaml:"latency"`    // of each answer of the simulators
	Partitions int           `yaml:"partitions"` // of the topics
	Groups     []Group       `yaml:"groups"`
	Faults     yaml.Node     `yaml:"faults"` // of the providers: a script of the simulators'
	Acts       []Act         `yaml:"acts"`
	Daemon     []string      `yaml:"daemon"` // flags of "pushd run"
	Expect     Expect        `yaml:"expect"`

	name   string
	script *simulator.Script // of Faults; nil where there are none
}

// Group is tenants that are alike, with their devices, and the events that are published for these.
type Group struct {
	Name       string     `yaml:"name"`
	Tenants    int        `yaml:"tenants"`
	Devices    int        `yaml:"devices"` // of all its tenants
	Rate       float64    `yaml:"rate"`    // events per second, of all its tenants
	Bursts     []Burst    `yaml:"bursts"`
	Providers  Providers  `yaml:"providers"`
	Priorities Priorities `yaml:"priorities"`
	Again      float64    `yaml:"again"`      // share of events that are for the device of the event before
	Duplicates float64    `yaml:"duplicates"` // share of events that are published twice
	Dead       float64    `yaml:"dead"`       // share of devices whose token is dead
	Tenant     Limits     `yaml:"tenant"`
}

// Burst is another rate of a group for a while.
type Burst struct {
	After time.Duration `yaml:"after"`
	For   time.Duration `yaml:"for"`
	Rate  float64       `yaml:"rate"`
}

// Providers is how the devices of each tenant are shared out, by weight.
type Providers struct {
	APNs int `yaml:"apns"`
	FCM  int `yaml:"fcm"`
}

// Priorities is how the events are shared out, by weight.
type Priorities struct {
	Urgent int `yaml:"urgent"`
	Normal int `yaml:"normal"`
	Bulk   int `yaml:"bulk"`
}

// Limits are written into the files of the group's tenants.
type Limits struct {
	Rate   float64 `yaml:"rate"`
	Weight int     `yaml:"weight"`
}

// Act is something that an operator does while the load runs: the push certificates of all tenants of a group are replaced.
type Act struct {
	After   time.Duration `yaml:"after"`
	Renew   string        `yaml:"renew"`   // the group
	Refused bool          `yaml:"refused"` // by ones that APNs refuses
}

//go:embed scenarios/*.yaml
var scenarios embed.FS

// names are the scenarios that need no file.
func names() []string {
	entries, err := fs.ReadDir(scenarios, "scenarios")
	if err != nil {
		panic("loadtest: " + err.Error()) // it is in the binary
	}
	var all []string
	for _, e := range entries {
		all = append(all, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return all
}

// read reads the file of a scenario's name, or a file.
func read(nameOrFile string) (file string, content []byte, err error) {
	if slices.Contains(names(), nameOrFile) {
		file = "scenarios/" + nameOrFile + ".yaml"
		content, err = scenarios.ReadFile(file)
		return file, content, err
	}
	content, err = os.ReadFile(nameOrFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, fmt.Errorf("--scenario: there is no file %s, and no scenario of that name; there are %s", nameOrFile, strings.Join(names(), ", "))
	}
	if err != nil {
		return "", nil, fmt.Errorf("--scenario: %w", err)
	}
	return nameOrFile, content, nil
}

// rate is the rate of a group at a time, and when that may change next; zero is never.
func (g *Group) rate(at time.Duration) (perSecond float64, until time.Duration) {
	perSecond = g.Rate
	for _, b := range g.Bursts {
		switch end := b.After + b.For; {
		case at < b.After:
			if until == 0 || b.After < until {
				until = b.After
			}
		case at < end:
			return b.Rate, end
		}
	}
	return perSecond, until
}

// mean is the mean rate of a group from one time to another.
func (g *Group) mean(from, to time.Duration) float64 {
	return g.events(from, to) / (to - from).Seconds()
}

// events is how many a group has from one time to another.
func (g *Group) events(from, to time.Duration) float64 {
	events := 0.0
	for at := from; at < to; {
		rate, until := g.rate(at)
		if until == 0 || until > to {
			until = to
		}
		events += rate * (until - at).Seconds()
		at = until
	}
	return events
}

// Rate is the events per second of all groups, bursts apart.
func (s *Scenario) Rate() float64 {
	sum := 0.0
	for i := range s.Groups {
		sum += s.Groups[i].Rate
	}
	return sum
}

// events is how many all groups have from one time to another.
func (s *Scenario) events(from, to time.Duration) float64 {
	sum := 0.0
	for i := range s.Groups {
		sum += s.Groups[i].events(from, min(to, s.Duration))
	}
	return sum
}

// mean is the events per second of all groups over the whole load, bursts included.
func (s *Scenario) mean() float64 {
	sum := 0.0
	for i := range s.Groups {
		sum += s.Groups[i].mean(0, s.Duration)
	}
	return sum
}

// peak is the most events per second that all groups have at one time.
func (s *Scenario) peak() float64 {
	times := []time.Duration{0}
	for i := range s.Groups {
		for _, b := range s.Groups[i].Bursts {
			times = append(times, b.After, b.After+b.For)
		}
	}
	most := 0.0
	for _, at := range times {
		sum := 0.0
		for i := range s.Groups {
			rate, _ := s.Groups[i].rate(at)
			sum += rate
		}
		most = max(most, sum)
	}
	return most
}

// scale makes the rate another one, the bursts with it. Where there are bursts only, it is that of the whole load that is
// made another one. Where there is nothing, it stays so, and check tells.
func (s *Scenario) scale(rate float64) {
	is := s.Rate()
	if is == 0 && s.Duration > 0 {
		is = s.mean()
	}
	if is <= 0 {
		return
	}
	factor := rate / is
	for i := range s.Groups {
		g := &s.Groups[i]
		g.Rate *= factor
		for j := range g.Bursts {
			g.Bursts[j].Rate *= factor
		}
	}
}

func nameOf(file string) string { return strings.TrimSuffix(path.Base(file), ".yaml") }
