package event

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"
)

// Decoder decodes records one after the other. The strings of several events share memory, which lives as long as one of
// them. The zero value is ready; it belongs to one goroutine.
type Decoder struct {
	kept strings.Builder // the strings of the newest events, one behind the other; it never moves them
}

// piece is how much memory the strings of several events share: of a few, lest one that stays long holds much.
const piece = 1 << 10

// room makes room for n bytes.
func (d *Decoder) room(n int) {
	if d.kept.Cap()-d.kept.Len() < n {
		d.kept = strings.Builder{}
		d.kept.Grow(max(n, piece))
	}
}

// Decode is Decoder.Decode of a single record.
func Decode(key, value []byte, headers []Header, recordTime time.Time) (Event, error) {
	var d Decoder
	return d.Decode(key, value, headers, recordTime)
}

// Decode reads one record of the check-in topic. Its value is JSON, bare or as the data of a CloudEvent in binary or
// structured mode; a nil value means that the device of the key is to be forgotten. recordTime, the record's
// timestamp, is the event's time where the record does not say one.
//
// Unknown fields are ignored, of duplicate fields the last wins, and null is as good as absent. Fields that the type or
// the provider has no use for are not looked at. Tenant and device come from the value or the key, and where both name
// them they must agree. A trace context that is none is dropped.
//
// The error is always an *Error. The event keeps nothing of key, value and headers.
func (d *Decoder) Decode(key, value []byte, headers []Header, recordTime time.Time) (Event, error) {
	e, fault := d.decode(key, value, headers)
	if fault != nil {
		return Event{}, fault
	}
	if e.Time.IsZero() {
		e.Time = recordTime
	}
	return e, nil
}

func (d *Decoder) decode(key, value []byte, headers []Header) (Event, *Error) {
	switch {
	case len(value) > MaxValue:
		return Event{}, valueTooLarge(len(value))
	case !utf8.Valid(value):
		return Event{}, &Error{BadUTF8, "", "the value is not UTF-8; write it as that"}
	}
	var room HeaderRoom
	for i := range headers {
		room.Takes(headers[i].Key, headers[i].Value)
	}
	if size := room.Cut(); size > 0 {
		return Event{}, headersTooLarge(size)
	}
	var a attributes
	data, fault := a.open(value, headers)
	if fault != nil {
		return Event{}, fault
	}
	var b body
	if data != nil {
		if fault := scanObject(data, b.keep); fault != nil {
			return Event{}, fault
		}
	}
	r := reader{to: d}
	e := r.event(key, &a, &b, value == nil)
	return e, r.fault
}

// body is the JSON of an event, field by field as it stands there.
type body struct {
	id, eventType, tenant, device               value
	provider, token, pushMagic, topic, pushType value
	payload, priority                           value
	time, expires, tokenRegisteredAt, reason    value
}

func (b *body) keep(name []byte, v value) {
	switch string(name) {
	case "id":
		b.id = v
	case "type":
		b.eventType = v
	case "tenant":
		b.tenant = v
	case "device":
		b.device = v
	case "provider":
		b.provider = v
	case "token":
		b.token = v
	case "push_magic":
		b.pushMagic = v
	case "topic":
		b.topic = v
	case "push_type":
		b.pushType = v
	case "payload":
		b.payload = v
	case "priority":
		b.priority = v
	case "time":
		b.time = v
	case "expires":
		b.expires = v
	case "token_registered_at":
		b.tokenRegisteredAt = v
	case "reason":
		b.reason = v
	}
}

// event makes the event of what was found, or leaves r.fault.
func (r *reader) event(key []byte, a *attributes, b *body, tombstone bool) Event {
	id := b.id.or(a.id)
	r.to.room(len(key) + len(id.raw) + len(b.tenant.raw) + len(b.device.raw) + len(b.token.raw) +
		len(b.pushMagic.raw) + len(b.topic.raw) + len(b.reason.raw) + len(a.traceparent.raw))
	var e Event
	e.Type = r.eventType(a, b, tombstone)
	e.Priority = Normal
	r.identity(&e, key, a, b)
	e.ID = r.text(&idRule, id)
	e.Time = r.time("time", b.time.or(a.time))
	e.Reason = r.text(&reasonRule, b.reason)
	e.Traceparent = r.traceparent(a.traceparent)
	if e.Type == Wake {
		r.wake(&e, a, b)
	}
	return e
}

