package event

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func typicalFeedback() Feedback {
	return Feedback{
		Outcome: TokenDead, Tenant: "acme", Device: "6F9619FF-8B86-D011-B42D-00C04FC964FF", Provider: "apns",
		TokenHash: "0123456789abcdef", Reason: "Unregistered", Status: 410,
		ProviderTimestamp: time.Date(2026, 1, 2, 15, 4, 5, 678e6, time.UTC),
		TokenRegisteredAt: time.Date(2025, 12, 1, 8, 0, 0, 0, time.UTC),
		EventID:           "01JH8Z0Q4T9V6N3S5X7C2B1A0D", Attempts: 1,
		ObservedAt:  time.Date(2026, 1, 2, 15, 4, 7, 1e6, time.UTC),
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

func TestFeedbackDecodesToWhatWasEncoded(t *testing.T) {
	t.Parallel()
	full := typicalFeedback()
	for outcome := TokenDead; outcome <= Accepted; outcome++ {
		full.Outcome = outcome
		least := Feedback{Outcome: outcome, Tenant: "a", Device: `d/"\` + "é🙂"}
		for _, want := range []Feedback{full, least} {
			got, err := DecodeFeedback(want.AppendJSON(nil))
			if err != nil || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		}
	}
}

func TestFeedbackIsAppendedBehindWhatIsThere(t *testing.T) {
	t.Parallel()
	f := typicalFeedback()
	got := string(f.AppendJSON([]byte("before ")))
	if want := "before " + string(f.AppendJSON(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTimesAreWrittenInUTC(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 15, 4, 5, 6e6, time.FixedZone("east", 3600))
	f := Feedback{Outcome: Accepted, Tenant: "a", Device: "d", ObservedAt: at}
	_, value := Encode(&Event{Type: Forget, Tenant: "a", Device: "d", Time: at})
	for _, text := range []string{string(f.AppendJSON(nil)), string(value)} {
		if !strings.Contains(text, `"2026-01-02T14:04:05.006Z"`) {
			t.Error(text)
		}
	}
}

func TestFeedbackCannotBeBrokenByWhatADeviceOrAProviderSays(t *testing.T) {
	t.Parallel()
	evil := "\",\"outcome\":\"accepted\",\n\r\t\x00\x1b\\\u2028\xff</script>"
	f := Feedback{Outcome: Rejected, Tenant: "acme", Device: "d", Reason: evil, EventID: evil}
	var got map[string]any
	if err := json.Unmarshal(f.AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	if want := strings.ToValidUTF8(evil, "\ufffd"); got["reason"] != want || got["event_id"] != want {
		t.Errorf("got %q, want %q", got["reason"], want)
	}
	if got["outcome"] != "rejected" {
		t.Errorf("outcome became %v", got["outcome"])
	}
}

func TestFeedbackIsKeyedAsTheEventsOfItsDevice(t *testing.T) {
	t.Parallel()
	f := typicalFeedback()
	key, _ := Encode(&Event{Tenant: f.Tenant, Device: f.Device})
	if string(f.Key()) != string(key) || string(key) != "acme/6F9619FF-8B86-D011-B42D-00C04FC964FF" {
		t.Errorf("feedback has key %s, events have %s", f.Key(), key)
	}
}

func TestFeedbackCarriesTheTraceInItsHeaders(t *testing.T) {
	t.Parallel()
	f := typicalFeedback()
	want := []Header{{"content-type", []byte("application/json")}, {"traceparent", []byte(f.Traceparent)}}
	if got := f.Headers(); !equalHeaders(got, want) {
		t.Errorf("got %q", got)
	}
	f.Traceparent = ""
	if got := f.Headers(); !equalHeaders(got, want[:1]) {
		t.Errorf("without a trace: got %q", got)
	}
}

func TestDecodeFeedbackRefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]Error{
		``:                                    {Reason: BadJSON},
		`[]`:                                  {Reason: BadJSON},
		"{\"tenant\":\"\xff\"}":               {Reason: BadUTF8},
		strings.Repeat(" ", 1<<17):            {Reason: TooLarge},
		`{"tenant":"a","device":"d"}`:         {Reason: MissingField, Field: "outcome"},
		`{"outcome":"accepted","device":"d"}`: {Reason: MissingField, Field: "tenant"},
		`{"outcome":"accepted","tenant":"a"}`: {Reason: MissingField, Field: "device"},
		`{"outcome":"delivered","tenant":"a","device":"d"}`:                 {Reason: UnknownType, Field: "outcome"},
		`{"outcome":1,"tenant":"a","device":"d"}`:                           {Reason: BadField, Field: "outcome"},
		`{"outcome":"accepted","tenant":"a","device":"d","status":"200"}`:   {Reason: BadField, Field: "status"},
		`{"outcome":"accepted","tenant":"a","device":"d","status":-1}`:      {Reason: BadField, Field: "status"},
		`{"outcome":"accepted","tenant":"a","device":"d","attempts":1.5}`:   {Reason: BadField, Field: "attempts"},
		`{"outcome":"accepted","tenant":"a","device":"d","attempts":3e9}`:   {Reason: BadField, Field: "attempts"},
		`{"outcome":"accepted","tenant":"a","device":"d","provider":"gcm"}`: {Reason: BadField, Field: "provider"},
		`{"outcome":"stale","tenant":"a","device":"d","observed_at":"now"}`: {Reason: BadField, Field: "observed_at"},
	} {
		f, err := DecodeFeedback([]byte(value))
		checkError(t, value, err, want.Reason, want.Field)
		if f != (Feedback{}) {
			t.Errorf("%.60s: an error and a feedback too: %+v", value, f)
		}
	}
}
