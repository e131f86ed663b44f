package event

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
)

// kind is what a JSON value is.
type kind uint8

const (
	absent kind = iota
	null
	boolean
	number
	text
	array
	object
)

var kindNames = [...]string{
	absent: "nothing", null: "null", boolean: "a boolean", number: "a number", text: "a string", array: "an array",
	object: "an object",
}

// value is a JSON value where it stands: raw is the record's own memory.
type value struct {
	kind    kind
	escaped bool   // a text that holds a backslash
	raw     []byte // a text: what stands between the quotes; any other: all of it
}

// given says whether the publisher gave it at all: null is as good as absent.
func (v value) given() bool { return v.kind > null }

// or is v if it is given, else w.
func (v value) or(w value) value {
	if v.given() {
		return v
	}
	return w
}

// bytes is what a text says. It is the record's memory unless the text has escapes.
func (v value) bytes() []byte {
	if !v.escaped {
		return v.raw
	}
	return appendUnescaped(make([]byte, 0, len(v.raw)), v.raw)
}

// scanner reads a JSON text (RFC 8259), known to be UTF-8, from left to right, and checks all of it.
// Its first fault moves it to the end of the text, so that nothing loops on.
type scanner struct {
	json  []byte
	at    int
	depth int
	fault *Error
}

// scanObject reads a text that is one object, and gives its members to keep in their order, duplicates too: a
// keep that overwrites lets the last one win.
func scanObject(json []byte, keep func(name []byte, v value)) *Error {
	s := scanner{json: json}
	s.space()
	if s.peek() != '{' {
		s.fail("the value is not a JSON object")
		return s.fault
	}
	s.object(keep)
	s.space()
	if s.at < len(s.json) {
		s.fail("something follows the JSON object")
	}
	return s.fault
}

func (s *scanner) fail(what string) { s.failWith(BadJSON, what+"; write one JSON object (RFC 8259)") }

func (s *scanner) failWith(r Reason, what string) {
	if s.fault == nil {
		s.fault = &Error{Reason: r, Text: "at byte " + strconv.Itoa(s.at) + ": " + what}
	}
	s.at = len(s.json)
}

