package providers

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterReadsSecondsAndDates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		value string
		wait  time.Duration
		ok    bool
	}{
		{"", 0, false},
		{"0", 0, true},
		{"60", time.Minute, true},
		{" 60 ", time.Minute, true},
		{"00000000000000000000000000000007", 7 * time.Second, true},
		{"86400", MaxRetryAfter, true},
		{"86401", MaxRetryAfter, true},
		{"99999999999999999999999999", MaxRetryAfter, true},
		{"-1", 0, false},
		{"+1", 0, false},
		{"1.5", 0, false},
		{"1e3", 0, false},
		{"0x10", 0, false},
		{"soon", 0, false},
		{"60, 120", 0, false},
		{now.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second, true},
		{now.Add(-time.Hour).Format(http.TimeFormat), 0, true},
		{now.Add(48 * time.Hour).Format(http.TimeFormat), MaxRetryAfter, true},
		{now.Add(time.Minute).Format(time.RFC850), time.Minute, true},
		{now.Add(time.Minute).Format(time.ANSIC), time.Minute, true},
		{now.Add(time.Minute).Format(time.RFC3339), 0, false},
	} {
		wait, ok := RetryAfter(row.value, now)
		if wait != row.wait || ok != row.ok {
			t.Errorf("RetryAfter(%q) = %v, %v; want %v, %v", row.value, wait, ok, row.wait, row.ok)
		}
	}
}

func FuzzRetryAfterStaysWithinItsBounds(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, seed := range []string{"", "60", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "9999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		wait, ok := RetryAfter(value, now)
		if wait < 0 || wait > MaxRetryAfter || !ok && wait != 0 {
			t.Errorf("RetryAfter(%q) = %v, %v", value, wait, ok)
		}
	})
}
