package main

import "testing"

func TestTheCollectorHasItsHeadroom(t *testing.T) {
	t.Parallel()
	const busy, quiet = 100 << 20, 500 << 10 // bytes allocated in a second
	for _, test := range []struct {
		live, pace uint64
		want       uint64 // MB of headroom
	}{
		{8 << 20, busy, 256},
		{64 << 20, busy, 256},
		{512 << 20, busy, 256},
		{600 << 20, busy, 168},
		{640 << 20, busy, 128},
		{4 << 30, busy, 819}, // leastPercent
		{8 << 20, quiet, 32},
		{10 << 20, 8 << 20, 80},
		{128 << 20, quiet, 32},
		{640 << 20, quiet, 128},
	} {
		percent := uint64(collectorPercent(test.live, test.pace))
		if got := test.live * percent / 100 >> 20; got != test.want {
			t.Errorf("with %d MB, %d kB a second: %d%%, so %d MB, want %d", test.live>>20, test.pace>>10, percent, got, test.want)
		}
	}
	if got := collectorPercent(0, busy); got != 3200 { // of the runtime's 4 MB
		t.Errorf("before the first collection: %d%%", got)
	}
	if live, allocated := heap(); live > 1<<40 || allocated == 0 || allocated > 1<<40 {
		t.Errorf("the runtime's figures cannot be right: %d, %d", live, allocated)
	}
}
