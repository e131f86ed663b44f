package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go"

	"pushd/loadtest/mixture"
	"pushd/queue/event"
)

// hostile is a record that nobody should publish, and what has to become of it.
type hostile struct {
	kafka.Message
	letter   event.Reason  // of its dead letter, where feedback is 0
	feedback event.Outcome // else
	why      string        // the feedback's reason
	token    string
}

// cut is what its dead letter does not hold.
func (h *hostile) cut() (cut event.Cut) {
	if len(h.Key) > event.MaxKeptKey {
		cut.Key = len(h.Key)
	}
	if len(h.Value) > event.MaxValue {
		cut.Value = len(h.Value)
	}
	var room event.HeaderRoom
	for _, header := range h.Headers {
		room.Takes(header.Key, header.Value)
	}
	cut.Headers = room.Cut()
	return cut
}

// hostileKinds are all kinds of them. Each makes the record of a device that is given with its tenant; wake is a good wake of it.
var hostileKinds = []func(tenant mixture.Tenant, device string, wake map[string]any) hostile{
	// Not JSON, or not one object.
	raw(event.BadJSON, func(good []byte) string { return string(good[:len(good)/2]) }),
	raw(event.BadJSON, func(good []byte) string { return "[" + string(good) + "]" }),
	raw(event.BadJSON, func(good []byte) string { return string(good) + string(good) }),
	raw(event.BadJSON, func(good []byte) string { return "wake up" }),
	raw(event.BadJSON, func(good []byte) string { return strings.Replace(string(good), "magic", "ma\r\ngic", 1) }),
	raw(event.BadUTF8, func(good []byte) string { return strings.Replace(string(good), "magic", "ma\xff\xfegic", 1) }),
	raw(event.BadUTF8, func(good []byte) string { return strings.Replace(string(good), "magic", `ma\ud800gic`, 1) }),
	// Too much.
	raw(event.TooLarge, func(good []byte) string {
		padded := `{"padding":"` + strings.Repeat("x", 1<<20) + `",` + string(good[1:])
		return padded[:1<<20-2] + `"}`
	}),
	raw(event.TooLarge, func(good []byte) string {
		return string(good[:len(good)-1]) + `,"padding":"` + strings.Repeat("é", 1<<15) + `"}`
	}),
	raw(event.TooDeep, func(good []byte) string { return `{"a":` + strings.Repeat("[", 60_000) }),
	raw(event.TooDeep, func(good []byte) string {
		return string(good[:len(good)-1]) + `,"payload":` + strings.Repeat(`{"a":`, 16) + `1` + strings.Repeat(`}`, 16) + `}`
	}),
	with(event.TooLarge, "payload", map[string]string{"a": strings.Repeat("x", 5000)}),
	with(event.TooLarge, "token", strings.Repeat("a", 5000)),
	headed(event.TooLarge, kafka.Header{Key: "huge", Value: make([]byte, 900_000)}),
	headed(event.TooLarge, make([]kafka.Header, 5000)...),
	// Wrong types, missing fields, wrong values.
	with(event.BadField, "token", 7), with(event.BadField, "device", map[string]int{"a": 1}), with(event.BadField, "priority", true),
	with(event.BadField, "expires", 1e9), with(event.BadField, "time", "99999-01-01T00:00:00Z"), with(event.BadField, "token", "abc"),
	with(event.BadField, "token", "../../etc/passwd"), with(event.BadField, "provider", "pigeon"), with(event.BadField, "push_type", "mdm\x00"),
	with(event.MissingField, "token", nil), with(event.MissingField, "provider", nil), with(event.MissingField, "push_magic", nil),
	with(event.UnknownType, "type", "explode"),
	// A line break in every text.
	crlf("id"), crlf("tenant"), crlf("device"), crlf("provider"), crlf("token"), crlf("push_magic"), crlf("topic"), crlf("push_type"),
	crlf("priority"), crlf("time"), crlf("expires"), crlf("token_registered_at"), crlf("reason"),
	headed(event.BadField, cloudEvent(kafka.Header{Key: "ce_id", Value: []byte("1\r\nx: y")})...),
	// Keys.
	keyed(event.BadKey, func(key string) string { return key + "\r\nx: y" }),
	keyed(event.BadKey, func(key string) string { return strings.ReplaceAll(key, "/", "-") }),
	keyed(event.BadKey, func(key string) string { return key + strings.Repeat("k", 500_000) }),
	keyed(event.KeyMismatch, func(key string) string { return key + "x" }),
	// CloudEvents.
	headed(event.UnknownVersion, cloudEvent(kafka.Header{Key: "ce_specversion", Value: []byte("9")})...),
	headed(event.Conflict, cloudEvent(kafka.Header{Key: "ce_tenant", Value: []byte("other")})...),
	headed(event.UnsupportedFormat, kafka.Header{Key: "content-type", Value: []byte("application/cloudevents-batch+json")}),
	// What pushd itself would write.
	func(t mixture.Tenant, device string, wake map[string]any) hostile {
		h := with(event.BadField, "token", 8)(t, device, wake)
		h.Headers = append(h.Headers, markMessage(event.Dropped, 0, 0).Headers...)
		return h
	},
	// Events that no push comes of.
	unknownTenant, unknownTenant,
	func(t mixture.Tenant, device string, wake map[string]any) hostile {
		wake["topic"] = "com.apple.mgmt.External.of-somebody-else"
		return hostile{Message: recordOf(t.Name, device, wake), feedback: event.Rejected, why: "TopicDisallowed"}
	},
	func(t mixture.Tenant, device string, wake map[string]any) hostile {
		wake["expires"] = "2001-01-01T00:00:00Z"
		return hostile{Message: recordOf(t.Name, device, wake), feedback: event.Expired, why: "expired before it was sent"}
	},
}

