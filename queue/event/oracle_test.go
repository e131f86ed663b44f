package event

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// oracle reads a record by the letter of docs/events.md, with encoding/json and without a thought for speed. Decode must take
// what it takes, and nothing else. It gives up (unsure) on half surrogate pairs, which encoding/json cannot tell from a
// U+FFFD that was meant.
func oracle(key, value []byte, headers []Header, recordTime time.Time) (e Event, ok, unsure bool) {
	if len(value) > 64<<10 || oracleHeaders(headers) || !utf8.Valid(value) || oracleDepth(value) > 16 {
		return Event{}, false, false
	}
	if halfPair.Match(value) {
		return Event{}, false, true
	}
	o := oracleRecord{fields: map[string]json.RawMessage{}, attributes: map[string]json.RawMessage{}, good: true}
	o.open(value, headers)
	e = o.event(key, value == nil)
	if e.Time.IsZero() {
		e.Time = recordTime
	}
	return e, o.good, false
}

// oracleHeaders says whether there are too many headers.
func oracleHeaders(headers []Header) bool {
	var number, size [2]int // of others, and of pushd's own
	for _, h := range headers {
		i := 0
		if strings.HasPrefix(h.Key, "pushd-dlq-") {
			i = 1
		}
		number[i]++
		size[i] += len(h.Key) + len(h.Value)
	}
	return number[0] > 64 || size[0] > 32<<10 || number[1] > 16 || size[1] > 4<<10
}

var halfPair = regexp.MustCompile(`(?i)\\ud[89a-f]`)

// oracleDepth is how deep value is nested, where it is JSON at all.
func oracleDepth(value []byte) int {
	d := json.NewDecoder(bytes.NewReader(value))
	depth, deepest := 0, 0
	for {
		switch token, err := d.Token(); {
		case err != nil:
			return deepest
		case token == json.Delim('{') || token == json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case token == json.Delim('}') || token == json.Delim(']'):
			depth--
		}
	}
}

type oracleRecord struct {
	fields, attributes map[string]json.RawMessage
	cloudEvent         bool
	good               bool
}

func (o *oracleRecord) open(value []byte, headers []Header) {
	var contentType string
	var trace json.RawMessage
	for _, h := range headers {
		quoted, _ := json.Marshal(string(h.Value))
		if h.Value == nil {
			quoted = []byte("null")
		} else if !utf8.Valid(h.Value) {
			quoted = []byte("0") // no good as a text either
		}
		switch name, found := strings.CutPrefix(h.Key, "ce_"); {
		case found:
			o.cloudEvent = true
			o.attributes[name] = quoted
		case h.Key == "traceparent":
			trace = quoted
		case strings.EqualFold(h.Key, "content-type"):
			contentType = string(h.Value)
			o.good = o.good && oracleFormat(contentType) != "unsupported"
		}
	}
	structured := oracleFormat(contentType) == "structured"
	if structured {
		o.cloudEvent = true
		o.attributes = map[string]json.RawMessage{}
	}
	o.attributes["traceparent"] = either(o.attributes["traceparent"], trace)
	if value == nil {
		o.cloudEvent = o.cloudEvent && !structured
		return
	}
	if structured {
		o.object(value, &o.attributes) // over the trace, if it has one
		o.good = o.good && !given(o.attributes["data_base64"])
		if value = o.attributes["data"]; !given(value) {
			return
		}
	}
	o.object(value, &o.fields)
}

func oracleFormat(contentType string) string {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.TrimSpace(mediaType)
	switch {
	case strings.EqualFold(mediaType, "application/cloudevents+json"):
		return "structured"
	case strings.HasPrefix(strings.ToLower(mediaType), "application/cloudevents"):
		return "unsupported"
	}
	return "bare"
}

func (o *oracleRecord) object(value []byte, into *map[string]json.RawMessage) {
	d := json.NewDecoder(bytes.NewReader(value))
	first, _ := d.Token()
	if first != json.Delim('{') || json.Unmarshal(value, into) != nil {
		o.good = false
	}
}

// text is a string of at most limit bytes without control characters; empty where it is absent or null.
func (o *oracleRecord) text(raw json.RawMessage, limit int) string {
	var s *string
	if raw == nil {
		return ""
	}
	if json.Unmarshal(raw, &s) != nil {
		o.good = false
		return ""
	}
	if s == nil {
		return ""
	}
	if len(*s) > limit || strings.ContainsFunc(*s, unicode.IsControl) {
		o.good = false
	}
	return *s
}

func given(raw json.RawMessage) bool { return raw != nil && string(raw) != "null" }

func (o *oracleRecord) matching(raw json.RawMessage, limit int, pattern *regexp.Regexp) string {
	s := o.text(raw, limit)
	if s != "" && !pattern.MatchString(s) {
		o.good = false
	}
	return s
}

