package main

import "testing"

func TestTheCollectorHasItsHeadroomWhateverIsInUse(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{
		0:         400, // before the first collection
		32 << 20:  400,
		128 << 20: 100,
		512 << 20: 25,
		4 << 30:   20,
	} {
		if got := collectorPercent(live); got != want {
			t.Errorf("with %d MB: %d, want %d", live>>20, got, want)
		}
	}
	if liveHeap() > 1<<40 {
		t.Error("the runtime's figure cannot be right")
	}
}
