package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// checkError wants an *Error with that reason and field.
func checkError(t *testing.T, what string, err error, reason Reason, field string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Reason != reason || e.Field != field {
		t.Errorf("%.80q: got error %v, want %s of field %q", what, err, reason, field)
	}
}

// wakeWith is a good APNs wake of acme/d with one more field, or another value for one.
func wakeWith(field, raw string) []byte {
	return fmt.Appendf(nil, `{"tenant":"acme","device":"d","provider":"apns","token":"7c1b","push_magic":"m",%q:%s}`, field, raw)
}

func TestEveryBoundIsReachedAndNotPassed(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return `"` + strings.Repeat("a", n) + `"` }
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	payload := func(n int) string { return `{ "a" : "` + strings.Repeat("x", n-len(`{"a":""}`)) + `" }` }
	for _, c := range []struct {
		field  string
		limit  int
		raw    func(n int) string
		step   int
		reason Reason
	}{
		{"id", MaxID, text, 1, TooLarge},
		{"token", MaxToken, text, 2, TooLarge},
		{"push_magic", MaxPushMagic, text, 1, TooLarge},
		{"topic", MaxTopic, text, 1, TooLarge},
		{"reason", MaxReason, text, 1, TooLarge},
		{"tenant", MaxTenant, text, 1, TooLarge},
		{"device", MaxDevice, text, 1, TooLarge},
		{"payload", MaxPayload, payload, 1, TooLarge},
		{"payload", MaxPayload, func(n int) string { return `{"a":"` + strings.Repeat(`x`, n-10) + `\n"}` }, 1, TooLarge},
		{"unknown", MaxDepth - 1, nested, 1, TooDeep},
		{"unknown", MaxValue - len(wakeWith("unknown", `""`)), text, 1, TooLarge},
	} {
		if _, err := Decode(nil, wakeWith(c.field, c.raw(c.limit)), nil, goldenTime); err != nil {
			t.Errorf("%s of %d: %v", c.field, c.limit, err)
		}
		field := c.field
		if field == "unknown" {
			field = ""
		}
		_, err := Decode(nil, wakeWith(c.field, c.raw(c.limit+c.step)), nil, goldenTime)
		checkError(t, c.field, err, c.reason, field)
	}
}

func TestNestingIsCountedFromTheOutsideNotInAll(t *testing.T) {
	t.Parallel()
	if _, err := Decode(nil, wakeWith("unknown", `[`+strings.Repeat(`{"a":[]},{},`, 100)+`0]`), nil, goldenTime); err != nil {
		t.Error(err)
	}
}

func TestJSONIsTakenAsEncodingJSONTakesIt(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`0`, `-0`, `01`, `-`, `+1`, `.5`, `1.`, `1.5`, `1e`, `1e+`, `1E-07`, `1e5.5`, `0x1`, `NaN`, `true`, `tru`,
		`truex`, `True`, `null`, `nul`, `"`, `"a`, `"\`, `"\"`, `"\"\\\/\b\f\n\r\t\u00e9"`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\u12G4"`,
		"\"\t\"", `'a'`, `[`, `[]`, `[,]`, `[1,]`, `[1 2]`, `[1}`, `{`, `{}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1 "b":2}`,
		`{a:1}`, `{1:1}`, `{"a" : [ 1 , { } ] }`, ``, ` `, `1 1`, `//`, "\x00", "\ufeff1", "\u00a01", "\f1", "\r\n\t 1"} {
		for _, value := range [][]byte{wakeWith("unknown", raw), []byte(raw), wakeWith("id", `"i"`+raw)} {
			_, err := Decode([]byte("acme/d"), value, nil, goldenTime)
			if isJSON := json.Valid(value); isJSON == (ReasonOf(err) == BadJSON) && bytes.HasPrefix(value, []byte("{")) {
				t.Errorf("%s: %v, encoding/json says %v", value, err, isJSON)
			} else if err == nil && !isJSON {
				t.Errorf("%s is taken", value)
			}
		}
	}
}

