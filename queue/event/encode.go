package event

import (
	"strconv"
	"time"
)

// Encode is what a publisher of e writes: the record's key and, in bare JSON, its value. With e.Headers they decode to e
// again.
func Encode(e *Event) (key, value []byte) {
	b := append(make([]byte, 0, 512), '{')
	b = appendText(b, "id", e.ID)
	b = appendText(b, "type", e.Type.String())
	b = appendText(b, "tenant", e.Tenant)
	b = appendText(b, "device", e.Device)
	if e.Type == Wake {
		b = appendText(b, "provider", e.Provider)
		b = appendText(b, "token", e.Token)
		b = appendText(b, "push_magic", e.PushMagic)
		b = appendText(b, "topic", e.Topic)
		b = appendText(b, "push_type", e.PushType)
		if e.Payload != nil {
			b = append(appendName(b, "payload"), e.Payload...)
		}
		b = appendText(b, "priority", e.Priority.String())
		b = appendTime(b, "expires", e.Expires, time.RFC3339Nano)
		b = appendTime(b, "token_registered_at", e.TokenRegisteredAt, time.RFC3339Nano)
	}
	b = appendTime(b, "time", e.Time, time.RFC3339Nano)
	b = appendText(b, "reason", e.Reason)
	return Key(e.Tenant, e.Device), append(b, '}')
}

// Headers are the headers of e's record.
func (e *Event) Headers() []Header { return jsonHeaders(e.Traceparent) }

// Key is the key of every record about a device, so that all of them stand in one partition, in order.
func Key(tenant, device string) []byte {
	key := make([]byte, 0, len(tenant)+1+len(device))
	key = append(key, tenant...)
	key = append(key, '/')
	return append(key, device...)
}

var contentTypeJSON = Header{"content-type", []byte("application/json")}

func jsonHeaders(traceparent string) []Header {
	if traceparent == "" {
		return []Header{contentTypeJSON}
	}
	return []Header{contentTypeJSON, {"traceparent", []byte(traceparent)}}
}

// appendText appends a member of an object that begins in dst; an empty text is left out.
func appendText(dst []byte, name, s string) []byte {
	if s == "" {
		return dst
	}
	return appendQuoted(appendName(dst, name), s)
}

// appendTime appends a time in UTC; a zero one is left out.
func appendTime(dst []byte, name string, t time.Time, layout string) []byte {
	if t.IsZero() {
		return dst
	}
	dst = append(appendName(dst, name), '"')
	dst = t.UTC().AppendFormat(dst, layout)
	return append(dst, '"')
}

// appendNumber appends a number; 0 is left out.
func appendNumber(dst []byte, name string, n int) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(appendName(dst, name), int64(n), 10)
}

func appendName(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}
