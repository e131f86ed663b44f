package simulator

import (
	"encoding/json"
	"slices"
)

// The messages of FCM are checked without decoding them into maps: json.Valid first, and then walking over what is known
// to be valid. That costs a fifth of encoding/json's Unmarshal, and no allocation.

// members calls visit with each member of a valid JSON object, until it returns false. Names and values are raw: with
// their quotes and escapes.
func members(object []byte, visit func(name, value []byte) bool) {
	i := skipSpace(object, 1) // the brace
	for object[i] != '}' {
		end := valueEnd(object, i)
		name := object[i:end]
		i = skipSpace(object, end)
		i = skipSpace(object, i+1) // the colon
		end = valueEnd(object, i)
		if !visit(name, object[i:end]) {
			return
		}
		i = skipSpace(object, end)
		if object[i] == ',' {
			i = skipSpace(object, i+1)
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// valueEnd returns the index after the valid JSON value that starts at i.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		for depth := 0; ; i++ {
			switch b[i] {
			case '"':
				i = stringEnd(b, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

func stringEnd(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// text returns the text of a raw JSON string, without copying where there is nothing to unescape.
func text(raw []byte) []byte {
	if slices.Contains(raw, '\\') {
		var s string
		_ = json.Unmarshal(raw, &s) // it is a valid string
		return []byte(s)
	}
	return raw[1 : len(raw)-1]
}

func isString(raw []byte) bool { return raw[0] == '"' }
func isObject(raw []byte) bool { return raw[0] == '{' }

// appendJSONString renders s as a JSON string.
func appendJSONString(b []byte, s string) []byte {
	encoded, err := json.Marshal(s)
	if err != nil {
		panic("simulator: " + err.Error()) // a string can always be encoded
	}
	return append(b, encoded...)
}