func TestWhatIsNoUnicodeIsRefusedWhereverItStands(t *testing.T) {
	t.Parallel()
	for _, half := range []string{`\ud83d`, `\ud83dx`, `\ud83d\n`, `\ud83d\u0041`, `\ud83d\ud83d`, `\ude42`, `\ude42\ud83d`, `\uD83D\u12`, "\xff", "\xed\xa0\x80"} {
		for _, value := range [][]byte{wakeWith("id", `"`+half+`"`), wakeWith("unknown", `["`+half+`"]`), wakeWith("payload", `{"`+half+`":0}`)} {
			_, err := Decode(nil, value, nil, goldenTime)
			checkError(t, string(value), err, BadUTF8, "")
		}
	}
}

func TestTheKeyIsBoundedAsTenantAndDeviceAre(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("t", MaxTenant) + "/" + strings.Repeat("é", MaxDevice/2) + "x"
	e, err := Decode([]byte(long), nil, nil, goldenTime)
	if err != nil || e.Tenant+"/"+e.Device != long {
		t.Errorf("got %+v, %v", e, err)
	}
	for _, key := range []string{"t" + long, long + "x", "/d", "t/", "/", "t", "a b/d", "t/\n", "t/\x7f", "t/\u0085", "t/\xff", "é/d"} {
		_, err := Decode([]byte(key), nil, nil, goldenTime)
		checkError(t, key, err, BadKey, "key")
	}
}

func TestARecordWithTooManyHeadersIsRefused(t *testing.T) {
	t.Parallel()
	many := func(name string, n, bytes int) []Header {
		headers := make([]Header, n)
		for i := range headers {
			headers[i] = Header{name, make([]byte, bytes/n-len(name))}
		}
		return headers
	}
	own := DeadLetterHeaders(nil, Cut{1, 2, 3}, &Error{BadJSON, "", strings.Repeat("x", 999)}, strings.Repeat("t", 249), 1, 2, goldenTime)
	full := append(many("a", MaxHeaders, MaxHeaderBytes), own...) // a dead letter of a record that had all it may have, replayed
	if _, err := Decode(typicalKey, typicalValue, full, goldenTime); err != nil {
		t.Error(err)
	}
	for name, headers := range map[string][]Header{
		"one header more":       append(slices.Clone(full), Header{}),
		"one byte more":         append(many("a", 1, MaxHeaderBytes), Header{Key: "b"}),
		"empty headers":         make([]Header, MaxHeaders+1),
		"very many of pushd's":  many("pushd-dlq-x", 17, 999),
		"very large of pushd's": many("pushd-dlq-x", 1, 4097),
	} {
		_, err := Decode(typicalKey, typicalValue, headers, goldenTime)
		checkError(t, name, err, TooLarge, "headers")
	}
}

func TestControlCharactersAreRefusedInEveryText(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"id", "tenant", "device", "token", "push_magic", "topic", "reason", "push_type", "priority", "provider"} {
		for _, evil := range []string{`\r`, `\n`, `\b`, `\f`, `\t`, `\u0000`, `\u001b`, `\u007f`, `\u0085`, "\u009f", "\x7f"} {
			value := wakeWith(field, `"00`+evil+`00"`)
			_, err := Decode(nil, value, nil, goldenTime)
			checkError(t, string(value), err, BadField, field)
		}
	}
}

// Token and topic become a path and a header of the request to APNs, the tenant a name of files.
func TestNothingThatBecomesAHeaderAPathOrAFileNameHoldsMoreThanItMay(t *testing.T) {
	t.Parallel()
	for field, allowed := range map[string]class{"token": hexDigit, "topic": visible, "tenant": tenantChar} {
		taken := 0
		for r := range rune(0x300) {
			raw, _ := json.Marshal("00" + string(r) + "0")
			value := bytes.Replace(wakeWith("x", `0`), []byte(`"tenant":"acme",`), nil, 1)
			value = append(value[:len(value)-1], fmt.Sprintf(`,"tenant":"acme",%q:%s}`, field, raw)...)
			e, err := Decode(nil, value, nil, goldenTime)
			if err != nil {
				continue
			}
			taken++
			if word := map[string]string{"token": e.Token, "topic": e.Topic, "tenant": e.Tenant}[field]; !allowed.has([]byte(word)) {
				t.Errorf("%s holds %q", field, word)
			}
		}
		if want := map[class]int{hexDigit: 22, visible: 94, tenantChar: 65}[allowed]; taken != want {
			t.Errorf("%s: %d characters are taken, want %d", field, taken, want)
		}
	}
}

