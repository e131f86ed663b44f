package http2

import (
	"time"

	"golang.org/x/net/http2/hpack"

	"pushd/providers/connection"
)

// Request is one POST. It and its slices are read until it is answered, and must not change before.
type Request struct {
	N       int    // the caller's own; comes back in Answer.N
	Head    *Head  // the fields that it shares with others
	Path    []byte // the value of :path
	Fields  []byte // fields of its own, made by AppendField; nil means none
	Body    []byte
	Suspect bool // goes over a connection apart: its answer may cost that one its streams
}

// Answer is what became of a request.
type Answer struct {
	N             int
	Status        int                 // HTTP status; 0 where there is a Failure
	RetryAfter    string              // the header of that name
	Body          []byte              // cut at 4 KiB; nil where Status is 200
	Failure       *connection.Failure // why there is no answer; shared with other requests, so not to be changed
	Head          *Head               // the request's; nil where it had no connection
	Authorization string              // what the request was sent with, where Options.Authorization is set

	took time.Duration // from handing the request to its connection until the answer
	conn *conn
}

// Retire lets the connection that answered take no more requests: what is sent again goes out on another.
func (a *Answer) Retire() {
	if a.conn != nil {
		a.conn.client.retire(a.conn)
	}
}

// Caller is told of its requests' answers, each once, in any order, from any goroutine, in batches. The slice is the
// Client's again when Answered returns. Answered must not block, and must not call Close. Callers are compared: pointers,
// mostly.
type Caller interface{ Answered([]Answer) }

// Head is the part of a request's header that many requests have in common. A connection keeps its encoding.
type Head struct {
	pseudo []hpack.HeaderField
	fields []hpack.HeaderField
}

// NewHead makes the head of POST requests to an authority. The fields are put into the server's dynamic table, but for
// those that are Sensitive.
func NewHead(authority string, fields ...hpack.HeaderField) *Head {
	return &Head{
		pseudo: []hpack.HeaderField{
			{Name: ":method", Value: "POST"},
			{Name: ":scheme", Value: "https"},
			{Name: ":authority", Value: authority},
		},
		fields: fields,
	}
}

// Indexes of names in HPACK's static table (RFC 7541, appendix A).
const (
	indexPath          = 4
	indexAuthorization = 23
)

// AppendField appends a field of one request: a literal that is not put into the server's dynamic table (RFC 7541, section
// 6.2.2), since the next request has another value. name is in lower case.
func AppendField[S string | []byte](b []byte, name string, value S) []byte {
	return appendString(appendString(append(b, 0), name), value)
}

// appendIndexed appends a literal field, not to be indexed, whose name is in the static table.
func appendIndexed[S string | []byte](b []byte, name uint64, value S) []byte {
	return appendString(appendInteger(b, 0, 4, name), value)
}

// appendString appends a string as it is: Huffman's code would save a fifth of a token's bytes, and cost more than those.
func appendString[S string | []byte](b []byte, s S) []byte {
	return append(appendInteger(b, 0, 7, uint64(len(s))), s...)
}

// appendInteger appends an integer with a prefix of that many bits, below the bits of first (RFC 7541, section 5.1).
func appendInteger(b []byte, first byte, bits uint, n uint64) []byte {
	most := uint64(1)<<bits - 1
	if n < most {
		return append(b, first|byte(n))
	}
	b = append(b, first|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}