func (r *reader) eventType(a *attributes, b *body, tombstone bool) Type {
	t, known := r.cloudEvent(a)
	if tombstone {
		return Forget
	}
	word := r.word("type", b.eventType)
	if word == nil {
		return t
	}
	for said, name := range typeNames {
		if string(word) != name {
			continue
		}
		if known && Type(said) != t {
			r.fail(&Error{Conflict, "type", "says otherwise than the CloudEvent's type; leave it out"})
		}
		return Type(said)
	}
	r.fail(&Error{UnknownType, "type", "pushd does not know it; write wake, checkin or forget"})
	return t
}

// identity finds out whose the event is. The key places the record in its partition, so what the value says must agree:
// else one device would have two shards, and one tenant could write into another's.
func (r *reader) identity(e *Event, key []byte, a *attributes, b *body) {
	e.Tenant = r.text(&tenantRule, b.tenant)
	e.Device = r.text(&deviceRule, b.device)
	if len(key) > 0 {
		r.key(e, key)
	}
	if e.Tenant == "" {
		r.missing("tenant", "write it, or the key as tenant/device")
	}
	if e.Device == "" {
		r.missing("device", "write it, or the key as tenant/device")
	}
	if tenant := r.word("ce_tenant", a.tenant); len(tenant) > 0 && string(tenant) != e.Tenant {
		r.fail(&Error{Conflict, "ce_tenant", "names another tenant than the event; write the same, or leave it out"})
	}
}

const badKey = "is not tenant/device; " + mendTenant + " for the tenant (at most 64), and for the device UTF-8 without " +
	"control characters (at most 255 bytes)"

func (r *reader) key(e *Event, key []byte) {
	tenant, device, ok := bytes.Cut(key, []byte("/"))
	if !ok || len(tenant) == 0 || len(device) == 0 || len(tenant) > MaxTenant || len(device) > MaxDevice ||
		!tenantChar.has(tenant) || !free.has(device) {
		r.fail(&Error{BadKey, "key", badKey})
		return
	}
	if e.Tenant == "" {
		e.Tenant = r.keep(tenant)
	} else if e.Tenant != string(tenant) {
		r.fail(&Error{KeyMismatch, "tenant", "is not the key's; write the key as tenant/device of this event"})
	}
	if e.Device == "" {
		e.Device = r.keep(device)
	} else if e.Device != string(device) {
		r.fail(&Error{KeyMismatch, "device", "is not the key's; write the key as tenant/device of this event"})
	}
}

// wake reads what only a wake has.
func (r *reader) wake(e *Event, a *attributes, b *body) {
	e.Priority = r.priority(b.priority.or(a.priority))
	e.Expires = r.time("expires", b.expires.or(a.expirytime))
	e.TokenRegisteredAt = r.time("token_registered_at", b.tokenRegisteredAt)
	e.Payload = r.payload(b.payload)
	e.Provider = r.provider(b.provider)
	if e.Provider == fcm {
		e.Token = r.text(&fcmTokenRule, b.token)
	} else {
		e.Token = r.text(&apnsTokenRule, b.token)
		if len(e.Token)%2 != 0 {
			r.bad(apnsTokenRule.field, apnsTokenRule.mend)
		}
		e.PushMagic = r.text(&pushMagicRule, b.pushMagic)
		e.Topic = r.text(&topicRule, b.topic)
		e.PushType = r.pushType(b.pushType)
		if e.PushType == pushTypeMDM && e.PushMagic == "" && e.Payload == nil {
			r.missing("push_magic", "write the PushMagic of the device's last TokenUpdate, or a payload")
		}
	}
	if e.Token == "" {
		r.missing("token", "write the token that the device registered")
	}
}
