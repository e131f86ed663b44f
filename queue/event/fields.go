package event

import (
	"strconv"
	"strings"
	"time"
)

// rule is what a text field may hold.
type rule struct {
	field   string
	max     int // bytes
	allowed class
	mend    string
}

const (
	mendFree    = "write UTF-8 without control characters"
	mendVisible = "write visible ASCII, without spaces"
	mendTenant  = "write letters, digits, dots, underscores and hyphens"
)

var (
	idRule        = rule{"id", MaxID, free, mendFree}
	tenantRule    = rule{"tenant", MaxTenant, tenantChar, mendTenant}
	deviceRule    = rule{"device", MaxDevice, free, mendFree}
	apnsTokenRule = rule{"token", MaxToken, hexDigit, "write the APNs device token in hex, two digits for each byte"}
	fcmTokenRule  = rule{"token", MaxToken, visible, mendVisible}
	pushMagicRule = rule{"push_magic", MaxPushMagic, free, mendFree}
	topicRule     = rule{"topic", MaxTopic, visible, mendVisible}
	reasonRule    = rule{"reason", MaxReason, free, mendFree}
)

// reader takes values out of a record: it checks them and copies what is kept. The first fault stays.
type reader struct {
	to    *Decoder // keeps the strings
	fault *Error
}

func (r *reader) fail(fault *Error) {
	if r.fault == nil {
		r.fault = fault
	}
}

func (r *reader) missing(field, mend string) {
	r.fail(&Error{MissingField, field, "is missing; " + mend})
}

func (r *reader) bad(field, mend string) {
	r.fail(&Error{BadField, field, "is not valid; " + mend})
}

// word is the bytes of a text, good until the record's memory goes; nil where the value is not given or is no text.
func (r *reader) word(field string, v value) []byte {
	if !v.given() {
		return nil
	}
	if v.kind != text {
		r.fail(&Error{BadField, field, "is " + kindNames[v.kind] + "; write a string"})
		return nil
	}
	return v.bytes()
}

// text is a checked copy of a text; empty where it is not given.
func (r *reader) text(rule *rule, v value) string {
	word := r.word(rule.field, v)
	if len(word) > rule.max {
		r.fail(tooLarge(rule.field, len(word), rule.max, "write fewer bytes"))
		return ""
	}
	if !rule.allowed.has(word) {
		r.bad(rule.field, rule.mend)
		return ""
	}
	return r.keep(word)
}

func (r *reader) keep(word []byte) string {
	kept := &r.to.kept
	from := kept.Len()
	kept.Write(word)
	return kept.String()[from:]
}

// time is a time; zero where it is not given.
func (r *reader) time(field string, v value) time.Time {
	word := r.word(field, v)
	if word == nil {
		return time.Time{}
	}
	var t time.Time
	err := t.UnmarshalText(word)
	t = t.UTC()
	if err != nil || !isRFC3339(word) || t.Year() < 1970 || t.Year() > 9999 {
		r.bad(field, "write a time between 1970 and 9999 by RFC 3339, as 2026-01-02T15:04:05.678Z")
		return time.Time{}
	}
	return t
}

// isRFC3339 refuses what the time package takes beyond RFC 3339, of a word that it took: hours of one digit, a comma before
// the fraction and zones of a day or more (https://go.dev/issue/54580).
func isRFC3339(word []byte) bool {
	if len(word) < len("2006-01-02T15:04:05Z") || word[13] != ':' || word[19] == ',' {
		return false
	}
	zone := word[len(word)-len("+07:00"):]
	return zone[5] == 'Z' || string(zone[1:3]) < "24" && string(zone[4:6]) < "60"
}

func (r *reader) priority(v value) Priority {
	word := r.word("priority", v)
	if word == nil {
		return Normal
	}
	for p, name := range priorityNames {
		if string(word) == name {
			return Priority(p)
		}
	}
	r.bad("priority", "write urgent, normal or bulk")
	return Normal
}

func (r *reader) provider(v value) string {
	switch word := r.word("provider", v); string(word) {
	case apns:
		return apns
	case fcm:
		return fcm
	case "":
		r.missing("provider", "write apns or fcm")
	default:
		r.bad("provider", "write apns or fcm")
	}
	return ""
}

// pushTypes are the values that Apple's "Sending notification requests to APNs" lists for apns-push-type.
var pushTypes = [...]string{
	pushTypeMDM, "alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location",
	"pushtotalk", "voip", "widgets",
}

func (r *reader) pushType(v value) string {
	word := r.word("push_type", v)
	if word == nil {
		return pushTypeMDM
	}
	for _, name := range pushTypes {
		if string(word) == name {
			return name
		}
	}
	r.bad("push_type", "write one of "+strings.Join(pushTypes[:], ", "))
	return ""
}

// payload is a copy of a JSON object without white space; nil where it is not given.
func (r *reader) payload(v value) []byte {
	if !v.given() {
		return nil
	}
	if v.kind != object {
		r.fail(&Error{BadField, "payload", "is " + kindNames[v.kind] + "; write a JSON object"})
		return nil
	}
	compact, ok := appendCompact(make([]byte, 0, min(len(v.raw), MaxPayload)), v.raw, MaxPayload)
	if !ok {
		r.fail(&Error{TooLarge, "payload", "over " + strconv.Itoa(MaxPayload) + " bytes; the providers take no more"})
		return nil
	}
	return compact
}

// traceparent is a copy of a W3C trace context. One that is none is dropped, as the W3C asks: a fault in a trace must not
// cost a wake.
func (r *reader) traceparent(v value) string {
	if v.kind != text || !isTraceparent(v.bytes()) {
		return ""
	}
	return r.keep(v.bytes())
}

// isTraceparent: https://www.w3.org/TR/trace-context/#traceparent-header, the 55 bytes of version 00, which those of
// later versions begin with.
func isTraceparent(b []byte) bool {
	if len(b) != 55 || b[2] != '-' || b[35] != '-' || b[52] != '-' || string(b[:2]) == "ff" {
		return false
	}
	trace, parent := b[3:35], b[36:52]
	for _, part := range [...][]byte{b[:2], trace, parent, b[53:]} {
		if !lowerHex.has(part) {
			return false
		}
	}
	const zeros = "00000000000000000000000000000000"
	return string(trace) != zeros && string(parent) != zeros[:16]
}
