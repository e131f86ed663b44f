package queue

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
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
	of := func(producer int64, offsets ...int64) protocol.RecordReader {
		const transactional = protocol.Attributes(1 << 4)
		return &protocol.RecordBatch{Attributes: transactional, ProducerID: producer, BaseOffset: offsets[0], Records: recordsAt(offsets...)}
	}
	marker := func(producer, offset int64) protocol.RecordReader {
		return &protocol.ControlBatch{ProducerID: producer, Records: recordsAt(offset)}
	}
	tests := []struct {
		name    string
		from    int64
		given   *protocol.RecordStream
		aborted []fetch.ResponseTransaction
		want    []int64
		next    int64
	}{
		{"a batch that begins before", 7, batches(recordsAt(5, 6, 7, 8)), nil, []int64{7, 8}, 9},
		{"gaps of compaction", 0, batches(recordsAt(2, 5), recordsAt(9)), nil, []int64{2, 5, 9}, 10},
		{"a marker between", 0, batches(recordsAt(0), control(1), recordsAt(2)), nil, []int64{0, 2}, 3},
		{"markers alone", 4, batches(control(4), control(5)), nil, nil, 6},
		{"two transactions, one of them aborted", 0, batches(of(1, 0), of(2, 1), of(1, 2), marker(1, 3), marker(2, 4)),
			[]fetch.ResponseTransaction{{ProducerID: 1, FirstOffset: 0}}, []int64{1}, 5},
		{"aborted, committed, aborted by one producer", 0, batches(of(1, 0), marker(1, 1), of(1, 2), marker(1, 3), of(1, 4), marker(1, 5), recordsAt(6)),
			[]fetch.ResponseTransaction{{ProducerID: 1, FirstOffset: 4}, {ProducerID: 1, FirstOffset: 0}}, []int64{2, 6}, 7},
		{"begun before the answer", 8, batches(of(1, 7, 8), marker(1, 9), of(1, 10)),
			[]fetch.ResponseTransaction{{ProducerID: 1, FirstOffset: 2}}, []int64{10}, 11},
		{"nothing new", 7, batches(recordsAt(5, 6)), nil, nil, 7},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var taken taker
			p := &partition{owner: &taken, next: test.from}
			if _, err := p.read(t.Context(), test.given, test.aborted); err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, r := range taken {
				got = append(got, r.Offset)
			}
			if !reflect.DeepEqual(got, test.want) || p.next != test.next {
				t.Errorf("offsets %v, next %d; want %v, %d", got, p.next, test.want, test.next)
			}
		})
	}
}

func TestAnAnswerEndsWhereItsOwnerRefuses(t *testing.T) {
	t.Parallel()
	const n = 2*maxBatch + maxBatch/2
	offsets := make([]int64, n)
	for i := range offsets {
		offsets[i] = int64(i)
	}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		second func(end context.CancelFunc) error // what the second Take does
		want   error
	}{
		"it fails":           {func(context.CancelFunc) error { return broken }, broken},
		"the generation has": {func(end context.CancelFunc) error { end(); return nil }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, end := context.WithCancel(t.Context())
			defer end()
			calls, taken := 0, taker{}
			p := &partition{id: 3, owner: ownerFunc(func(ctx context.Context, batch []Record) error {
				if calls++; calls == 2 {
					if err := c.second(end); err != nil {
						return err
					}
				}
				return taken.Take(ctx, batch)
			})}
			_, err := p.read(ctx, batches(recordsAt(offsets...)), nil)
			if !errors.Is(err, c.want) || calls != 2 || int64(len(taken)) != p.next || p.next%maxBatch != 0 {
				t.Errorf("%v after %d calls, %d records are taken, next is %d", err, calls, len(taken), p.next)
			}
			if isOwner := errors.Is(err, errOwner); isOwner != (c.want == broken) {
				t.Errorf("it is the owner's: %v", isOwner)
			}
		})
	}
}

// ownerFunc is an owner that takes with a function.
type ownerFunc func(context.Context, []Record) error

func (f ownerFunc) Take(ctx context.Context, batch []Record) error { return f(ctx, batch) }
func (f ownerFunc) Release(context.Context)                        {}
func (f ownerFunc) Progress() *Progress                            { return nil }

// taker is an owner that takes everything.
type taker []Record

func (t *taker) Take(_ context.Context, batch []Record) error {
	*t = append(*t, batch...)
	return nil
}
func (t *taker) Release(context.Context) {}
func (t *taker) Progress() *Progress     { return nil }
