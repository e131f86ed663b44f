package store

import (
	"errors"
	"fmt"
	"sync"
)

// ErrBroken: the disk does not take what the ledger writes. Only a new process can go on with what is on the disk.
var ErrBroken = errors.New("the ledger cannot be written; make room on its disk or mend it, and start again")

// fault is what the ledger cannot go on after: a write that its disk did not take, or what Pebble gives up at. It happens
// once, in whichever goroutine comes upon it, and is never over.
type fault struct {
	once     sync.Once
	happened chan struct{}
	reason   any // written before happened is closed
}

func newFault() *fault { return &fault{happened: make(chan struct{})} }

func (f *fault) happen(reason any) {
	f.once.Do(func() {
		f.reason = reason
		close(f.happened)
	})
}

// err is ErrBroken with its reason, or nil.
func (f *fault) err() error {
	select {
	case <-f.happened:
		if err, is := f.reason.(error); is {
			return fmt.Errorf("%w: %w", ErrBroken, err)
		}
		return fmt.Errorf("%w: %v", ErrBroken, f.reason)
	default:
		return nil
	}
}

// call does what may write. What was written when a fault happened does not count, whatever Pebble thinks of it.
func (f *fault) call(do func() error) (err error) {
	if err := f.err(); err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			f.happen(r)
		}
		if broken := f.err(); broken != nil {
			err = broken
		}
	}()
	return do()
}
