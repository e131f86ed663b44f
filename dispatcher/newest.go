package dispatcher

// newest counts the bad ones among the newest of a sequence, of which so many are remembered that count of them are
// ratio of all. Only the bad cost memory.
type newest[T comparable] struct {
	size int // how many are remembered
	seen int // of all
	bads []bad[T]
}

// bad is a bad one, and its place in the sequence.
type bad[T comparable] struct {
	at   int
	what T
}

func newNewest[T comparable](count int, ratio float64) newest[T] {
	return newest[T]{size: int(float64(count) / ratio)}
}

func (n *newest[T]) good(times int) {
	n.seen += times
	n.forget()
}

func (n *newest[T]) bad(what T) {
	n.seen++
	n.bads = append(n.bads, bad[T]{n.seen, what})
	n.forget()
}

func (n *newest[T]) forget() {
	for len(n.bads) > 0 && n.bads[0].at <= n.seen-n.size {
		n.bads = n.bads[1:]
	}
}

// has says whether this one is among the bad.
func (n *newest[T]) has(what T) bool {
	for i := range n.bads {
		if n.bads[i].what == what {
			return true
		}
	}
	return false
}

// count is how many are bad, and length how many are remembered.
func (n *newest[T]) count() int  { return len(n.bads) }
func (n *newest[T]) length() int { return min(n.seen, n.size) }

// since is how many good ones came after the newest bad one, or are remembered where there is none.
func (n *newest[T]) since() int {
	if len(n.bads) == 0 {
		return n.length()
	}
	return n.seen - n.bads[len(n.bads)-1].at
}

// share is the part of those remembered that is bad; 0 where there are none.
func (n *newest[T]) share() float64 { return float64(len(n.bads)) / float64(max(1, n.length())) }