func TestNoErrorTellsWhatTheRecordHolds(t *testing.T) {
	t.Parallel()
	const canary = "CANARY"
	values := []string{canary, `{"` + canary + `":` + canary, `["` + canary + `"]`, `{} ` + canary}
	for _, field := range []string{"id", "type", "tenant", "device", "provider", "token", "push_magic", "topic", "push_type",
		"payload", "priority", "time", "expires", "token_registered_at", "reason"} {
		for _, raw := range []string{`"` + canary + ` \n"`, `["` + canary + `"]`, `"` + canary + strings.Repeat("x", 5000) + `"`, canary} {
			values = append(values, string(wakeWith(field, raw)))
		}
	}
	for _, value := range values {
		for _, name := range []string{"x", "ce_specversion", "ce_type", "ce_tenant", "content-type"} {
			headers := []Header{{name, []byte("application/cloudevents+" + canary)}}
			_, err := Decode([]byte(canary+"/"+canary), []byte(value), headers, goldenTime)
			if err == nil || strings.Contains(err.Error(), canary) || len(err.Error()) > 300 {
				t.Errorf("%.60q, header %s: %v", value, name, err)
			}
		}
	}
}

func TestAnEventKeepsNothingOfItsRecord(t *testing.T) {
	t.Parallel()
	value := bytes.Replace(typicalValue, []byte(`"priority"`), []byte(`"topic":"a.b","reason":"r","payload":{"a":1},"priority"`), 1)
	key, headers := bytes.Clone(typicalKey), []Header{{"traceparent", bytes.Clone(typicalHeaders[1].Value)}}
	e, err := Decode(key, value, headers, goldenTime)
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprintf("%+v", e)
	for _, memory := range [][]byte{key, value, headers[0].Value} {
		for i := range memory {
			memory[i] = '!'
		}
	}
	if after := fmt.Sprintf("%+v", e); after != before {
		t.Errorf("the event became\n%s, was\n%s", after, before)
	}
}

func TestTheRecordsTimeStandsInOnlyForATimeThatIsMissing(t *testing.T) {
	t.Parallel()
	recordTime := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for raw, want := range map[string]time.Time{
		`null`:                           recordTime,
		`"2026-01-02T15:04:05.5+05:30"`:  time.Date(2026, 1, 2, 9, 34, 5, 5e8, time.UTC),
		`"1970-01-01T00:00:00Z"`:         time.Unix(0, 0).UTC(),
		`"9999-12-31T23:59:59.999999Z"`:  time.Date(9999, 12, 31, 23, 59, 59, 999999e3, time.UTC),
		`"2026-01-02T15:04:05\u005a"`:    time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
		`"2024-02-29T00:00:00.0000001Z"`: time.Date(2024, 2, 29, 0, 0, 0, 100, time.UTC),
	} {
		e, err := Decode(nil, wakeWith("time", raw), nil, recordTime)
		if err != nil || e.Time != want {
			t.Errorf("%s: got %v, %v; want %v", raw, e.Time, err, want)
		}
	}
	for _, raw := range []string{`""`, `"0001-01-01T00:00:00Z"`, `"1969-12-31T23:59:59Z"`, `"9999-12-31T23:59:59-01:00"`,
		`"2026-02-29T00:00:00Z"`, `"2026-01-02 15:04:05Z"`, `"2026-01-02T15:04:05,5Z"`, `"2026-01-02T24:00:00Z"`, `"2026-01-02T5:04:05Z"`, `"2026-01-02T5:04:05.5Z"`, `"2026-01-02T15:04:05+24:00"`, `"2026-01-02T15:04:05+00:60"`, `"now"`} {
		_, err := Decode(nil, wakeWith("time", raw), nil, recordTime)
		checkError(t, raw, err, BadField, "time")
	}
}

