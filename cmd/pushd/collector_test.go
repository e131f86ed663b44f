package main

import "testing"

func TestTheCollectorHasItsHeadroom(t *testing.T) {
	t.Parallel()
	const busy, quiet = 100 << 20, 500 << 10 // bytes allocated in a second
	for _, test := range []struct {
		live, pace uint64
		want       int
	}{
		{0, busy, 400}, // before the first collection
		{64 << 20, busy, 400},
		{128 << 20, busy, 200},
		{512 << 20, busy, 50},
		{600 << 20, busy, 28}, // 168 MB
		{640 << 20, busy, 20}, // 128 MB
		{4 << 30, busy, 20},
		{0, quiet, 50},           // idleHeadroom
		{10 << 20, 8 << 20, 125}, // 80 MB
		{128 << 20, quiet, 25},
		{640 << 20, quiet, 20},
	} {
		if got := collectorPercent(test.live, test.pace); got != test.want {
			t.Errorf("with %d MB, %d kB a second: %d, want %d", test.live>>20, test.pace>>10, got, test.want)
		}
	}
	if live, allocated := heap(); live > 1<<40 || allocated == 0 || allocated > 1<<40 {
		t.Errorf("the runtime's figures cannot be right: %d, %d", live, allocated)
	}
}
