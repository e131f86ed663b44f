package queue

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"pushd/queue/event"
)

// eachRecord gives the records of a fetch's answer to take, until take says false, and returns the offset to go on at, and
// how many bytes it has read, as they are uncompressed. It leaves out what is before from, because a broker answers with
// whole batches, the markers of transactions, and what belongs to those that were aborted.
func eachRecord(stream *protocol.RecordStream, aborted []fetch.ResponseTransaction, partition int32, from int64, take func(Record) bool) (next int64, bytes int, err error) {
	next = from
	var data room
	defer data.leave()
	transactions := newTransactions(aborted)
	for _, batch := range stream.Records {
		committed := transactions.committed(batch)
		bytes += batchOverhead
		for {
			r, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return next, bytes, err
			}
			bytes += recordOverhead + size(r.Key) + size(r.Value) + bytesOf(r.Headers)
			record, err := recordOf(r, partition, &data)
			if err != nil {
				return next, bytes, err
			}
			if record.Offset < next {
				continue
			}
			next = record.Offset + 1
			if committed && !take(record) {
				return next, bytes, nil
			}
		}
	}
	return next, bytes, nil
}

// room is memory for the records of one answer, in pieces of several records.
type room struct {
	piece *piece
	rest  []byte // of the piece
	taken int64  // records that lie in it
}

// piece is memory that is used again when all records in it are released. It lives as long as one of them: so it is not large, as
// a dead letter may wait for its broker.
type piece struct {
	data [pieceOfRoom]byte
	held atomic.Int64 // records in it that are not released; less while it is filled, for those taken are counted when it is left
}

const pieceOfRoom = 16 << 10

var pieces = sync.Pool{New: func() any { return new(piece) }}

// add counts records in or out. Where none is left the memory is cleared, so that no token stays in it, and who looks at a
// record that was released finds nothing, and not another's.
func (p *piece) add(records int64) {
	if p.held.Add(records) == 0 {
		clear(p.data[:])
		pieces.Put(p)
	}
}

// Reread returns records as they are read from a broker: in memory that is used again when they are released. It is for tests of
// whoever takes records: what it looks at too late is gone.
func Reread(records ...Record) []Record {
	var data room
	defer data.leave()
	again := slices.Clone(records)
	for i := range again {
		r := &again[i]
		var held []byte
		held, r.piece = data.take(len(r.Key) + len(r.Value))
		if r.Key != nil {
			r.Key = append(held[:0:len(r.Key)], r.Key...)
		}
		if r.Value != nil {
			r.Value = append(held[len(r.Key):len(r.Key)], r.Value...)
		}
	}
	return again
}

// take returns n bytes, and the piece that they lie in, which has one record more now.
func (r *room) take(n int) ([]byte, *piece) {
	if n > pieceOfRoom {
		return make([]byte, n), nil
	}
	if n > len(r.rest) || r.piece == nil { // an empty key is a key
		r.leave()
		r.piece = pieces.Get().(*piece)
		r.rest = r.piece.data[:]
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	r.taken++
	return taken, r.piece
}

// leave says that nothing more is taken of the piece.
func (r *room) leave() {
	if r.piece != nil {
		r.piece.add(r.taken)
	}
	*r = room{}
}

// recordOf copies a record out of kafka-go's buffers and gives those back. Of what is larger than any event the beginning is
// copied.
func recordOf(r *protocol.Record, partition int32, to *room) (Record, error) {
	record := Record{Partition: partition, Offset: r.Offset, Time: r.Time}
	key, value := min(size(r.Key), event.MaxKeptKey), min(size(r.Value), event.MaxValue)
	record.Cut.Key, record.Cut.Value = beyond(r.Key, key), beyond(r.Value, value)
	data, piece := to.take(key + value)
	record.piece = piece
	var err error
	if record.Key, err = copyOut(r.Key, data[:key:key]); err != nil {
		return Record{}, err
	}
	if record.Value, err = copyOut(r.Value, data[key:]); err != nil {
		return Record{}, err
	}
	record.Headers, record.Cut.Headers = headersOf(r.Headers)
	return record, nil
}

// headersOf are the headers that are within the bounds, and how many bytes there are where these are not all.
func headersOf(all []protocol.Header) (kept []event.Header, cut int) {
	if len(all) == 0 {
		return nil, 0
	}
	var room event.HeaderRoom
	kept = make([]event.Header, 0, min(len(all), event.MaxHeaders))
	for _, h := range all {
		if room.Takes(h.Key, h.Value) {
			kept = append(kept, event.Header(h))
		}
	}
	return kept, room.Cut()
}

func bytesOf(headers []protocol.Header) (bytes int) {
	for _, h := range headers {
		bytes += len(h.Key) + len(h.Value)
	}
	return bytes
}

func size(b protocol.Bytes) int {
	if b == nil {
		return 0
	}
	return b.Len()
}

// beyond is how large b is, where that is more than is kept; else 0.
func beyond(b protocol.Bytes, kept int) int {
	if size(b) > kept {
		return size(b)
	}
	return 0
}

// copyOut fills data from b, and returns it. What is nil stays nil.
func copyOut(b protocol.Bytes, data []byte) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	if _, err := io.ReadFull(b, data); err != nil {
		return nil, err
	}
	return data, nil
}
