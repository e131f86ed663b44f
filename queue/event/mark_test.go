package event

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAMarkIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	want := Mark{Deed: Replayed, Partition: 3, Offset: 1 << 40, By: "ops@desk", At: time.Date(2026, 1, 2, 15, 4, 5, 678e6, time.UTC)}
	got, ok := ParseMark(want.Headers())
	if !ok || got != want {
		t.Errorf("got %+v, %v; want %+v", got, ok, want)
	}
	if key := string(want.Key()); key != "mark 3/1099511627776" {
		t.Errorf("its key is %q", key)
	}
	if _, err := Decode(want.Key(), nil, nil, want.At); ReasonOf(err) != BadKey {
		t.Errorf("published as an event it gives %v", err)
	}
	if _, ok := ParseDeadLetter(want.Headers()); ok {
		t.Error("a mark is read as a dead letter")
	}
	if _, ok := ParseMark(DeadLetterHeaders(nil, Cut{}, errors.New("no"), "t", 0, 0, want.At)); ok {
		t.Error("a dead letter is read as a mark")
	}
}

func TestAPublisherCannotMarkItsOwnDeadLetter(t *testing.T) {
	t.Parallel()
	mark := Mark{Deed: Dropped, Partition: 3, Offset: 4, By: "nobody", At: time.Now()}
	headers := DeadLetterHeaders(mark.Headers(), Cut{}, errors.New("no"), "t", 0, 0, time.Now())
	if got, ok := ParseMark(headers); ok {
		t.Errorf("its dead letter is a mark: %+v", got)
	}
	if d, ok := ParseDeadLetter(headers); !ok || len(d.Original) != 0 {
		t.Errorf("its dead letter is %+v, %v", d, ok)
	}
}

func TestParseMarkRefusesWhatItDidNotWrite(t *testing.T) {
	t.Parallel()
	mark := Mark{Deed: Dropped, By: strings.Repeat("é\n", 400), At: time.Now()}
	good := mark.Headers()
	if got, ok := ParseMark(good); !ok || len(got.By) > maxMarkBy || !free.has([]byte(got.By)) {
		t.Errorf("a long name with line breaks became %+v, %v", got, ok)
	}
	for _, wrong := range [][2]string{
		{deadVersion, "2"}, {markDeed, "eaten"}, {markDeed, ""}, {markPartition, "-1"}, {markOffset, "x"}, {markAt, "now"},
	} {
		bad := append([]Header{}, good...)
		for i := range bad {
			if bad[i].Key == wrong[0] {
				bad[i].Value = []byte(wrong[1])
			}
		}
		if got, ok := ParseMark(bad); ok {
			t.Errorf("%q is taken: %+v", wrong, got)
		}
	}
}

func TestNamedFindsWhoARecordIsAbout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, value, tenant, device string }{
		{"acme/d/1", `{`, "acme", "d/1"},
		{"acme/d", `{"tenant":"other"}`, "acme", "d"},
		{"", `{"device":"d","tenant":"acme","token":`, "acme", "d"},
		{"no key", `{"tenant":"acme"}`, "acme", ""},
		{"a b/d", `{"tenant":"acme","device":7}`, "acme", "d"},
		{"\xff/\r\n", "\xff", "", ""},
		{"", `{"tenant":"ac\nme","device":"\u001b"}`, "", ""},
		{"/", ``, "", ""},
	} {
		tenant, device := Named([]byte(c.key), []byte(c.value), nil)
		if tenant != c.tenant || device != c.device {
			t.Errorf("%q %s names %q and %q, want %q and %q", c.key, c.value, tenant, device, c.tenant, c.device)
		}
	}
	structured := []Header{{"content-type", []byte("application/cloudevents+json")}}
	if tenant, device := Named(nil, []byte(`{"data":{"tenant":"acme","device":"d"}}`), structured); tenant != "acme" || device != "d" {
		t.Errorf("a CloudEvent names %q and %q", tenant, device)
	}
	if tenant, device := Named(nil, nil, nil); tenant != "" || device != "" {
		t.Errorf("nothing names %q and %q", tenant, device)
	}
}

// FuzzDeadLetter: the headers of the dead letter of any record are read back, name the place they were made for, and keep the
// record's own headers; no record's headers are a mark, or a letter of another place, once it is a dead letter.
func FuzzDeadLetter(f *testing.F) {
	mark := Mark{Deed: Dropped, At: time.Now()}
	f.Add("acme/d", []byte(`{"tenant":"a"}`), headerLines(map[string]string{"ce_id": "1"}), "no")
	f.Add("", []byte{}, lines(mark.Headers()), "a\r\nb")
	f.Add("/", []byte("\xff"), lines(DeadLetterHeaders(nil, Cut{}, errors.New("no"), "t", 1, 2, time.Now())), "\xff")
	f.Fuzz(func(t *testing.T, key string, value []byte, text, why string) {
		headers := parseHeaderLines(text)
		Named([]byte(key), value, headers)
		ParseMark(headers)
		letter := DeadLetterHeaders(headers, Cut{}, errors.New(why), "topic", 7, 8, fuzzTime)
		if _, ok := ParseMark(letter); ok {
			t.Fatal("a dead letter is a mark")
		}
		d, ok := ParseDeadLetter(letter)
		if !ok || d.Topic != "topic" || d.Partition != 7 || d.Offset != 8 || d.Reason != "other" || d.FirstSeen.After(fuzzTime) {
			t.Fatalf("it is read as %+v, %v", d, ok)
		}
		again, ok := ParseDeadLetter(DeadLetterHeaders(letter, Cut{}, errors.New(why), "topic", 7, 8, fuzzTime.Add(time.Hour)))
		if !ok || !reflect.DeepEqual(again, d) {
			t.Fatalf("after a replay it is read as %+v, %v; want %+v", again, ok, d)
		}
	})
}

func lines(headers []Header) string {
	var b strings.Builder
	for _, h := range headers {
		b.WriteString(h.Key + ": " + string(h.Value) + "\n")
	}
	return b.String()
}
