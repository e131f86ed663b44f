package queue

import (
	"context"
	"time"

	"pushd/queue/event"
)

// Record is one record of a topic as it was read. Its slices belong to whoever holds the Record, until Release; nobody writes
// to them.
type Record struct {
	Partition int32
	Offset    int64
	Key       []byte
	Value     []byte // nil is a tombstone
	Headers   []event.Header
	Time      time.Time // the record's Kafka timestamp
	Cut       event.Cut // what is not held, because no event is that large

	piece *piece // what key and value lie in; nil where that is not used again
}

// Release gives back the memory of key and value, which must not be looked at any more. It is called once at most, for one
// copy of the Record; where it is not called the collector has to do it.
func (r *Record) Release() {
	if r.piece != nil {
		r.piece.add(-1)
		r.piece = nil
	}
}

// Message is one record to be published.
type Message struct {
	Topic     string
	Partition *int32 // nil: the key chooses
	Key       []byte
	Value     []byte // nil is a tombstone
	Headers   []event.Header
}

// Assignment is a partition that the group gave to this process for one generation.
type Assignment struct {
	Partition  int32
	Generation int32
	Topic      TopicID  // zero where the brokers do not tell
	From       Progress // what is done already; records are handed over from its watermark on
	Committed  bool     // the group has committed in this partition before
}

// Owner is who takes the records of an assigned partition, for one generation. The dispatcher's tenure is one.
//
// Calls come from one goroutine in the order Take…, Release; Progress may be called from any other at any time.
type Owner interface {
	// Take hands over a batch in offset order. It blocks while the owner is full (this is how a partition is paused)
	// and returns ctx's error when that ends first; then none of the batch counts as taken.
	// The slice is the caller's again afterwards, the records' contents are the owner's, who may Release them.
	Take(ctx context.Context, batch []Record) error

	// Release ends the ownership: it begins nothing new, waits until what is under way is settled and in the ledger,
	// or until ctx ends, and returns. After it the progress does not change any more (I4).
	Release(ctx context.Context)

	// Progress says what is done and durable: everything before the watermark, which can be committed (I1), and what is
	// done beyond it. Who gets it does not write to it; where nothing has changed it is the same as before.
	Progress() *Progress
}
