package main

import "testing"

func TestTheCollectorHasItsHeadroomWhateverIsInUse(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{
		0:         400, // before the first collection
		64 << 20:  400,
		128 << 20: 200,
		512 << 20: 50,
		600 << 20: 28, // 168 MB
		640 << 20: 20, // 128 MB
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
