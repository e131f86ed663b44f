package main

import (
	"testing"
	"time"

	"pushd/loadtest/mixture"
	"pushd/queue/event"
)

func TestADeviceIsKnownAgainByItsTokenAndItsName(t *testing.T) {
	t.Parallel()
	groups := []Group{
		{Name: "a", Tenants: 3, Devices: 500, Providers: Providers{1, 1}, Dead: 0.5},
		{Name: "b", Tenants: 2, Devices: 100, Providers: Providers{APNs: 1}},
	}
	f := newFleet(groups, 5)
	tokens := map[string]bool{}
	for n := range f.devices {
		key, value := f.event(n, int64(n), event.Urgent)
		e, err := event.Decode(key, value, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		byToken, _ := f.ofToken(e.Token)
		byName, _ := f.ofDevice(e.Device)
		if byToken != n || byName != n || e.Priority != event.Urgent || tokens[e.Token] {
			t.Fatalf("device %d is taken for %d by its token, for %d by its name", n, byToken, byName)
		}
		tokens[e.Token] = true
		if dead := f.dead[e.Token] == mixture.DeadToken; dead != f.devices[n].Dead {
			t.Errorf("device %d: dead %v, in the faults %v", n, f.devices[n].Dead, dead)
		}
		if lane := f.devices[n].Lane; f.tenants[lane/providers].Name != e.Tenant || providerNames[lane%providers] != e.Provider {
			t.Errorf("device %d is in the lane of %s, %s", n, f.tenants[lane/providers].Name, providerNames[lane%providers])
		}
	}
	if share := float64(len(f.dead)) / 500; share < 0.4 || share > 0.6 {
		t.Errorf("%v of the tokens are dead", share)
	}
	for _, name := range []string{"", "device-", "device-600", "zz", "-1"} {
		if n, ok := f.ofDevice(name); ok {
			t.Errorf("%q is device %d", name, n)
		}
	}
	if lanes := [][]int{f.lanesOf("a", ""), f.lanesOf("b", ""), f.lanesOf("", "fcm")}; len(lanes[0]) != 6 || len(lanes[1]) != 2 || len(lanes[2]) != 3 {
		t.Errorf("lanes: %v", lanes)
	}
	if tenants := f.tenantsOf("b"); len(tenants) != 2 || tenants[0].Name != "b-0000" {
		t.Errorf("tenants of b: %v", tenants)
	}
}
