package queue

import (
	"cmp"
	"slices"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// transactions knows which batches of an answer belong to transactions that were aborted. A broker sends those along, also to
// one who reads what is committed only, and beside them where each of these transactions begins.
type transactions struct {
	aborted []fetch.ResponseTransaction // those that begin further on, in order
	open    map[int64]bool              // producers whose transaction was aborted, and has no marker yet
}

func newTransactions(aborted []fetch.ResponseTransaction) *transactions {
	slices.SortFunc(aborted, func(a, b fetch.ResponseTransaction) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return &transactions{aborted: aborted}
}

// committed says whether the records of a batch are to be acted on. It is asked about each batch, in order.
func (t *transactions) committed(batch protocol.RecordReader) bool {
	switch b := batch.(type) {
	case *protocol.ControlBatch: // the marker that ends its producer's transaction
		delete(t.open, b.ProducerID)
		return false
	case *protocol.RecordBatch:
		for len(t.aborted) > 0 && t.aborted[0].FirstOffset <= b.BaseOffset {
			if t.open == nil {
				t.open = map[int64]bool{}
			}
			t.open[t.aborted[0].ProducerID] = true
			t.aborted = t.aborted[1:]
		}
		return !b.Attributes.Transactional() || !t.open[b.ProducerID]
	default: // a format older than transactions
		return true
	}
}