// peek is the next byte, or 0 at the end. A 0 in the text is no JSON anywhere, so the two need no telling apart.
func (s *scanner) peek() byte {
	if s.at < len(s.json) {
		return s.json[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.json) {
		switch s.json[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// value reads any value.
func (s *scanner) value() value {
	from := s.at
	var v value
	switch c := s.peek(); {
	case c == '"':
		return s.text()
	case c == '{':
		v.kind = object
		s.object(nil)
	case c == '[':
		v.kind = array
		s.array()
	case c == '-' || isDigit(c):
		v.kind = number
		s.number()
	case c == 't':
		v.kind = boolean
		s.word("true")
	case c == 'f':
		v.kind = boolean
		s.word("false")
	case c == 'n':
		v.kind = null
		s.word("null")
	default:
		s.fail("a JSON value is missing")
	}
	v.raw = s.json[from:s.at]
	return v
}

// object reads an object; keep, if there is one, takes its members.
func (s *scanner) object(keep func(name []byte, v value)) {
	if !s.enter() {
		return
	}
	if s.peek() == '}' {
		s.leave()
		return
	}
	for {
		if s.peek() != '"' {
			s.fail("a field name in quotes is missing")
			return
		}
		name := s.text()
		s.space()
		if s.peek() != ':' {
			s.fail("a colon is missing after a field name")
			return
		}
		s.at++
		s.space()
		v := s.value()
		if s.fault != nil {
			return
		}
		if keep != nil {
			keep(name.bytes(), v)
		}
		if s.last('}') {
			return
		}
	}
}

func (s *scanner) array() {
	if !s.enter() {
		return
	}
	if s.peek() == ']' {
		s.leave()
		return
	}
	for {
		s.value()
		if s.last(']') {
			return
		}
	}
}

// enter goes into an object or an array, to its first member.
func (s *scanner) enter() bool {
	if s.depth == MaxDepth {
		s.failWith(TooDeep, "nested deeper than "+strconv.Itoa(MaxDepth)+"; leave out what pushd does not read")
		return false
	}
	s.depth++
	s.at++
	s.space()
	return true
}

func (s *scanner) leave() {
	s.depth--
	s.at++
}

// last goes on behind a member, and says whether it was the last one.
func (s *scanner) last(end byte) bool {
	s.space()
	switch s.peek() {
	case ',':
		s.at++
		s.space()
		return false
	case end:
		s.leave()
		return true
	}
	s.fail("a comma or a closing bracket is missing")
	return true
}

func (s *scanner) text() value {
	s.at++
	from, escaped := s.at, false
	for {
		s.at += plainRun(s.json[s.at:])
		switch {
		case s.at == len(s.json):
			s.fail("a string is not closed")
			return value{}
		case s.json[s.at] == '"':
			s.at++
			return value{text, escaped, s.json[from : s.at-1]}
		case s.json[s.at] == '\\':
			escaped = true
			s.escape()
		default:
			s.fail("a control character stands in a string")
		}
	}
}

// plainRun is how many bytes at the front of b stand for themselves in a JSON string, which are all but the quote, the
// backslash and the control characters. Most of a record is such bytes, so it looks at eight at a time.
func plainRun(b []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	n := 0
	for ; n+8 <= len(b); n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, backslash := w^'"'*ones, w^'\\'*ones
		// Subtracting borrows into the high bit of a byte that is 0 (below ' '), and may go on into bytes after it;
		// the first high bit is always right.
		if stop := ((quote-ones)&^quote | (backslash-ones)&^backslash | (w-' '*ones)&^w) & highs; stop != 0 {
			return n + bits.TrailingZeros64(stop)/8
		}
	}
	for n < len(b) && b[n] >= ' ' && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}

func (s *scanner) escape() {
	if s.at+1 == len(s.json) {
		s.fail("a string ends in a backslash")
		return
	}
	switch s.json[s.at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at += 2
	case 'u':
		unit, ok := hex4(s.json[s.at+2:])
		if !ok {
			s.fail(`four hex digits are missing after \u`)
			return
		}
		if !utf16.IsSurrogate(unit) {
			s.at += 6
			return
		}
		// Half a pair has no meaning, and a decoder that writes U+FFFD for it makes one name of two devices.
		if _, ok := surrogatePair(s.json[s.at:]); !ok {
			s.failWith(BadUTF8, "half of a surrogate pair; write the character itself in UTF-8")
			return
		}
		s.at += 12
	default:
		s.fail("a backslash stands before a character that has no escape")
	}
}

func (s *scanner) number() {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else {
		s.digits()
	}
	if s.peek() == '.' {
		s.at++
		s.digits()
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		s.digits()
	}
}

func (s *scanner) digits() {
	if !isDigit(s.peek()) {
		s.fail("a number has no digit where one must stand")
	}
	for isDigit(s.peek()) {
		s.at++
	}
}

func (s *scanner) word(w string) {
	if len(s.json)-s.at < len(w) || string(s.json[s.at:s.at+len(w)]) != w {
		s.fail("a word that is not true, false or null stands outside of quotes")
		return
	}
	s.at += len(w)
}

// appendCompact appends a value, known to be good JSON, without the white space between its parts. It stops, false, where
// that would be over limit bytes.
func appendCompact(dst, raw []byte, limit int) ([]byte, bool) {
	quoted := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			continue
		}
		if len(dst) == limit {
			return dst, false
		}
		dst = append(dst, c)
		switch {
		case c == '"':
			quoted = !quoted
		case c == '\\': // only inside quotes; what follows is no closing quote
			if len(dst) == limit {
				return dst, false
			}
			i++
			dst = append(dst, raw[i])
		}
	}
	return dst, true
}
