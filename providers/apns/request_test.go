package apns

import (
	"cmp"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pushd/providers"
)

const ownTopic = "com.apple.mgmt.External.acme"

func TestRequestsCarryWhatAppleAsksFor(t *testing.T) {
	t.Parallel()
	expires := time.Unix(1_800_000_000, 999)
	payload := []byte(`{"aps":{"content-available":1}}`)
	for name, row := range map[string]struct {
		push providers.Push
		want request
	}{
		"mdm": {
			providers.Push{Token: "00AAff", PushMagic: "m", Expires: expires},
			request{head: head{ownTopic, "mdm", 10}, token: "00AAff", expiration: 1_800_000_000, pushMagic: "m"},
		},
		"mdm is never gentle": {
			providers.Push{Token: "00", PushMagic: "m", PushType: "mdm", Urgent: false, Expires: expires},
			request{head: head{ownTopic, "mdm", 10}, token: "00", expiration: 1_800_000_000, pushMagic: "m"},
		},
		"background": {
			providers.Push{Token: "00", Topic: "com.example", PushType: "background", Payload: payload, Urgent: true, Expires: expires},
			request{head: head{"com.example", "background", 5}, token: "00", expiration: 1_800_000_000, payload: payload},
		},
		"alert": {
			providers.Push{Token: "00", Topic: "com.example", PushType: "alert", Payload: payload, Expires: expires},
			request{head: head{"com.example", "alert", 10}, token: "00", expiration: 1_800_000_000, payload: payload},
		},
		"a payload replaces the built one": {
			providers.Push{Token: "00", PushMagic: "m", Payload: []byte(`{"mdm":"other"}`), Expires: expires},
			request{head: head{ownTopic, "mdm", 10}, token: "00", expiration: 1_800_000_000, payload: []byte(`{"mdm":"other"}`)},
		},
		"an expiry before 1970 is still one": {
			providers.Push{Token: "00", PushMagic: "m", Expires: time.Unix(-5, 0)},
			request{head: head{ownTopic, "mdm", 10}, token: "00", expiration: 1, pushMagic: "m"},
		},
	} {
		got, fault := newRequest(&row.push, ownTopic)
		gotBody, wantBody := got.appendBody(nil), row.want.appendBody(nil)
		if fault != "" || string(gotBody) != string(wantBody) || !equal(got, row.want) {
			t.Errorf("%s: %q %+v %s, want %+v %s", name, fault, got, gotBody, row.want, wantBody)
		}
	}
}

func equal(a, b request) bool {
	return a.token == b.token && a.head == b.head && a.expiration == b.expiration
}

func TestRequestsAreRefusedThatNoServerShouldSee(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		push providers.Push
		want string
	}{
		{providers.Push{PushMagic: "m"}, "invalid: token"},
		{providers.Push{Token: "00/../x", PushMagic: "m"}, "invalid: token"},
		{providers.Push{Token: "00\r\nx: y", PushMagic: "m"}, "invalid: token"},
		{providers.Push{Token: "０", PushMagic: "m"}, "invalid: token"},
		{providers.Push{Token: "00"}, "invalid: push magic"},
		{providers.Push{Token: "00", PushMagic: "a\xffb"}, "invalid: push magic"},
		{providers.Push{Token: "00", PushMagic: "m", Topic: "a\r\nx: y"}, "invalid: topic"},
		{providers.Push{Token: "00", PushMagic: "m", Topic: strings.Repeat("x", 256)}, "invalid: topic"},
		{providers.Push{Token: "00", PushType: "m dm", Payload: []byte("{}")}, "invalid: push type"},
		{providers.Push{Token: "00", PushType: "alert"}, "invalid: payload"},
	} {
		r, fault := newRequest(&row.push, ownTopic)
		if fault = cmp.Or(fault, r.fault()); fault != row.want {
			t.Errorf("%+v: %q, want %q", row.push, fault, row.want)
		}
	}
}

func FuzzPushMagicIsEncodedNeverPasted(f *testing.F) {
	for _, seed := range []string{"m", `"}`, `","aps":{}`, `\`, "\x00", "é", "<&>", "\u2028"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, magic string) {
		r, fault := newRequest(&providers.Push{Token: "00", PushMagic: magic}, ownTopic)
		if fault != "" {
			return
		}
		body := r.appendBody(nil)
		var fields map[string]string
		if err := json.Unmarshal(body, &fields); err != nil || len(fields) != 1 || fields["mdm"] != magic {
			t.Errorf("magic %q makes %s: %v", magic, body, err)
		}
	})
}
