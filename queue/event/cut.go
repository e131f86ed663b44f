package event

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxKeptKey is how many bytes of a record's key are kept: far above the longest key of an event.
const MaxKeptKey = 4096

// Cut says how many bytes the parts of a record had of which only the beginning is kept; 0 of what is whole. A record that
// was cut is no event. So what no event could be costs no more memory than one, and its dead letter is one that every
// broker takes.
type Cut struct {
	Key     int // kept: MaxKeptKey
	Value   int // kept: MaxValue
	Headers int // names and values together; kept: those that HeaderRoom takes
}

// Whole says whether nothing was cut.
func (c Cut) Whole() bool { return c == Cut{} }

// Fault is why a record that was cut is no event.
func (c Cut) Fault() *Error {
	switch {
	case c.Value > 0:
		return valueTooLarge(c.Value)
	case c.Headers > 0:
		return headersTooLarge(c.Headers)
	}
	return &Error{BadKey, "key", badKey}
}

func valueTooLarge(size int) *Error {
	return tooLarge("", size, MaxValue, "write what docs/events.md names, and no more")
}

func headersTooLarge(size int) *Error {
	return &Error{TooLarge, "headers", fmt.Sprintf("%d bytes where at most %d headers of together %d bytes are allowed; write fewer", size, MaxHeaders, MaxHeaderBytes)}
}

// appendTo appends what the record's dead letter has besides, to say so.
func (c Cut) appendTo(headers []Header) []Header {
	for _, part := range []struct {
		name  string
		bytes int
	}{{deadCutKey, c.Key}, {deadCutValue, c.Value}, {deadCutHeaders, c.Headers}} {
		if part.bytes > 0 {
			headers = append(headers, Header{part.name, strconv.AppendInt(nil, int64(part.bytes), 10)})
		}
	}
	return headers
}

// HeaderRoom counts the headers of a record against their bounds. Those that pushd itself added to a dead letter, which a
// replay publishes too, have their own.
type HeaderRoom struct {
	others, own tally
	bytes       int
	over        bool
}

type tally struct{ number, bytes int }

// ownHeaders bounds pushd's own headers.
var ownHeaders = tally{16, 4 << 10}

// Takes counts a header, and says whether it is within the bounds.
func (r *HeaderRoom) Takes(name string, value []byte) bool {
	in, limit := &r.others, tally{MaxHeaders, MaxHeaderBytes}
	if strings.HasPrefix(name, deadPrefix) {
		in, limit = &r.own, ownHeaders
	}
	size := len(name) + len(value)
	r.bytes += size
	if in.number == limit.number || in.bytes+size > limit.bytes {
		r.over = true
		return false
	}
	in.number, in.bytes = in.number+1, in.bytes+size
	return true
}

// Cut is how many bytes all headers have, where not all are within the bounds; else 0.
func (r *HeaderRoom) Cut() int {
	if !r.over {
		return 0
	}
	return max(1, r.bytes)
}
