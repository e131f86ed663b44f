package event

import (
	"slices"
	"testing"
)

func TestARecordThatWasCutIsADeadLetterThatSaysSo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cut    Cut
		reason Reason
		field  string
	}{
		{Cut{Value: 1 << 20}, TooLarge, ""},
		{Cut{Headers: 40_000}, TooLarge, "headers"},
		{Cut{Key: 5000}, BadKey, "key"},
		{Cut{Key: 5000, Value: 70_000, Headers: 1}, TooLarge, ""},
	} {
		fault := c.cut.Fault()
		checkError(t, "cut", fault, c.reason, c.field)
		orig := []Header{{"a", nil}, {"pushd-dlq-cut-value", []byte("7")}} // a publisher's own word for it is not heard
		d, ok := ParseDeadLetter(DeadLetterHeaders(orig, c.cut, fault, "t", 0, 0, goldenTime))
		if !ok || d.Cut != c.cut || d.Cut.Whole() || !equalHeaders(d.Original, orig[:1]) {
			t.Errorf("%+v is read as %+v, %v", c.cut, d, ok)
		}
	}
	if d, _ := ParseDeadLetter(DeadLetterHeaders(nil, Cut{}, &Error{Reason: BadJSON}, "t", 0, 0, goldenTime)); !d.Cut.Whole() {
		t.Errorf("a whole record is read as cut: %+v", d.Cut)
	}
	broken := append(DeadLetterHeaders(nil, Cut{}, &Error{Reason: BadJSON}, "t", 0, 0, goldenTime), Header{deadCutKey, []byte("-1")})
	if d, ok := ParseDeadLetter(broken); !ok || d.Cut.Whole() {
		t.Errorf("something was cut, nobody knows how much: %+v, %v", d.Cut, ok)
	}
}

func TestTheHeadersThatFitAreTaken(t *testing.T) {
	t.Parallel()
	var room HeaderRoom
	var taken []int
	for i, size := range []int{10, MaxHeaderBytes, 20, MaxHeaderBytes - 29, 1} {
		if room.Takes("h", make([]byte, size-1)) {
			taken = append(taken, i)
		}
	}
	if !slices.Equal(taken, []int{0, 2, 4}) || room.Cut() != 2*MaxHeaderBytes+2 {
		t.Errorf("taken are %v, cut from %d", taken, room.Cut())
	}
}
