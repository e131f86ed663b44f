package event

import (
	"unicode/utf16"
	"unicode/utf8"
)

// appendQuoted appends s as a JSON string. What is not UTF-8 in it becomes U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := 0 // where a run begins that stands as it is
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[plain:i]...)
		switch {
		case c < ' ':
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, '\\', c)
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
		plain = i
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

// appendUnescaped appends what a text says. Its escapes are known to be good.
func appendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			continue
		}
		i++
		switch c := raw[i]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(raw[i+1:])
			if utf16.IsSurrogate(r) {
				r, _ = surrogatePair(raw[i-1:])
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
			i += 4
		default: // a quote, a backslash or a slash
			dst = append(dst, c)
		}
	}
	return dst
}

// surrogatePair reads \uD83D\uDE00 and the like.
func surrogatePair(raw []byte) (rune, bool) {
	if len(raw) < 12 || raw[6] != '\\' || raw[7] != 'u' {
		return 0, false
	}
	high, _ := hex4(raw[2:])
	low, ok := hex4(raw[8:])
	r := utf16.DecodeRune(high, low)
	return r, ok && r != utf8.RuneError
}

func hex4(raw []byte) (rune, bool) {
	if len(raw) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range raw[:4] {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
