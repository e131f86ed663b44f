package spelling

import "testing"

func TestTheNearestNameIsSuggested(t *testing.T) {
	t.Parallel()
	known := []string{"interval", "until", "rewake", "password_file", "brokers"}
	for written, want := range map[string]string{
		"intervall": "interval", "Interval": "interval", "intrval": "interval", "password": "password_file",
		"broker": "brokers", "rewaek": "rewake", "zzz": "", "x": "", "": "",
	} {
		if got := Nearest(written, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", written, got, want)
		}
	}
	if got := DidYouMean("intrval", known); got != ` (did you mean "interval"?)` {
		t.Errorf("the end of the sentence is %q", got)
	}
	if got := DidYouMean("zzz", known); got != "" {
		t.Errorf("nothing is near, but the end of the sentence is %q", got)
	}
}