// stranger is a tenant that is not there, and then is.
var stranger = mixture.Tenant{Name: "stranger", Topic: "com.apple.mgmt.External.stranger"}

func unknownTenant(_ mixture.Tenant, device string, wake map[string]any) hostile {
	wake["tenant"] = stranger.Name
	return hostile{Message: recordOf(stranger.Name, device, wake), letter: event.UnknownTenant}
}

type kindOfHostile = func(mixture.Tenant, string, map[string]any) hostile

// raw spoils the bytes of a good wake.
func raw(letter event.Reason, spoil func(good []byte) string) kindOfHostile {
	return func(t mixture.Tenant, device string, wake map[string]any) hostile {
		m := recordOf(t.Name, device, wake)
		m.Value = []byte(spoil(m.Value))
		return hostile{Message: m, letter: letter}
	}
}

// with gives a good wake another value of a field.
func with(letter event.Reason, field string, value any) kindOfHostile {
	return func(t mixture.Tenant, device string, wake map[string]any) hostile {
		wake[field] = value
		return hostile{Message: recordOf(t.Name, device, wake), letter: letter}
	}
}

func crlf(field string) kindOfHostile { return with(event.BadField, field, "00\r\nx-evil: 1") }

// headed gives a good wake headers.
func headed(letter event.Reason, headers ...kafka.Header) kindOfHostile {
	return func(t mixture.Tenant, device string, wake map[string]any) hostile {
		delete(wake, "id")
		m := recordOf(t.Name, device, wake)
		m.Headers = headers
		return hostile{Message: m, letter: letter}
	}
}

// cloudEvent are the headers of a CloudEvent, with one that is wrong.
func cloudEvent(wrong kafka.Header) []kafka.Header {
	return []kafka.Header{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_type", Value: []byte("io.pushd.checkin.requested.v1")}, wrong,
	}
}

// keyed gives a good wake another key.
func keyed(letter event.Reason, spoil func(string) string) kindOfHostile {
	return func(t mixture.Tenant, device string, wake map[string]any) hostile {
		m := recordOf(t.Name, device, wake)
		m.Key = []byte(spoil(string(m.Key)))
		return hostile{Message: m, letter: letter}
	}
}

// recordOf is the record of a wake.
func recordOf(tenant, device string, wake map[string]any) kafka.Message {
	value, err := json.Marshal(wake)
	if err != nil {
		panic(err)
	}
	return kafka.Message{Key: []byte(tenant + "/" + device), Value: value}
}

// goodWakeOf is a good wake of a device that has an APNs token of its own.
func goodWakeOf(tenant, device string, n int) map[string]any {
	return map[string]any{
		"id": fmt.Sprint("e-", n), "tenant": tenant, "device": device, "provider": "apns", "token": fmt.Sprintf("%032x", n+1), "push_magic": "magic",
	}
}

// hostileRecords are so many, of all kinds in turn, for tenants with Apple devices.
func hostileRecords(n int, tenants []mixture.Tenant) []hostile {
	all := make([]hostile, n)
	for i := range all {
		t, device := tenants[i%len(tenants)], fmt.Sprintf("hostile-%04d", i)
		wake := goodWakeOf(t.Name, device, i)
		token := wake["token"].(string)
		all[i] = hostileKinds[i%len(hostileKinds)](t, device, wake)
		all[i].token = token
	}
	return all
}
