package main

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"pushd/loadtest/promise"
)

// bounds keep a scenario within what one machine, and the accounts of the simulators, can take: tenants, devices and events
// per second of all groups together.
const (
	maxGroups   = 100 // each has histograms, of half a megabyte
	maxTenants  = 10_000
	maxDevices  = 5_000_000
	maxRate     = 200_000
	maxTimeline = 64 << 20 // bytes
	maxWeight   = 1_000_000
	shortestRun = time.Second
	longestRun  = 24 * time.Hour
)

var groupName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

// own are the flags that the load test gives the daemon itself.
var own = []string{
	"--config", "--merge.interval", "--kafka.brokers", "--kafka.topic", "--kafka.group", "--kafka.feedback_topic", "--kafka.dead_topic", "--retry.topic", "--tenants.dir",
	"--store.dir", "--admin.listen", "--providers.apns.host", "--providers.apns.port", "--providers.fcm.endpoint",
}

// check notes what is wrong with a scenario, all of it.
func (s *Scenario) check(f *faults) {
	s.checkTimes(f)
	if s.Partitions < 1 || s.Partitions > 100 {
		f.at(place{"partitions"}, "partitions is %d, which is not between 1 and 100", s.Partitions)
	}
	if len(s.Groups) == 0 {
		f.at(place{"groups"}, "a scenario needs groups: at least one, with name, devices and rate")
	}
	seen := map[string]bool{}
	for i := range s.Groups {
		g := &s.Groups[i]
		if seen[g.Name] {
			f.at(place{"groups", i, "name"}, "there are two groups named %s", g.Name)
		}
		seen[g.Name] = true
		g.check(f, i, s.Duration)
	}
	s.checkSums(f)
	for i, flag := range s.Daemon {
		name, _, _ := strings.Cut(flag, "=")
		switch {
		case !strings.HasPrefix(flag, "--") || name == flag:
			f.at(place{"daemon", i}, "%q is no flag; write --name=value as for pushd run", flag)
		case slices.Contains(own, name):
			f.at(place{"daemon", i}, "%s is given by the load test itself", name)
		}
	}
	for i, a := range s.Acts {
		if a.After <= 0 || a.After >= s.Duration {
			f.at(place{"acts", i, "after"}, "after is %v, which is not within the %v of the load", a.After, s.Duration)
		}
		if g := s.group(a.Renew); g == nil {
			f.at(place{"acts", i, "renew"}, "there is no group %q", a.Renew)
		} else if g.Providers.APNs == 0 {
			f.at(place{"acts", i, "renew"}, "group %s has no Apple devices, and so no certificates", a.Renew)
		}
	}
	s.checkExpect(f)
}

// checkSums sees to what the groups come to together. Where a group alone is too much, that is told already.
func (s *Scenario) checkSums(f *faults) {
	if f.any() || len(s.Groups) == 0 {
		return
	}
	tenants, devices := 0, 0
	for i := range s.Groups {
		tenants, devices = tenants+s.Groups[i].Tenants, devices+s.Groups[i].Devices
	}
	for _, sum := range []struct {
		what     string
		is, most float64
	}{
		{"groups", float64(len(s.Groups)), maxGroups}, {"tenants", float64(tenants), maxTenants}, {"devices", float64(devices), maxDevices},
		{"events per second", s.peak(), maxRate},
	} {
		if sum.is > sum.most {
			f.at(place{"groups"}, "there are %.0f %s in all, which is more than %.0f", sum.is, sum.what, sum.most)
		}
	}
	if s.mean() <= 0 {
		f.at(place{"groups"}, "no group has a rate: nothing would be published")
	}
	if bytes := promise.TimelineBytes(tenants*providers, s.longest()); bytes > maxTimeline {
		f.at(place{"duration"}, "%d tenants for %v are too much: the seconds of each need %d MB, and there are %d MB for them; take fewer tenants or a shorter duration, drain or interval",
			tenants, s.longest(), bytes>>20, maxTimeline>>20)
	}
}

func (s *Scenario) checkTimes(f *faults) {
	for key, t := range map[string]struct{ is, least, most time.Duration }{
		"duration": {s.Duration, shortestRun, longestRun}, "drain": {s.Drain, time.Second, time.Hour},
		"interval": {s.Interval, 100 * time.Millisecond, time.Hour}, "latency": {s.Latency, 0, 10 * time.Second},
	} {
		if t.is < t.least || t.is > t.most {
			f.at(place{key}, "%s is %v, which is not between %v and %v", key, t.is, t.least, t.most)
		}
	}
}

func (s *Scenario) group(name string) *Group {
	for i := range s.Groups {
		if s.Groups[i].Name == name {
			return &s.Groups[i]
		}
	}
	return nil
}

