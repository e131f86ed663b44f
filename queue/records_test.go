package queue

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
)

// TestWhatIsNotReleasedStays reads answers one after the other, releases most records, some of them late, and looks at the
// others: their memory must not be used again.
func TestWhatIsNotReleasedStays(t *testing.T) {
	t.Parallel()
	const answers, inAnswer, late = 200, 150, 400
	content := func(offset int64) []byte { return bytes.Repeat(fmt.Appendf(nil, "%d.", offset), 40) }
	var waiting []Record
	check := func(r *Record) {
		if want := content(r.Offset); !bytes.Equal(r.Value, want) || !bytes.Equal(r.Key, want[:10]) {
			t.Fatalf("offset %d has the key %q and the value %q", r.Offset, r.Key, r.Value)
		}
	}
	for answer := range int64(answers) {
		var given []protocol.Record
		for i := range int64(inAnswer) {
			offset := answer*inAnswer + i
			given = append(given, protocol.Record{Offset: offset, Key: protocol.NewBytes(content(offset)[:10]), Value: protocol.NewBytes(content(offset))})
		}
		if _, _, err := eachRecord(batches(protocol.NewRecordReader(given...)), nil, 0, answer*inAnswer, func(r Record) bool {
			waiting = append(waiting, r)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		for len(waiting) > late {
			r := waiting[0]
			waiting = waiting[1:]
			check(&r)
			if r.Offset%97 != 0 {
				r.Release()
			}
		}
	}
	for i := range waiting {
		check(&waiting[i])
	}
}
