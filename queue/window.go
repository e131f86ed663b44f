package queue

import (
	"fmt"
	"math/bits"
)

// WindowSize is how many offsets of one partition may lie between the oldest that is not done and the newest taken.
// It bounds the memory of a partition: where the window is full nothing more is taken, and the partition pauses.
// As a bitmap it is 2048 bytes, 2732 characters in base64: it would fit into the 4096 characters of metadata that Kafka
// stores with a committed offset, and that is the place for it, should the duplicates after a crash ever be too many.
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
	done [WindowSize / 64]uint64 // bit offset%WindowSize; means something from watermark to next only

	watermark int64 // the first offset that is not done; next where all are
	next      int64 // the first offset that was not taken
}

// NewWindow returns a window of a partition whose first offset to be taken is next, or higher.
func NewWindow(next int64) *Window {
	return &Window{watermark: next, next: next}
}

// Fits says whether offset can be taken now. An empty window takes any offset from Next on.
func (w *Window) Fits(offset int64) bool {
	return w.watermark == w.next || offset-w.watermark < WindowSize
}

// Take notes that offset was read and is not done. Offsets are taken in rising order. Those left out, because of
// compaction or as markers of transactions, will never come and are done.
func (w *Window) Take(offset int64) {
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
	w.done[word(offset)] &^= bit(offset)
	w.next = offset + 1
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

func word(offset int64) int64 { return offset / 64 % (WindowSize / 64) }

func bit(offset int64) uint64 { return 1 << (offset % 64) }
