package providers

import "encoding/json"

// AppendJSON appends a string as JSON. What comes from a device or an event is encoded so, never pasted.
func AppendJSON(b []byte, s string) []byte {
	if plain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	encoded, err := json.Marshal(s)
	if err != nil {
		panic("providers: a string that cannot be encoded: " + err.Error())
	}
	return append(b, encoded...)
}

// plain says whether s stands in JSON as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
