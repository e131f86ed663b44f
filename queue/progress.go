package queue

import "math/bits"

// Progress is how far a partition is done.
type Progress struct {
	Watermark int64 // the next offset to commit: all before it are done

	done [WindowSize / 64]uint64 // bit i: offset Watermark+i is done
}

// At is the progress of a partition of which all before an offset is done, and nothing else.
func At(offset int64) Progress { return Progress{Watermark: offset} }

// Done says whether an offset is done.
func (p *Progress) Done(offset int64) bool {
	i := offset - p.Watermark
	return i < 0 || i < WindowSize && p.done[i/64]&(1<<(i%64)) != 0
}

// Beyond is how many offsets beyond the watermark are done.
func (p *Progress) Beyond() (n int) {
	for _, word := range p.done {
		n += bits.OnesCount64(word)
	}
	return n
}
