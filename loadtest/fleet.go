package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"pushd/loadtest/mixture"
	"pushd/loadtest/promise"
	"pushd/queue/event"
)

// fleet is the devices of a scenario, numbered over all groups. A device's name and token have its number in them, so that
// none of them need be kept. The same seed makes the same fleet.
type fleet struct {
	seed    uint64
	groups  []Group
	tenants []mixture.Tenant
	owner   []int // by tenant: its group
	first   []int // by group: its first device
	base    []int // by group: its first tenant
	devices []promise.Device
	dead    map[string]mixture.Fault // by token
}

// The providers' places in classes and lanes.
const (
	onAPNs = iota
	onFCM
	providers
)

var providerNames = [providers]string{"apns", "fcm"}

func newFleet(groups []Group, seed uint64) *fleet {
	f := &fleet{seed: seed, groups: groups, dead: make(map[string]mixture.Fault)}
	rng := rand.New(rand.NewPCG(seed, 0x666c656574))
	for n := range groups {
		g := &groups[n]
		f.first, f.base = append(f.first, len(f.devices)), append(f.base, len(f.tenants))
		for i := range g.Tenants {
			f.tenants, f.owner = append(f.tenants, g.tenant(len(f.tenants), i)), append(f.owner, n)
		}
		for i := range g.Devices {
			provider := onAPNs
			if rng.IntN(g.Providers.APNs+g.Providers.FCM) >= g.Providers.APNs {
				provider = onFCM
			}
			d := promise.Device{Class: n*providers + provider, Lane: (f.base[n]+i%g.Tenants)*providers + provider}
			d.Dead = g.Dead > 0 && rng.Float64() < g.Dead
			f.devices = append(f.devices, d)
			if d.Dead {
				f.dead[f.token(len(f.devices)-1)] = mixture.DeadToken
			}
		}
	}
	return f
}

// tenant is the n-th tenant of all, the i-th of its group.
func (g *Group) tenant(n, i int) mixture.Tenant {
	t := mixture.Tenant{Name: fmt.Sprintf("%s-%04d", g.Name, i), Rate: g.Tenant.Rate, Weight: g.Tenant.Weight}
	if g.Providers.APNs > 0 {
		t.Topic = fmt.Sprintf("com.apple.mgmt.External.%08x-0000-4000-8000-%012x", n, n)
	}
	if g.Providers.FCM > 0 {
		t.Project = fmt.Sprintf("project-%05d", n)
	}
	return t
}

// token is a device's token: its number, and what only the seed knows.
func (f *fleet) token(n int) string {
	rng := rand.New(rand.NewPCG(f.seed, uint64(n)))
	if f.devices[n].Lane%providers == onAPNs {
		return fmt.Sprintf("%08x%08x%016x%016x%016x", n, rng.Uint32(), rng.Uint64(), rng.Uint64(), rng.Uint64())
	}
	return fmt.Sprintf("%08x%014x:APA91b%016x%016x%016x", n, rng.Uint64()>>8, rng.Uint64(), rng.Uint64(), rng.Uint64())
}

// ofToken is the number of the device that has a token.
func (f *fleet) ofToken(token string) (n int, ok bool) {
	return f.number(token[:min(8, len(token))], 16)
}

const devicePrefix = "device-"

// ofDevice is the number of the device of a name.
func (f *fleet) ofDevice(name string) (n int, ok bool) {
	return f.number(name[min(len(devicePrefix), len(name)):], 10)
}

func (f *fleet) number(text string, base int) (int, bool) {
	n, err := strconv.ParseUint(text, base, 32)
	return int(n), err == nil && n < uint64(len(f.devices))
}

// event makes an event for a device.
func (f *fleet) event(n int, number int64, p event.Priority) (key, value []byte) {
	lane := f.devices[n].Lane
	e := event.Event{
		ID: "e-" + strconv.FormatInt(number, 10), Tenant: f.tenants[lane/providers].Name, Device: devicePrefix + strconv.Itoa(n),
		Provider: providerNames[lane%providers], Token: f.token(n), Priority: p, Reason: "load",
	}
	if lane%providers == onAPNs {
		e.PushMagic, e.PushType = "magic-"+strconv.Itoa(n), "mdm"
	}
	return event.Encode(&e)
}

// classes are those of a group and a provider; an empty name is any.
func (f *fleet) classes(group, provider string) func(class int) bool {
	return func(class int) bool {
		return (group == "" || f.groups[class/providers].Name == group) && (provider == "" || providerNames[class%providers] == provider)
	}
}

// lanesOf are the lanes of a group and a provider; an empty name is any.
func (f *fleet) lanesOf(group, provider string) []int {
	var lanes []int
	for t := range f.tenants {
		for p, credential := range [providers]string{f.tenants[t].Topic, f.tenants[t].Project} {
			if credential != "" && f.classes(group, provider)(f.owner[t]*providers+p) {
				lanes = append(lanes, t*providers+p)
			}
		}
	}
	return lanes
}

// tenantsOf are the tenants of a group.
func (f *fleet) tenantsOf(group string) []mixture.Tenant {
	n := slices.IndexFunc(f.groups, func(g Group) bool { return g.Name == group })
	return f.tenants[f.base[n] : f.base[n]+f.groups[n].Tenants]
}

// known are the tenants of a scenario by topic and by project.
func (s *Scenario) known() map[string]string {
	known, n := make(map[string]string), 0
	for i := range s.Groups {
		for j := range s.Groups[i].Tenants {
			t := s.Groups[i].tenant(n, j)
			n++
			for _, of := range []string{t.Topic, t.Project} {
				if of != "" {
					known[of] = t.Name
				}
			}
		}
	}
	return known
}
