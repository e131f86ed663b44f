package event

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var fuzzTime = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// FuzzDecode: Decode never panics, agrees with the oracle, leaks nothing into its errors, and what it decodes is encoded and
// decoded to the same again. Headers come as lines of "name: value".
func FuzzDecode(f *testing.F) {
	for _, g := range readGolden(f, "events") {
		f.Add(g.Key, []byte(g.value()), g.tombstone(), headerLines(g.Headers))
	}
	f.Fuzz(func(t *testing.T, key string, value []byte, tombstone bool, lines string) {
		if tombstone {
			value = nil
		} else if value == nil {
			value = []byte{}
		}
		compareWithOracle(t, []byte(key), value, parseHeaderLines(lines))
	})
}

func compareWithOracle(t *testing.T, key, value []byte, headers []Header) {
	t.Helper()
	before := bytes.Clone(value)
	got, err := Decode(key, value, headers, fuzzTime)
	if !bytes.Equal(before, value) {
		t.Fatal("Decode wrote to the record")
	}
	want, ok, unsure := oracle(key, value, headers, fuzzTime)
	if !unsure && ok != (err == nil) {
		t.Fatalf("Decode says %v, the oracle %v\nkey %q\nvalue %s\nheaders %q", err, ok, key, value, headers)
	}
	if err != nil {
		if !free.has([]byte(err.Error())) || ReasonOf(err) == Other {
			t.Fatalf("bad error %q", err)
		}
		return
	}
	if !unsure && !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	key, encoded := Encode(&got)
	again, err := Decode(key, encoded, got.Headers(), fuzzTime.Add(time.Hour))
	if err != nil || !reflect.DeepEqual(again, got) {
		t.Fatalf("%+v is encoded as %s\nand decoded as %+v, %v", got, encoded, again, err)
	}
}

func parseHeaderLines(lines string) []Header {
	var headers []Header
	for line := range strings.Lines(lines) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		h := Header{Key: name}
		if ok {
			h.Value = []byte(value)
		}
		headers = append(headers, h)
	}
	return headers
}

// FuzzDecodeFeedback: DecodeFeedback never panics, and what it decodes is encoded and decoded to the same again.
func FuzzDecodeFeedback(f *testing.F) {
	for _, g := range readGolden(f, "feedback") {
		f.Add([]byte(g.value()))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := DecodeFeedback(value)
		if err != nil {
			return
		}
		got.ProviderTimestamp = got.ProviderTimestamp.Truncate(time.Millisecond) // as pushd writes them
		got.ObservedAt = got.ObservedAt.Truncate(time.Millisecond)
		again, err := DecodeFeedback(got.AppendJSON(nil))
		if err != nil || again != got {
			t.Fatalf("%+v is decoded as %+v, %v", got, again, err)
		}
	})
}

func headerLines(headers map[string]string) string {
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		lines.WriteString(name + ": " + headers[name] + "\n")
	}
	return lines.String()
}
