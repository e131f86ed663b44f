package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// FuzzGrant: a line of admin.tokens_file that is taken says who may do what with which hash, and nothing else does; a refusal
// repeats nothing of it but the role, for the line may hold the token itself.
func FuzzGrant(f *testing.F) {
	hash := hashPrefix + strings.Repeat("0f", 32)
	for _, line := range []string{"prometheus viewer " + hash, "ops operator " + hash, "ops root " + hash, "ops operator secret-token-of-ops", "a b", ""} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		fields := strings.Fields(line)
		g, err := parseGrant(line)
		if err != nil {
			if len(fields) == 3 && len(fields[2]) > 20 && strings.Contains(err.Error(), fields[2]) {
				t.Errorf("the refusal repeats the line: %v", err)
			}
			return
		}
		again, err := parseGrant(fmt.Sprintf("%s %s %s%x", g.name, fields[1], hashPrefix, g.hash))
		if err != nil || again != g || g.role == anybody || g.name == "" {
			t.Errorf("%q is %+v, and read again %+v, %v", line, g, again, err)
		}
	})
}

// FuzzReadable: nothing of a record that is shown moves a terminal's cursor or changes its colours, and JSON stays what it says.
func FuzzReadable(f *testing.F) {
	for _, value := range []string{`{"a":["b",1e9]}`, "plain\ttext\n", "\x1b[2J\x1b]0;title\a", "\xff\xfe", "\u202e", `"\u001b"`, strings.Repeat("[", 2000), ""} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		kind, text := readable(value)
		if kind == "" || strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !strconv.IsGraphic(r) }) {
			t.Errorf("%q is shown as %q, %q", value, kind, text)
		}
		if strings.HasSuffix(kind, ", JSON") && !json.Valid(value) {
			t.Errorf("%q is called JSON", value)
		}
	})
}
