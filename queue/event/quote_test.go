package event

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestQuoting(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                        `""`,
		"plain text, 123":         `"plain text, 123"`,
		`a "quote" \ and /`:       `"a \"quote\" \\ and /"`,
		"\x00 line\nend\t\x1f":    `"\u0000 line\u000aend\u0009\u001f"`,
		"Zürich 東京 \U0001f4f1 \"": "\"Zürich 東京 \U0001f4f1 \\\"\"",
		"cut \xe6\x9d":            "\"cut \ufffd\ufffd\"",
		"\xff\"":                  "\"\ufffd\\\"\"",
	} {
		got := appendQuoted([]byte("x"), in)
		if string(got) != "x"+want {
			t.Errorf("%q is quoted %s, want %s", in, got[1:], want)
		}
		var back string
		if err := json.Unmarshal(got[1:], &back); err != nil || back != strings.ToValidUTF8(in, "\ufffd") && !strings.Contains(in, "\x9d") {
			t.Errorf("%q is read as %q (%v)", in, back, err)
		}
	}
}