func TestATraceContextIsCarriedOrDroppedButNeverAFault(t *testing.T) {
	t.Parallel()
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for given, want := range map[string]string{
		good:                  good,
		"cc" + good[2:]:       "cc" + good[2:],
		"ff" + good[2:]:       "",
		strings.ToUpper(good): "",
		good + "-x":           "",
		good[:54]:             "",
		good[:3] + strings.Repeat("0", 32) + good[35:]:  "",
		good[:36] + strings.Repeat("0", 16) + good[52:]: "",
		strings.Replace(good, "-", "_", 1):              "",
		"":                                              "",
		"\r\n" + good[2:]:                               "",
	} {
		for _, name := range []string{"traceparent", "ce_traceparent"} {
			headers := []Header{{name, []byte(given)}}
			if name == "ce_traceparent" {
				headers = append(headers, Header{"ce_specversion", []byte("1.0")}, Header{"ce_type", []byte(ceWake)})
			}
			e, err := Decode(typicalKey, typicalValue, headers, goldenTime)
			if err != nil || e.Traceparent != want {
				t.Errorf("%s %q: got %q, %v", name, given, e.Traceparent, err)
			}
		}
	}
}

func TestEveryPushTypeOfAppleIsKnown(t *testing.T) {
	t.Parallel()
	if len(pushTypes) != 11 {
		t.Errorf("%d push types, Apple lists 11", len(pushTypes))
	}
	for _, name := range pushTypes {
		if e, err := Decode(nil, wakeWith("push_type", `"`+name+`"`), nil, goldenTime); err != nil || e.PushType != name {
			t.Errorf("%s: got %q, %v", name, e.PushType, err)
		}
	}
}

