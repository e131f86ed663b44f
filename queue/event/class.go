package event

import (
	"bytes"
	"unicode/utf8"
)

// class is a set of bytes.
type class uint8

const (
	free       class = 1 << iota // printable ASCII; as a set of texts: UTF-8 without control characters, so without line breaks
	visible                      // ASCII that leaves ink
	tenantChar                   // what the name of a tenant may hold
	hexDigit
	lowerHex
)

// classes says which sets a byte is in.
var classes = func() (of [256]class) {
	for i := range of {
		c := byte(i)
		digit := isDigit(c)
		lower, upper := 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z'
		in := func(set class, member bool) {
			if member {
				of[i] |= set
			}
		}
		in(free, ' ' <= c && c < 0x7f)
		in(visible, ' ' < c && c < 0x7f)
		in(tenantChar, lower || upper || digit || c == '.' || c == '_' || c == '-')
		in(lowerHex, digit || 'a' <= c && c <= 'f')
		in(hexDigit, digit || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F')
	}
	return of
}()

// has says whether the word is all of the set.
func (set class) has(word []byte) bool {
	for _, c := range word {
		if classes[c]&set == 0 {
			return set == free && freeUTF8(word)
		}
	}
	return true
}

func freeUTF8(word []byte) bool {
	return utf8.Valid(word) && !bytes.ContainsFunc(word, func(c rune) bool { return c < ' ' || 0x7f <= c && c < 0xa0 })
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
