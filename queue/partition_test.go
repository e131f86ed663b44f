package queue

import (
	"reflect"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
)

// batches builds what kafka-go makes of an answer.
func batches(readers ...protocol.RecordReader) *protocol.RecordStream {
	return &protocol.RecordStream{Records: readers}
}

func recordsAt(offsets ...int64) protocol.RecordReader {
	records := make([]protocol.Record, len(offsets))
	for i, offset := range offsets {
		records[i] = protocol.Record{Offset: offset, Value: protocol.NewBytes([]byte("v"))}
	}
	return protocol.NewRecordReader(records...)
}

func TestReadingAnAnswer(t *testing.T) {
	t.Parallel()
	control := func(offset int64) protocol.RecordReader {
		return &protocol.ControlBatch{Records: recordsAt(offset)}
	}
	tests := []struct {
		name  string
		from  int64
		given *protocol.RecordStream
		want  []int64
		next  int64
	}{
		{"a batch that begins before", 7, batches(recordsAt(5, 6, 7, 8)), []int64{7, 8}, 9},
		{"gaps of compaction", 0, batches(recordsAt(2, 5), recordsAt(9)), []int64{2, 5, 9}, 10},
		{"a marker between", 0, batches(recordsAt(0), control(1), recordsAt(2)), []int64{0, 2}, 3},
		{"markers alone", 4, batches(control(4), control(5)), nil, 6},
		{"nothing new", 7, batches(recordsAt(5, 6)), nil, 7},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := &partition{pipe: newPipe(), next: test.from}
			if _, err := p.read(t.Context(), test.given); err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, r := range p.pipe.records {
				got = append(got, r.Offset)
			}
			if !reflect.DeepEqual(got, test.want) || p.next != test.next {
				t.Errorf("offsets %v, next %d; want %v, %d", got, p.next, test.want, test.next)
			}
		})
	}
}