func (g *Group) check(f *faults, i int, duration time.Duration) {
	wrong := func(key, format string, args ...any) { f.at(place{"groups", i, key}, format, args...) }
	if !groupName.MatchString(g.Name) {
		wrong("name", "a group needs a name of small letters, digits and dashes; %q is none", g.Name)
	}
	if g.Tenants < 1 || g.Tenants > maxTenants {
		wrong("tenants", "tenants is %d, which is not between 1 and %d", g.Tenants, maxTenants)
	}
	if g.Devices < g.Tenants || g.Devices > maxDevices {
		wrong("devices", "devices is %d, which is not between the number of tenants, %d, and %d", g.Devices, g.Tenants, maxDevices)
	}
	if !within(g.Rate, maxRate) {
		wrong("rate", "rate is %g, which is not between 0 and %d events per second", g.Rate, maxRate)
	}
	for j, b := range g.Bursts {
		if !within(b.Rate, maxRate) {
			f.at(place{"groups", i, "bursts", j, "rate"}, "rate is %g, which is not between 0 and %d events per second", b.Rate, maxRate)
		}
		if b.For <= 0 || b.For > duration || b.After < 0 || b.After > duration-b.For {
			f.at(place{"groups", i, "bursts", j, "after"}, "the burst, of %v after %v, is not within the %v of the load", b.For, b.After, duration)
		}
	}
	for key, share := range map[string]float64{"again": g.Again, "duplicates": g.Duplicates, "dead": g.Dead} {
		if !within(share, 1) {
			wrong(key, "%s is %g, and a share is between 0 and 1", key, share)
		}
	}
	if p := g.Providers; !weights(p.APNs, p.FCM) {
		wrong("providers", "a weight is not between 0 and %d", maxWeight)
	}
	if p := g.Priorities; !weights(p.Urgent, p.Normal, p.Bulk) {
		wrong("priorities", "a weight is not between 0 and %d", maxWeight)
	}
	if !within(g.Tenant.Rate, math.MaxFloat64) || g.Tenant.Weight < 0 || g.Tenant.Weight > 100 {
		wrong("tenant", "rate is 0 or more, and weight is 1 to 100")
	}
}

// within says whether a number is one, and from 0 to most.
func within(number, most float64) bool { return number >= 0 && number <= most }

// weights says whether weights can be added up.
func weights(all ...int) bool {
	return !slices.ContainsFunc(all, func(weight int) bool { return weight < 0 || weight > maxWeight })
}

// checkExpect sees that what is expected can be measured.
func (s *Scenario) checkExpect(f *faults) {
	about := func(kind string, i int, group, provider string) {
		if group != "" && s.group(group) == nil {
			f.at(place{"expect", kind, i, "group"}, "there is no group %q", group)
		}
		if provider != "" && provider != "apns" && provider != "fcm" {
			f.at(place{"expect", kind, i, "provider"}, "provider is apns or fcm, not %q", provider)
		}
	}
	when := func(kind string, i int, after, length time.Duration) {
		whole := s.Duration + s.Drain
		if after < 0 || length < time.Second || length > whole || after > whole-length || length%time.Second != 0 || after%time.Second != 0 {
			f.at(place{"expect", kind, i, "after"}, "after and for are whole seconds within the run, not %v and %v", after, length)
		}
	}
	for i, l := range s.Expect.Latency {
		about("latency", i, l.Group, l.Provider)
		if l.P50 <= 0 && l.P99 <= 0 && l.Max <= 0 {
			f.at(place{"expect", "latency", i}, "say p50, p99 or max")
		}
	}
	for i, r := range s.Expect.Rates {
		about("rates", i, r.Group, r.Provider)
		when("rates", i, r.After, r.For)
		if !within(r.Is, math.MaxFloat64) || !(r.Within > 0) {
			f.at(place{"expect", "rates", i}, "say within what part of it the rate is")
		}
		if r.Is == 0 && (r.Group == "" || r.After+r.For > s.Duration) {
			f.at(place{"expect", "rates", i}, "say what the rate is: without it, it is that of a group's events, within the %v of the load", s.Duration)
		}
	}
	for i, r := range s.Expect.Shares {
		about("shares", i, r.Group, "")
		when("shares", i, r.After, r.For)
		if r.Group == "" || !(r.Within > 0) {
			f.at(place{"expect", "shares", i}, "say the group, and within what part of its mean a share is fair")
		}
	}
	if s.Expect.Extra < 0 {
		f.at(place{"expect", "extra"}, "extra is %d, and there are no fewer pushes than none", s.Expect.Extra)
	}
	if after := s.Expect.SeenAfter; after < 0 || after > 0 && len(s.Acts) == 0 {
		f.at(place{"expect", "seen_after"}, "seen_after is %v: say how soon after the acts, of which there are %d, a certificate is in use", after, len(s.Acts))
	}
	for i, m := range s.Expect.Metrics {
		if m.Name == "" || m.Min == nil && m.Max == nil {
			f.at(place{"expect", "metrics", i}, "say the metric's name, and min or max")
		}
	}
}
