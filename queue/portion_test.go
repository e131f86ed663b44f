package queue

import "testing"

func TestAPortion(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	for name, test := range map[string]struct {
		asked, batches, bytes int
		next                  int
		full                  bool
	}{
		"nothing came":        {20000, 0, 0, 20000, false},
		"one event by itself": {20000, 1, 300, 64 * 300, false},
		"one batch that is larger than what was asked":  {8000, 1, 100_000, 16000, true},
		"a backlog of single events":                    {20000, 66, 66 * 300, 64 * 300, true},
		"very small ones":                               {20000, 1, 62, 4 << 10, false},
		"batches become large":                          {20000, 1, 100_000, 40000, true},
		"batches become small":                          {most, 3400, 3400 * 300, 64 * 300, true},
		"large ones, at the end of the log":             {most, 2, 100_000, most, false},
		"larger than what may be asked for":             {most, 1, 3 << 20, most, true},
		"compressed to a fifth, too many in the answer": {96_000, 320, 320 * 1500, 64 * 300, true},
		"compressed to a fifth, as many as wanted":      {64 * 300, 64, 64 * 1500, 64 * 300, true},
	} {
		p := portion{most: most, next: test.asked}
		if full := p.saw(test.batches, test.bytes); p.next != test.next || full != test.full {
			t.Errorf("%s: %d bytes next, full %v; want %d, %v", name, p.next, full, test.next, test.full)
		}
	}
	if p := newPortion(8 << 10); p.next != 8<<10 {
		t.Errorf("with max_bytes of 8 KiB %d are asked for first", p.next)
	}
}

// TestALargeBatchAmongSmallOnesIsNotTakenForMany plays a broker that has one batch of 100 KB, then 4,000 of single events, and so
// on: it sends a large batch whole, however little is asked for.
func TestALargeBatchAmongSmallOnesIsNotTakenForMany(t *testing.T) {
	t.Parallel()
	log := make([]int, 40_010)
	for i := range log {
		log[i] = 370
		if i%4_001 == 0 {
			log[i] = 100_000
		}
	}
	p, answers := newPortion(1<<20), 0
	for at := 0; at < len(log); answers++ {
		batches, bytes := 0, 0
		for at < len(log) && (batches == 0 || bytes+log[at] <= p.next) {
			bytes += log[at]
			batches++
			at++
		}
		if batches > 2*mostBatches {
			t.Errorf("an answer has %d batches", batches)
		}
		p.saw(batches, bytes)
	}
	if most := 2 * len(log) / mostBatches; answers > most {
		t.Errorf("%d answers, more than %d", answers, most)
	}
}
