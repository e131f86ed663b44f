package dispatcher

// fifo is a queue that reuses its memory.
type fifo[T any] struct {
	items []T
	head  int
}

// fifoSlack is how many places in front of the head are left unused until the queue is moved, if they are more than half.
const fifoSlack = 1024

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) first() T { return f.items[f.head] }

// all are the items, the oldest first, until the next push.
func (f *fifo[T]) all() []T { return f.items[f.head:] }

func (f *fifo[T]) push(item T) {
	if f.head > 0 && f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	} else if f.head > fifoSlack && f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, item)
}

func (f *fifo[T]) pop() T {
	item := f.items[f.head]
	var none T
	f.items[f.head] = none
	f.head++
	return item
}

// drop pops n items.
func (f *fifo[T]) drop(n int) {
	clear(f.items[f.head : f.head+n])
	f.head += n
}
