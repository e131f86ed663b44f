package main

import (
	"testing"
	"time"

	"pushd/queue/event"
)

func TestTheBacklogIsOfWakesThatTheDaemonTakes(t *testing.T) {
	t.Parallel()
	devices, tokens := map[string]bool{}, map[string]bool{}
	for n := range 100 {
		key, value := event.Encode(wakeOf(n))
		e, err := event.Decode(key, value, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != event.Wake || e.Tenant != tenant || e.PushMagic != magic {
			t.Errorf("%+v", e)
		}
		devices[e.Device], tokens[e.Token] = true, true
	}
	if len(devices) != 100 || len(tokens) != 100 {
		t.Errorf("100 wakes are for %d devices with %d tokens", len(devices), len(tokens))
	}
}