func TestEncodeWritesWhatDecodeReads(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 15, 4, 5, 6, time.UTC)
	for _, want := range []Event{
		{Type: Forget, Priority: Normal, Tenant: "a", Device: "d", Time: at},
		{Type: Checkin, Priority: Normal, Tenant: "a", Device: `d/"\` + "é🙂\u2028", Time: at, ID: "i", Reason: "</script>"},
		{Priority: Urgent, Tenant: "a", Device: "d", Provider: "fcm", Token: `!"\~`, Time: at},
		{Priority: Bulk, Tenant: "a", Device: "d", Provider: "apns", Token: "00", PushMagic: `"\`, PushType: "mdm", Topic: "t",
			Payload: []byte(`{"a":{}}`), Time: at, Expires: at.Add(time.Hour), TokenRegisteredAt: at.Add(-time.Hour),
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	} {
		key, value := Encode(&want)
		got, err := Decode(key, value, want.Headers(), time.Time{})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v, %v\nwant %+v", value, got, err, want)
		}
	}
}

func TestEveryReasonHasItsOwnName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for reason := Other; reason <= UnknownTenant; reason++ {
		if reason.String() == "" || seen[reason.String()] {
			t.Errorf("reason %d is called %q", reason, reason)
		}
		seen[reason.String()] = true
		if err := fmt.Errorf("read: %w", &Error{Reason: reason}); ReasonOf(err) != reason {
			t.Errorf("the reason of %v is %v", err, ReasonOf(err))
		}
	}
	if ReasonOf(errors.New("bad_json")) != Other {
		t.Error("an error of somebody else has a reason of ours")
	}
}

// randomValues are what a field may hold, good and bad, as JSON.
var randomValues = map[string][]string{
	"id":                  {`"i"`, `"é"`, `""`, `"\n"`, `"` + strings.Repeat("x", 129) + `"`},
	"type":                {`"wake"`, `"wake"`, `"checkin"`, `"forget"`, `"w\u0061ke"`, `""`, `"Wake"`},
	"tenant":              {`"acme"`, `"acme"`, `"a\u0063me"`, `""`, `"other"`, `"a/b"`},
	"device":              {`"d"`, `"d"`, `"\u0064"`, `""`, `"other"`, `"\u0007"`},
	"provider":            {`"apns"`, `"apns"`, `"fcm"`, `""`, `"gcm"`},
	"token":               {`"7c1B"`, `"7c1B"`, `"7c1"`, `"a:b"`, `""`, `"a b"`},
	"push_magic":          {`"m"`, `"m"`, `"\"\\"`, `""`, `"\r"`},
	"topic":               {`"com.example"`, `""`, `"a b"`, `"é"`},
	"push_type":           {`"mdm"`, `"alert"`, `"voip"`, `""`, `"silent"`},
	"payload":             {`{}`, `{ "a" : [1, "b \" ] c"] }`, `[]`, `"{}"`},
	"priority":            {`"urgent"`, `"normal"`, `"bulk"`, `"high"`, `""`},
	"time":                {`"2026-01-02T15:04:05Z"`, `"2026-01-02T15:04:05.123456789+02:00"`, `"2026"`, `""`, `"1950-01-01T00:00:00Z"`},
	"expires":             {`"2026-01-02T15:04:05Z"`, `"2026-13-02T15:04:05Z"`},
	"token_registered_at": {`"2026-01-02T15:04:05Z"`, `"yesterday"`},
	"reason":              {`"because"`, `"\u0085"`, `""`},
	"unknown":             {`[[{"a":null}],1e9,-0.5]`, `"\ud83d\ude42"`},
	"specversion":         {`"1.0"`, `"1.0"`, `"1.0"`, `"1.1"`},
	"ce_type":             {`"` + ceWake + `"`, `"` + ceWake + `"`, `"` + ceCheckin + `"`, `"` + ceForget + `"`, `"x"`},
	"expirytime":          {`"2026-01-02T15:04:05Z"`, `"never"`},
	"traceparent":         {`"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`, `"00"`},
	"data_base64":         {`"e30="`, `null`},
}

// randomObject writes each of the fields with a probability, sometimes twice, mostly good.
func randomObject(rng *rand.Rand, fields []string, extra string) string {
	var members []string
	for _, field := range fields {
		needed := slices.Contains(neededFields, field)
		for needed && rng.IntN(20) > 0 || !needed && rng.IntN(3) == 0 {
			pool := randomValues[field]
			raw := pool[min(rng.IntN(len(pool)), rng.IntN(len(pool)), rng.IntN(len(pool)))]
			if rng.IntN(60) == 0 {
				raw = []string{"null", "7", "true", "{}", `"\ud800"`, "nul"}[rng.IntN(6)]
			}
			members = append(members, `"`+strings.TrimPrefix(field, "ce_")+`": `+raw)
			if rng.IntN(5) > 0 {
				break
			}
		}
	}
	if extra != "" {
		members = append(members, extra)
	}
	rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, " ,\n") + "}"
}

var (
	bodyFields = []string{"id", "type", "tenant", "device", "provider", "token", "push_magic", "topic", "push_type", "payload",
		"priority", "time", "expires", "token_registered_at", "reason", "unknown"}
	leastFields    = []string{"provider", "token", "push_magic"}
	neededFields   = append(leastFields, "specversion", "ce_type")
	envelopeFields = []string{"id", "ce_type", "tenant", "time", "expirytime", "priority", "traceparent", "specversion", "data_base64"}
)

func TestDecodeAgreesWithTheOracleOnRandomRecords(t *testing.T) {
	t.Parallel()
	taken := 0
	for seed := range uint64(8000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fields := bodyFields
		if rng.IntN(2) == 0 {
			fields = leastFields
		}
		value := []byte(randomObject(rng, fields, ""))
		var headers []Header
		switch rng.IntN(3) {
		case 1:
			value = []byte(randomObject(rng, envelopeFields, `"data":`+string(value)))
			headers = []Header{{"Content-Type", []byte("application/cloudevents+json;charset=utf-8")}}
		case 2:
			for _, field := range envelopeFields[:8] {
				if pool := randomValues[field]; rng.IntN(3) == 0 || slices.Contains(neededFields, field) {
					text := strings.Trim(pool[min(rng.IntN(len(pool)), rng.IntN(len(pool)), rng.IntN(len(pool)))], `"`)
					headers = append(headers, Header{"ce_" + strings.TrimPrefix(field, "ce_"), []byte(text)})
				}
			}
			if rng.IntN(10) == 0 {
				value = nil
			}
		}
		key := []string{"acme/d", "acme/d", "acme/d", "acme/d", "acme/d", "acme/other", "acme", ""}[rng.IntN(8)]
		compareWithOracle(t, []byte(key), value, headers)
		if _, err := Decode([]byte(key), value, headers, fuzzTime); err == nil {
			taken++
		}
	}
	if taken < 800 || taken > 7200 {
		t.Errorf("%d of 8000 random records are good: too one-sided to tell much", taken)
	}
}
