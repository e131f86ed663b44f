package fcm

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pushd/providers"
)

func TestRequestsCarryWhatThePushSays(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		push providers.Push
		want string
	}{
		"a wake-up": {
			providers.Push{Token: "tok", Expires: now.Add(24 * time.Hour)},
			`{"data":{"t":"checkin"},"android":{"ttl":"86400s","priority":"normal","direct_boot_ok":true},"token":"tok"}`,
		},
		"an urgent one": {
			providers.Push{Token: "tok", Urgent: true, Expires: now.Add(1500 * time.Millisecond)},
			`{"data":{"t":"checkin"},"android":{"ttl":"2s","priority":"high","direct_boot_ok":true},"token":"tok"}`,
		},
		"one that is over": {
			providers.Push{Token: "tok", Expires: now.Add(-time.Hour)},
			`{"data":{"t":"checkin"},"android":{"ttl":"0s","priority":"normal","direct_boot_ok":true},"token":"tok"}`,
		},
		"one for longer than FCM stores": {
			providers.Push{Token: "tok", Expires: now.Add(365 * 24 * time.Hour)},
			`{"data":{"t":"checkin"},"android":{"ttl":"2419200s","priority":"normal","direct_boot_ok":true},"token":"tok"}`,
		},
		"a payload": {
			providers.Push{Token: "tok", Expires: now, Payload: []byte(`{"s":"a \"b\" \u00e9","n":12345678901234567890,"b":true,"o":{ "x" : [1, 2] },"z":null}`)},
			`{"data":{"b":"true","n":"12345678901234567890","o":"{\"x\":[1,2]}","s":"a \"b\" é","z":"null"},"android":{"ttl":"0s","priority":"normal","direct_boot_ok":true},"token":"tok"}`,
		},
	} {
		r, fault := newRequest(&row.push, now)
		if fault != "" {
			t.Errorf("%s: %s", name, fault)
		}
		if got, err := json.Marshal(r.message(new(Config))); err != nil || string(got) != row.want {
			t.Errorf("%s: %v\n%s, want\n%s", name, err, got, row.want)
		}
		sameAsTheSDK(t, &r, new(Config))
	}
}

// sameAsTheSDK checks that the body made by hand says what the Firebase SDK's says.
func sameAsTheSDK(t *testing.T, r *request, cfg *Config) {
	t.Helper()
	sdk, err := json.Marshal(map[string]any{"message": r.message(cfg)})
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	ours := r.appendJSON(nil, cfg)
	if err := errors.Join(json.Unmarshal(sdk, &want), json.Unmarshal(ours, &got)); err != nil {
		t.Fatalf("%v in %s", err, ours)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nis not what the SDK says:\n%s", ours, sdk)
	}
}

func FuzzTheBodyIsTheSDKs(f *testing.F) {
	f.Add("tok", `{"a":"b"}`, "mdm", int64(5), true)
	f.Add("tok", `{}`, "mdm", int64(5), true)
	f.Add("\"}", `{"<":"\u2028\\","n":1e3,"o":{"x":[]}}`, "a\"b", int64(-5), false)
	f.Fuzz(func(t *testing.T, token, payload, word string, expires int64, urgent bool) {
		p := providers.Push{Token: token, Payload: []byte(payload), Expires: time.Unix(expires, 0), Urgent: urgent}
		if r, fault := newRequest(&p, now); fault == "" && utf8.ValidString(word) {
			sameAsTheSDK(t, &r, &Config{CollapseKey: word, RestrictedPackageName: word})
		}
	})
}

func TestCollapseKeyAndPackageComeFromTheConfiguration(t *testing.T) {
	t.Parallel()
	r, _ := newRequest(&providers.Push{Token: "tok", Expires: now}, now)
	cfg := &Config{CollapseKey: "mdm", RestrictedPackageName: "com.example.dpc"}
	sameAsTheSDK(t, &r, cfg)
	got, err := json.Marshal(r.message(cfg))
	if err != nil || !strings.Contains(string(got), `"collapse_key":"mdm"`) || !strings.Contains(string(got), `"restricted_package_name":"com.example.dpc"`) {
		t.Errorf("%v %s", err, got)
	}
}

func TestRequestsAreRefusedThatNoMessageCanBeMadeOf(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		push providers.Push
		want string
	}{
		{providers.Push{}, "invalid: token"},
		{providers.Push{Token: "a\xff"}, "invalid: token"},
		{providers.Push{Token: strings.Repeat("x", 4097)}, "invalid: token"},
		{providers.Push{Token: "t", Payload: []byte(`[]`)}, "invalid: payload"},
		{providers.Push{Token: "t", Payload: []byte(`null`)}, "invalid: payload"},
		{providers.Push{Token: "t", Payload: []byte(`{"a":`)}, "invalid: payload"},
		{providers.Push{Token: "t", Payload: []byte{}}, "invalid: payload"},
	} {
		if _, fault := newRequest(&row.push, now); fault != row.want {
			t.Errorf("%q %s: %q, want %q", row.push.Token, row.push.Payload, fault, row.want)
		}
	}
}

func FuzzDataIsWhatThePayloadSays(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":"b"}`, `{"a":1.0,"b":[1, "x"]}`, `{"a":"\ud800"}`, `{"":null}`, ` {"a" : {} } `, `{"a":1e999}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		data := dataOf(payload)
		var fields map[string]any
		oracle := json.NewDecoder(bytes.NewReader(payload))
		oracle.UseNumber() // a number may be larger than a float64 can be: it is text to FCM
		valid := json.Valid(payload) && oracle.Decode(&fields) == nil && fields != nil
		if valid != (data != nil) || len(data) != len(fields) {
			t.Fatalf("%q gives %v", payload, data)
		}
		for key, value := range fields {
			if text, ok := value.(string); ok {
				if data[key] != text {
					t.Errorf("%q is %q in %q", key, data[key], payload)
				}
			} else if !json.Valid([]byte(data[key])) {
				t.Errorf("%q is no JSON text in %q: %q", key, payload, data[key])
			}
		}
	})
}
