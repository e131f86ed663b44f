package simulator

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func TestDelayedAnswersComeWhenTheyAreDue(t *testing.T) {
	t.Parallel()
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	start := time.Unix(1_800_000_000, 0)
	var d delayedAnswers
	now, waiting := start, 0
	for id := uint32(1); id < 5000; id++ {
		due := now.Add(time.Duration(random.IntN(4)) * time.Millisecond) // many at the same time
		earliest, any := d.first()
		if first := d.add(delayedAnswer{due: due, id: id}); first != (!any || due.Before(earliest.due)) {
			t.Fatalf("seed %d: answer %d is the first: %v", seed, id, first)
		}
		waiting++
		for random.IntN(2) == 0 && waiting > 0 {
			next, _ := d.first()
			if a := d.take(); a != next || a.due.Before(now) {
				t.Fatalf("seed %d: %v is taken at %v, and the first is %v", seed, a, now, next)
			}
			now, waiting = next.due, waiting-1
		}
	}
	var last delayedAnswer
	for a, ok := d.first(); ok; a, ok = d.first() {
		if d.take(); a.due.Before(last.due) || a.due.Equal(last.due) && a.id < last.id {
			t.Fatalf("seed %d: %v comes after %v", seed, a, last)
		}
		last, waiting = a, waiting-1
	}
	if waiting != 0 {
		t.Error(fmt.Sprint("seed ", seed, ": ", waiting, " answers are lost"))
	}
}
