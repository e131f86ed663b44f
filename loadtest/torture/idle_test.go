package main

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// What the pools may keep is no leak; one more is.
func TestWhatTheTroublesLeaveIsALeak(t *testing.T) {
	t.Parallel()
	before := idle{providers: 23, kafka: 21, descriptors: 21, goroutines: 83}
	for name, c := range map[string]struct {
		after  idle
		passes bool
	}{
		"nothing":                          {before, true},
		"more connections to providers":    {idle{providers: 60, kafka: 21, descriptors: 21, goroutines: 83}, true},
		"less":                             {idle{providers: 2, kafka: 2, descriptors: 2, goroutines: 2}, true},
		"all that may be":                  {idle{providers: 23, kafka: 45, descriptors: 25, goroutines: 87}, true},
		"a connection to Kafka too many":   {idle{providers: 23, kafka: 46, descriptors: 21, goroutines: 83}, false},
		"another descriptor too many":      {idle{providers: 23, kafka: 21, descriptors: 26, goroutines: 83}, false},
		"a goroutine too many":             {idle{providers: 23, kafka: 21, descriptors: 21, goroutines: 88}, false},
		"one for each restart of a broker": {idle{providers: 23, kafka: 21, descriptors: 21, goroutines: 83 + 6}, false},
	} {
		var r Report
		r.leaks(before, c.after)
		if r.conclude(); r.Passed != c.passes {
			t.Errorf("%s: passed is %v: %+v", name, r.Passed, r.Checks)
		}
	}
}

func TestMemoryMayGrowByItsHeadroomOrATenth(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, to float64
		passes   bool
	}{
		"flat": {90, 90, true}, "headroom": {90, 121, true}, "beyond it": {90, 123, false},
		"a tenth": {1000, 1100, true}, "more than a tenth": {1000, 1120, false},
	} {
		var r Report
		var memory trend
		for i := range 101 {
			memory.add(time.Duration(i)*time.Second, c.from+(c.to-c.from)*float64(i)/100)
		}
		r.grows(&memory)
		if r.conclude(); r.Passed != c.passes {
			t.Errorf("%s: passed is %v: %+v", name, r.Passed, r.Checks)
		}
	}
}

func TestConnectionsAreCountedByWhereTheyLead(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	self, err := procfs.NewProc(os.Getpid())
	if err != nil {
		t.Skip("there is no /proc here")
	}
	for want := range 3 {
		descriptors, err := self.FileDescriptorTargets()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := connectionsTo(listener.Addr().String(), descriptors); got != want || err != nil {
			t.Errorf("%d connections are counted, there are %d (%v)", got, want, err)
		}
		dialed, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer dialed.Close()
	}
}
