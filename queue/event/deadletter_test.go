package event

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func equalHeaders(a, b []Header) bool { return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) }

func TestADeadLetterSaysWhyAndWhereAndKeepsTheOriginalHeaders(t *testing.T) {
	t.Parallel()
	orig := []Header{{"ce_type", []byte("io.pushd.checkin.requested.v9")}, {"empty", nil}, {"ce_id", []byte("1")}}
	at := time.Date(2026, 1, 2, 15, 4, 5, 678e6, time.UTC)
	why := fmt.Errorf("read record: %w", &Error{UnknownVersion, "ce_type", "write v1"})
	headers := DeadLetterHeaders(orig, Cut{}, why, "pushd.checkin", 7, 1<<40, at)
	if !reflect.DeepEqual(headers[:len(orig)], orig) {
		t.Errorf("the original headers became %q", headers[:len(orig)])
	}
	got, ok := ParseDeadLetter(headers)
	want := DeadLetter{
		Reason: "unknown_version", Error: "read record: unknown_version: ce_type: write v1",
		Topic: "pushd.checkin", Partition: 7, Offset: 1 << 40, FirstSeen: at, Original: orig, Own: headers[len(orig):],
	}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, ok, want)
	}
}

func TestAReplayedDeadLetterKeepsOnlyTheTimeItWasFirstSeen(t *testing.T) {
	t.Parallel()
	first := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	once := DeadLetterHeaders([]Header{{"a", []byte("b")}}, Cut{}, &Error{Reason: BadJSON}, "pushd.checkin", 1, 10, first)
	twice := DeadLetterHeaders(once, Cut{}, errors.New("no"), "pushd.checkin", 2, 20, first.Add(time.Hour))
	if len(twice) != len(once) {
		t.Errorf("%d headers after the first time, %d after the second", len(once), len(twice))
	}
	got, ok := ParseDeadLetter(twice)
	if !ok || got.Reason != "other" || got.Partition != 2 || got.Offset != 20 || !got.FirstSeen.Equal(first) ||
		!equalHeaders(got.Original, []Header{{"a", []byte("b")}}) {
		t.Errorf("got %+v, %v", got, ok)
	}
}

func TestDeadLetterHeadersLeaveTheOriginalSliceAlone(t *testing.T) {
	t.Parallel()
	backing := []Header{{"pushd-dlq-reason", []byte("x")}, {"a", nil}, {"behind", nil}}
	DeadLetterHeaders(backing[:2], Cut{}, errors.New("no"), "t", 0, 0, time.Now())
	if backing[0].Key != "pushd-dlq-reason" || backing[1].Key != "a" || backing[2].Key != "behind" {
		t.Errorf("the caller's headers became %q", backing)
	}
}

func TestADeadLettersErrorIsOneBoundedLine(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a\r\nb\x00c\u0085d", "\xff\xfe", strings.Repeat("é", 400), strings.Repeat("x", 9999)} {
		d, ok := ParseDeadLetter(DeadLetterHeaders(nil, Cut{}, errors.New(text), "t", 0, 0, time.Now()))
		if !ok || len(d.Error) > 512 || len(d.Error) < min(utf8.RuneCountInString(text), 511) || !free.has([]byte(d.Error)) || !utf8.ValidString(d.Error) {
			t.Errorf("%.20q became %q", text, d.Error)
		}
	}
}

func TestParseDeadLetterRefusesWhatItDidNotWrite(t *testing.T) {
	t.Parallel()
	good := DeadLetterHeaders(nil, Cut{}, errors.New("no"), "t", 3, 4, time.Now())
	if _, ok := ParseDeadLetter(good); !ok {
		t.Fatal("the good headers are refused")
	}
	if _, ok := ParseDeadLetter(nil); ok {
		t.Error("no headers are a dead letter")
	}
	for _, wrong := range [][2]string{
		{deadVersion, "2"}, {deadReason, ""}, {deadTopic, ""}, {deadPartition, "-1"}, {deadPartition, "2147483648"},
		{deadOffset, "-1"}, {deadOffset, "9223372036854775808"}, {deadFirstSeen, "yesterday"},
	} {
		bad := append([]Header{}, good...)
		for i := range bad {
			if bad[i].Key == wrong[0] {
				bad[i].Value = []byte(wrong[1])
			}
		}
		if d, ok := ParseDeadLetter(bad); ok {
			t.Errorf("%q is taken: %+v", wrong, d)
		}
	}
}
