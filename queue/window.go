package queue

import (
	"fmt"
	"math/bits"
)

// WindowSize is how many offsets of one partition may lie between the oldest that is not done and the newest taken.
// It bounds the memory of a partition: where the window is full nothing more is taken, and the partition pauses.
// As a bitmap it is 2048 bytes: it always fits into the metadata that Kafka stores with a committed offset (metadata.go).
const WindowSize = 16384

// Window knows which offsets of a partition are done, and so how far Kafka may be told to forget (I1).
//
//	          Watermark                Next
//	 committable  │ open, done, done, open │ not taken yet
//	──────────────┴────────────────────────┴──────────────▶ offset
//	              └──── Used ≤ WindowSize ─┘
//
// It is owned by one goroutine, the shard's.
type Window struct {
	done [WindowSize / 64]uint64 // bit offset%WindowSize; means something from watermark to next, and from next to known

	watermark int64 // the first offset that is not done; next where all are
	next      int64 // the first offset that was not taken
	known     int64 // before it, of the offsets not taken yet, the bits say which are done: an owner before had them done
}

// NewWindow returns a window that goes on where the progress of an owner before ended.
func NewWindow(from Progress) *Window {
	w := &Window{watermark: from.Watermark, next: from.Watermark, known: from.Watermark}
	for i := range int64(WindowSize) {
		if offset := from.Watermark + i; from.Done(offset) {
			w.done[word(offset)] |= bit(offset)
			w.known = offset + 1
		}
	}
	return w
}

// Fits says whether offset can be taken now. An empty window takes any offset from Next on.
func (w *Window) Fits(offset int64) bool {
	return w.watermark == w.next || offset-w.watermark < WindowSize
}

// Take notes that offset was read and is not done; or, where an owner before had it done, that it is, and says so. Offsets
// are taken in rising order. Those left out, because of compaction or as markers of transactions, will never come and are done.
func (w *Window) Take(offset int64) (done bool) {
	if offset < w.next {
		panic(fmt.Sprintf("queue: offset %d is taken after %d", offset, w.next-1))
	}
	if !w.Fits(offset) {
		panic(fmt.Sprintf("queue: offset %d is taken into a full window that begins at %d", offset, w.watermark))
	}
	if w.watermark == w.next {
		w.watermark, w.next = offset, offset
	}
	for ; w.next < offset; w.next++ {
		w.done[word(w.next)] |= bit(w.next)
	}
	w.next = offset + 1
	if offset < w.known && w.done[word(offset)]&bit(offset) != 0 {
		if offset == w.watermark {
			w.advance()
		}
		return true
	}
	w.done[word(offset)] &^= bit(offset)
	return false
}

// Done notes that offset is done. An offset is done once (I3): a second time, or one that was not taken, is a fault of
// the program and panics.
func (w *Window) Done(offset int64) {
	switch {
	case offset >= w.next:
		panic(fmt.Sprintf("queue: offset %d is done but was not taken; the next to be taken is %d", offset, w.next))
	case offset < w.watermark || w.done[word(offset)]&bit(offset) != 0:
		panic(fmt.Sprintf("queue: offset %d is done twice", offset))
	}
	w.done[word(offset)] |= bit(offset)
	if offset == w.watermark {
		w.advance()
	}
}

// advance moves the watermark over all that is done, a word of the bitmap at a time.
func (w *Window) advance() {
	for w.watermark < w.next {
		shift := w.watermark % 64
		run := int64(bits.TrailingZeros64(^(w.done[word(w.watermark)] >> shift)))
		w.watermark = min(w.watermark+run, w.next)
		if run < 64-shift {
			return
		}
	}
}

// Watermark is the next offset to commit: all before it are done.
func (w *Window) Watermark() int64 { return w.watermark }

// Next is the lowest offset that can be taken.
func (w *Window) Next() int64 { return w.next }

// Used is how many offsets the window spans, done or not.
func (w *Window) Used() int { return int(w.next - w.watermark) }

// Progress is how far the partition is done: also of the offsets that are not taken yet, as far as that is known.
func (w *Window) Progress() Progress {
	p := Progress{Watermark: w.watermark}
	end := max(w.next, w.known)
	first, shift := word(w.watermark), w.watermark%64
	for i := range p.done {
		left := end - w.watermark - int64(i)*64 // offsets that this word is about
		if left <= 0 {
			break
		}
		at := (first + int64(i)) % int64(len(w.done))
		p.done[i] = w.done[at]>>shift | w.done[(at+1)%int64(len(w.done))]<<(64-shift)
		if left < 64 {
			p.done[i] &= 1<<left - 1
		}
	}
	return p
}

func word(offset int64) int64 { return offset / 64 % (WindowSize / 64) }

func bit(offset int64) uint64 { return 1 << (offset % 64) }
