package store

import "math/bits"

// table is a hash table of 64-bit keys with 32-bit values, which are points of a circular time. What is too old counts
// as absent: its place is reused, or left out when its segment is copied, and nothing ever sweeps.
//
// It is made for millions of entries: 12 bytes a slot, a load of 0.64 to 0.8, no pointers for the garbage collector to
// follow, and 64 segments that grow by a quarter, each when it is full, so that growing neither takes long nor
// needs the memory twice. Linear probing finds most keys in one cache line.
type table struct {
	segments [64]segment
	mask     uint32 // the bits of a value that belong to the key: a slot is the key's only if they are equal too
	used     int    // slots that are not empty
}

type segment struct {
	slots   []slot
	used    int
	copied  uint64 // span.low when the segment was last copied
	touched uint64 // span.low when it was last used
}

// slot is empty where its key is 0. Two halves keep it at 12 bytes.
type slot struct {
	hi, lo uint32
	val    uint32
}

// span is the stretch of time whose values are alive: [low, low+width]. Values are the low 32 bits of a time.
type span struct {
	low   uint64
	width uint32
}

func (s span) holds(val uint32) bool { return val-uint32(s.low) <= s.width }

// dead is a value that is not alive, and becomes no more so than one that expired.
func (s span) dead() uint32 { return uint32(s.low) - 1 }

// quarter of the circle: a segment not used for so long is dropped, and one not copied for so long is copied, before a
// value in it can be taken for one of a later turn.
const quarter = 1 << 30

// segment returns the key's segment, free of values from an earlier turn of the circle.
func (t *table) segment(key uint64, s span) *segment {
	g := &t.segments[key>>58]
	if idle := int64(s.low - g.touched); idle > quarter || idle < -quarter {
		t.used -= g.used
		*g = segment{copied: s.low}
	} else if past := int64(s.low - g.copied); past > quarter || past < -quarter {
		t.copy(g, s)
	}
	g.touched = s.low
	return g
}

// find returns the key's slot, alive or not, or nil.
func (t *table) find(key uint64, tag uint32, s span) *slot {
	g := t.segment(key, s)
	if len(g.slots) == 0 {
		return nil
	}
	hi, lo := uint32(key>>32), uint32(key)
	for i := g.home(key); ; {
		c := &g.slots[i]
		if c.hi == hi && c.lo == lo && (c.val^tag)&t.mask == 0 {
			return c
		}
		if c.hi|c.lo == 0 {
			return nil
		}
		if i++; i == len(g.slots) {
			i = 0
		}
	}
}

// place returns the key's slot, or one made for it, which is not alive. The caller sets its value at once.
func (t *table) place(key uint64, tag uint32, s span) *slot {
	g := t.segment(key, s)
	if len(g.slots) == 0 {
		t.copy(g, s)
	}
	hi, lo := uint32(key>>32), uint32(key)
	var free *slot
	for i := g.home(key); ; {
		c := &g.slots[i]
		switch {
		case c.hi|c.lo == 0:
			if free == nil {
				if (g.used+1)*5 > len(g.slots)*4 {
					t.copy(g, s)
					return t.place(key, tag, s)
				}
				free = c
				g.used++
				t.used++
			}
			*free = slot{hi, lo, s.dead()}
			return free
		case c.hi == hi && c.lo == lo && (c.val^tag)&t.mask == 0:
			return c
		case free == nil && !s.holds(c.val):
			free = c
		}
		if i++; i == len(g.slots) {
			i = 0
		}
	}
}

// warm reads where probing for a key begins.
func (t *table) warm(key uint64) uint32 {
	g := &t.segments[key>>58]
	if len(g.slots) == 0 {
		return 0
	}
	return g.slots[g.home(key)].lo
}

// copy moves what is alive to new slots, a quarter more of them if that is needed, so that there is room for one more.
func (t *table) copy(g *segment, s span) {
	alive := 0
	for i := range g.slots {
		if c := &g.slots[i]; c.hi|c.lo != 0 && s.holds(c.val) {
			alive++
		}
	}
	size := len(g.slots)
	if need := alive + 1; need*25 > size*16 || need*5 < size {
		size = max(8, need*25/16+1)
	}
	old := g.slots
	g.slots = make([]slot, size)
	for i := range old {
		c := &old[i]
		if c.hi|c.lo == 0 || !s.holds(c.val) {
			continue
		}
		to := g.home(uint64(c.hi)<<32 | uint64(c.lo))
		for g.slots[to].hi|g.slots[to].lo != 0 {
			if to++; to == size {
				to = 0
			}
		}
		g.slots[to] = *c
	}
	t.used += alive - g.used
	g.used, g.copied = alive, s.low
}

// home is where probing for a key begins: its bits below the segment's, scaled to the number of slots, which
// therefore can be any.
func (g *segment) home(key uint64) int {
	hi, _ := bits.Mul64(key<<6, uint64(len(g.slots)))
	return int(hi)
}

func (t *table) bytes() int {
	n := 0
	for i := range t.segments {
		n += len(t.segments[i].slots) * 12
	}
	return n
}
