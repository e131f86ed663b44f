package queue

import (
	"errors"
	"io"

	"github.com/segmentio/kafka-go/protocol"

	"pushd/queue/event"
)

// eachRecord gives the records of a fetch's answer to take, until take says false, and returns the offset to go on at, and
// how many bytes it has read, as they are uncompressed. It leaves out what is before from, because a broker answers with
// whole batches, and the markers of transactions.
func eachRecord(stream *protocol.RecordStream, partition int32, from int64, take func(Record) bool) (next int64, bytes int, err error) {
	next = from
	var data room
	for _, batch := range stream.Records {
		_, control := batch.(*protocol.ControlBatch)
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
			if !control && !take(record) {
				return next, bytes, nil
			}
		}
	}
	return next, bytes, nil
}

// room is memory for the records of one answer, in pieces of several records. A piece lives as long as one of its records:
// so it is not large, as a dead letter may wait for its broker.
type room []byte

const pieceOfRoom = 16 << 10

func (r *room) take(n int) []byte {
	if n > len(*r) || *r == nil { // an empty key is a key
		*r = make([]byte, max(n, pieceOfRoom))
	}
	taken := (*r)[:n:n]
	*r = (*r)[n:]
	return taken
}

// recordOf copies a record out of kafka-go's buffers and gives those back. Of what is larger than any event the beginning is
// copied.
func recordOf(r *protocol.Record, partition int32, to *room) (Record, error) {
	record := Record{Partition: partition, Offset: r.Offset, Time: r.Time}
	key, value := min(size(r.Key), event.MaxKeptKey), min(size(r.Value), event.MaxValue)
	record.Cut.Key, record.Cut.Value = beyond(r.Key, key), beyond(r.Value, value)
	data := to.take(key + value)
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
