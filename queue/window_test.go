package queue

import (
	"math/rand/v2"
	"testing"
)

// windowModel is what a Window promises, written the slow way.
type windowModel struct {
	open            map[int64]bool // taken and not done
	watermark, next int64
}

func (m *windowModel) take(offset int64) {
	m.open[offset] = true
	m.next = offset + 1
	m.settle()
}

func (m *windowModel) finish(offset int64) {
	delete(m.open, offset)
	m.settle()
}

func (m *windowModel) settle() {
	for m.watermark < m.next && !m.open[m.watermark] {
		m.watermark++
	}
}

// againstModel reads choices from random and applies them to a window and to its model.
// It returns how often the window was full, so that a caller can see that the run meant something.
func againstModel(t *testing.T, start int64, steps int, random func(n int) int) (full int) {
	t.Helper()
	w := NewWindow(At(start))
	m := &windowModel{open: map[int64]bool{}, watermark: start, next: start}
	var open []int64
	for range steps {
		switch choice := random(100); {
		case choice < 55:
			offset := m.next
			if random(10) == 0 {
				offset += int64(random(2 * WindowSize))
			}
			fits := m.watermark == m.next || offset < m.watermark+WindowSize
			if w.Fits(offset) != fits {
				t.Fatalf("Fits(%d) = %v with watermark %d and next %d", offset, !fits, m.watermark, m.next)
			}
			if !fits {
				full++
				continue
			}
			w.Take(offset)
			m.take(offset)
			open = append(open, offset)
		case len(open) > 0:
			i := 0
			if choice < 90 { // the rest finish at the head
				i = random(len(open))
			}
			w.Done(open[i])
			m.finish(open[i])
			open[i] = open[len(open)-1]
			open = open[:len(open)-1]
		}
		if w.Watermark() != m.watermark || w.Next() != m.next || w.Used() != int(m.next-m.watermark) {
			t.Fatalf("watermark %d, next %d, used %d; the model says %d, %d",
				w.Watermark(), w.Next(), w.Used(), m.watermark, m.next)
		}
	}
	for _, offset := range open {
		w.Done(offset)
	}
	if w.Watermark() != w.Next() {
		t.Fatalf("all are done, but the watermark is %d and next is %d", w.Watermark(), w.Next())
	}
	return full
}

func TestWindowBehavesAsItsModelUnderRandomOrder(t *testing.T) {
	t.Parallel()
	full := 0
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		full += againstModel(t, random.Int64N(1<<40), 5000, random.IntN)
	}
	if full == 0 {
		t.Error("no run filled the window: the test shows too little")
	}
}

func FuzzWindow(f *testing.F) {
	f.Add(int64(0), []byte{0, 1, 0, 1, 60, 0, 60, 0})
	f.Add(int64(1<<40-3), []byte{0, 0, 255, 255, 99, 0, 0, 7})
	f.Fuzz(func(t *testing.T, start int64, choices []byte) {
		if start < 0 || start > 1<<60 {
			t.Skip("no offset of a real partition")
		}
		next := 0
		againstModel(t, start, len(choices), func(n int) int {
			if len(choices) == 0 {
				return 0
			}
			value := int(choices[next%len(choices)])<<8 | int(choices[(next+1)%len(choices)])
			next++
			return value % n
		})
	})
}

func TestWindowFillsExactlyAtItsSizeAndTakesAgainWhenTheHeadIsDone(t *testing.T) {
	t.Parallel()
	w := NewWindow(At(100))
	for offset := int64(100); offset < 100+WindowSize; offset++ {
		if !w.Fits(offset) {
			t.Fatalf("offset %d does not fit", offset)
		}
		w.Take(offset)
	}
	if w.Fits(w.Next()) {
		t.Fatal("a full window has room")
	}
	for offset := int64(101); offset < 100+WindowSize; offset++ {
		w.Done(offset)
	}
	if w.Watermark() != 100 || w.Fits(w.Next()) {
		t.Fatalf("the head is open, but the watermark is %d and there is room", w.Watermark())
	}
	w.Done(100)
	if w.Watermark() != 100+WindowSize || w.Used() != 0 || !w.Fits(w.Next()) {
		t.Fatalf("all are done: watermark %d, used %d", w.Watermark(), w.Used())
	}
}

