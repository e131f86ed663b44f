package queue

const (
	// mostBatches is how many batches of records an answer of the broker should have. kafka-go takes 64 KiB of memory for each,
	// however small it is, until the answer is read. Where events are published one by one a batch is one event of 300
	// bytes, and a megabyte of them would take 200 MB: for each partition, and each time that there is a backlog.
	mostBatches = 64
	// firstPortion is asked for while it is not known how large the batches are.
	firstPortion = 16 << 10
	// leastPortion is asked for at least. A broker sends a batch that is larger, but nothing behind it (KIP-74).
	leastPortion = 4 << 10
	// batchOverhead and recordOverhead are what there is besides keys, values and headers: Apache Kafka's record batch, version 2.
	batchOverhead, recordOverhead = 61, 8
)

// portion is how many bytes of a partition are asked for at once: as many as mostBatches take that are like those of the last
// answer, not more than most, which is the operator's, and not more than twice what was asked for last: one large batch among
// small ones says little of those behind it.
type portion struct {
	most int
	next int
}

func newPortion(most int) portion { return portion{most: most, next: min(firstPortion, most)} }

// saw notes what the answer had, and says whether it is likely that the broker has more: the answer is about as large as
// what was asked for. What was compressed is larger than it was in the answer: then it is the number of batches that counts.
func (p *portion) saw(batches, bytes int) (full bool) {
	if batches == 0 {
		return false
	}
	asked := p.next
	p.next = max(leastPortion, min(p.most, 2*asked, mostBatches*bytes/batches, mostBatches*asked/batches))
	return 2*bytes >= asked
}