func (o *oracleRecord) time(raw json.RawMessage) time.Time {
	if !given(raw) {
		return time.Time{}
	}
	var t time.Time
	word := o.text(raw, 1000)
	if err := t.UnmarshalText([]byte(word)); err != nil || !oracleTime.MatchString(word) || t.UTC().Year() < 1970 || t.UTC().Year() > 9999 {
		o.good = false
	}
	return t.UTC()
}

func (o *oracleRecord) oneOf(raw json.RawMessage, byDefault string, values ...string) string {
	if !given(raw) {
		return byDefault
	}
	s := o.text(raw, 1000)
	if !slices.Contains(values, s) {
		o.good = false
	}
	return s
}

func either(a, b json.RawMessage) json.RawMessage {
	if given(a) {
		return a
	}
	return b
}

var (
	oracleTenant  = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	oracleVisible = regexp.MustCompile(`^[!-~]+$`)
	oracleHex     = regexp.MustCompile(`^([0-9a-fA-F]{2})+$`)
	oracleTime    = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	oracleTrace   = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	oracleNoTrace = regexp.MustCompile(`^ff|^..-0{32}|^.{36}0{16}`)
)

func (o *oracleRecord) event(key []byte, tombstone bool) (e Event) {
	f, a := o.fields, o.attributes
	ceType := "wake"
	if o.cloudEvent {
		o.good = o.good && o.text(a["specversion"], 1000) == "1.0"
		ceTypes := map[string]string{"io.pushd.checkin.requested.v1": "wake", "io.pushd.checkin.started.v1": "checkin",
			"io.pushd.device.forgotten.v1": "forget"}
		if ceType = ceTypes[o.text(a["type"], 1000)]; ceType == "" {
			o.good = false
		}
	}
	name := o.oneOf(f["type"], ceType, "wake", "checkin", "forget")
	if o.cloudEvent && name != ceType {
		o.good = false
	}
	e.Type = map[string]Type{"wake": Wake, "checkin": Checkin, "forget": Forget}[name]
	if tombstone {
		e.Type = Forget
	}
	e.Priority = Normal
	o.identity(&e, key)
	e.ID = o.text(either(f["id"], a["id"]), 128)
	e.Time = o.time(either(f["time"], a["time"]))
	e.Reason = o.text(f["reason"], 255)
	var trace string
	if json.Unmarshal(a["traceparent"], &trace) == nil && oracleTrace.MatchString(trace) && !oracleNoTrace.MatchString(trace) {
		e.Traceparent = trace
	}
	if e.Type == Wake {
		o.wake(&e)
	}
	return e
}

func (o *oracleRecord) identity(e *Event, key []byte) {
	e.Tenant = o.matching(o.fields["tenant"], 64, oracleTenant)
	e.Device = o.text(o.fields["device"], 255)
	if len(key) > 0 {
		tenant, device, _ := strings.Cut(string(key), "/")
		if !oracleTenant.MatchString(tenant) || len(tenant) > 64 || device == "" || len(device) > 255 ||
			!utf8.ValidString(device) || strings.ContainsFunc(device, unicode.IsControl) ||
			e.Tenant != "" && e.Tenant != tenant || e.Device != "" && e.Device != device {
			o.good = false
		}
		e.Tenant, e.Device = tenant, device
	}
	ceTenant := o.text(o.attributes["tenant"], 1000)
	if e.Tenant == "" || e.Device == "" || ceTenant != "" && ceTenant != e.Tenant {
		o.good = false
	}
}

func (o *oracleRecord) wake(e *Event) {
	f, a := o.fields, o.attributes
	priority := o.oneOf(either(f["priority"], a["priority"]), "normal", "urgent", "normal", "bulk")
	e.Priority = map[string]Priority{"urgent": Urgent, "normal": Normal, "bulk": Bulk}[priority]
	e.Expires = o.time(either(f["expires"], a["expirytime"]))
	e.TokenRegisteredAt = o.time(f["token_registered_at"])
	if given(f["payload"]) {
		var compact bytes.Buffer
		if f["payload"][0] != '{' || json.Compact(&compact, f["payload"]) != nil || compact.Len() > 4096 {
			o.good = false
		}
		e.Payload = compact.Bytes()
	}
	e.Provider = o.oneOf(f["provider"], "", "apns", "fcm")
	switch e.Provider {
	case "apns":
		e.Token = o.matching(f["token"], 4096, oracleHex)
		e.PushMagic = o.text(f["push_magic"], 512)
		e.Topic = o.matching(f["topic"], 255, oracleVisible)
		e.PushType = o.oneOf(f["push_type"], "mdm", "alert", "background", "complication", "controls", "fileprovider",
			"liveactivity", "location", "mdm", "pushtotalk", "voip", "widgets")
		if e.PushType == "mdm" && e.PushMagic == "" && e.Payload == nil {
			o.good = false
		}
	case "fcm":
		e.Token = o.matching(f["token"], 4096, oracleVisible)
	}
	if e.Provider == "" || e.Token == "" {
		o.good = false
	}
}