func TestWindowCountsSkippedOffsetsAsDone(t *testing.T) {
	t.Parallel()
	w := NewWindow(At(0))
	w.Take(5) // 0 to 4 were compacted
	if w.Watermark() != 5 {
		t.Errorf("watermark %d, want 5", w.Watermark())
	}
	w.Take(9)
	w.Done(5)
	if w.Watermark() != 9 {
		t.Errorf("watermark %d, want 9: 6 to 8 will never come", w.Watermark())
	}
	w.Done(9)
	far := w.Next() + 10*WindowSize
	if !w.Fits(far) {
		t.Fatal("an empty window refuses a far offset")
	}
	w.Take(far)
	if w.Watermark() != far || w.Used() != 1 {
		t.Errorf("watermark %d, used %d after a far offset %d", w.Watermark(), w.Used(), far)
	}
}

func TestWindowPanicsOnWhatCannotHappen(t *testing.T) {
	t.Parallel()
	taken := func() *Window {
		w := NewWindow(At(10))
		w.Take(10)
		w.Take(11)
		return w
	}
	tests := map[string]func(w *Window){
		"done twice above the watermark": func(w *Window) { w.Done(11); w.Done(11) },
		"done twice below the watermark": func(w *Window) { w.Done(10); w.Done(10) },
		"done before it was taken":       func(w *Window) { w.Done(12) },
		"done before the window began":   func(w *Window) { w.Done(9) },
		"a skipped offset is done":       func(w *Window) { w.Take(20); w.Done(15) },
		"taken twice":                    func(w *Window) { w.Take(11) },
		"taken into a full window":       func(w *Window) { w.Take(10 + WindowSize) },
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			fault(taken())
		})
	}
}

func TestAWindowGoesOnWhereTheOneBeforeEnded(t *testing.T) {
	t.Parallel()
	known, again := 0, 0
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 2))
		start := random.Int64N(1 << 40)
		done := map[int64]bool{} // of every owner, for ever
		w := NewWindow(At(start))
		for range 4 {
			open := map[int64]bool{}
			for range random.IntN(3 * WindowSize) {
				if offset := w.Next(); w.Fits(offset) && random.IntN(2) == 0 {
					was := w.Take(offset)
					if was != done[offset] {
						t.Fatalf("seed %d: Take(%d) says %v", seed, offset, was)
					}
					if was {
						known++
						continue
					}
					open[offset] = true
				}
				for offset := range open { // some, in no order
					if random.IntN(3) > 0 {
						w.Done(offset)
						done[offset] = true
						delete(open, offset)
					}
					break
				}
			}
			p := w.Progress()
			for offset := start; offset < p.Watermark+WindowSize; offset++ {
				if p.Done(offset) != done[offset] {
					t.Fatalf("seed %d: Done(%d) is %v with watermark %d", seed, offset, p.Done(offset), p.Watermark)
				}
			}
			again += len(open)
			w = NewWindow(p)
		}
	}
	if known == 0 || again == 0 {
		t.Errorf("%d offsets were known to be done, %d were taken again: the test shows too little", known, again)
	}
}

// One offset taken and done, with 1000 under way, done in another order than taken.
func BenchmarkWindow(b *testing.B) {
	w := NewWindow(At(0))
	const underWay = 1000
	for range underWay {
		w.Take(w.Next())
	}
	b.ReportAllocs()
	offset := int64(0)
	for b.Loop() {
		w.Done(offset ^ 1) // in pairs, the second first
		offset++
		w.Take(w.Next())
	}
}
