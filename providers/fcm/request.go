package fcm

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"firebase.google.com/go/v4/messaging"

	"pushd/providers"
)

// maxTTL is how long FCM stores a message at most.
const maxTTL = 28 * 24 * time.Hour

// maxToken bounds a registration token, in bytes; they have about 150.
const maxToken = 4096

const (
	priorityHigh   = "high"   // wakes a device in Doze; meant for what people wait for
	priorityNormal = "normal" // waits for the device's next window
)

// request is a push as FCM takes it: POST /v1/projects/<project>/messages:send.
type request struct {
	token    string
	data     map[string]string
	priority string
	ttl      time.Duration // whole seconds, 0 to maxTTL; 0 means now or never
	dryRun   bool          // FCM only says what it would have answered
}

// wakeUp is the data of a push without a payload of its own.
var wakeUp = map[string]string{"t": "checkin"}

// newRequest makes the request of a push sent now. It refuses what no message can be made of; the reason is one of few
// words. Everything else is FCM's to judge.
func newRequest(p *providers.Push, now time.Time) (request, string) {
	r := request{token: p.Token, data: wakeUp, priority: priorityNormal, ttl: timeToLive(p.Expires, now)}
	if p.Urgent {
		r.priority = priorityHigh
	}
	if p.Token == "" || len(p.Token) > maxToken || !utf8.ValidString(p.Token) {
		return r, "invalid: token"
	}
	if p.Payload != nil {
		if r.data = dataOf(p.Payload); r.data == nil {
			return r, "invalid: payload"
		}
	}
	return r, ""
}

// timeToLive rounds up: a message that lives a moment too long beats one that is dropped.
func timeToLive(expires, now time.Time) time.Duration {
	left := min(max(expires.Sub(now), 0), maxTTL)
	return (left + time.Second - 1).Truncate(time.Second)
}

// dataOf is the data that a payload says: its strings as they are, and the JSON text of what is no string, for FCM takes
// strings only. It is nil if the payload is no object.
func dataOf(payload []byte) map[string]string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil || fields == nil {
		return nil
	}
	data := make(map[string]string, len(fields))
	for key, value := range fields {
		var text string
		if value[0] == '"' && json.Unmarshal(value, &text) == nil {
			data[key] = text
			continue
		}
		var compact bytes.Buffer
		if json.Compact(&compact, value) != nil {
			return nil
		}
		data[key] = compact.String()
	}
	return data
}

// appendJSON appends the request's body, as the Firebase SDK would make it.
func (r *request) appendJSON(b []byte, cfg *Config) []byte {
	b = append(b, `{"message":{`...)
	if len(r.data) > 0 {
		b = append(appendData(append(b, `"data":`...), r.data), ',')
	}
	b = append(b, `"android":{"priority":"`...)
	b = append(b, r.priority...)
	b = append(b, `","ttl":"`...)
	b = strconv.AppendInt(b, int64(r.ttl/time.Second), 10)
	b = append(b, `s","direct_boot_ok":true`...)
	if cfg.CollapseKey != "" {
		b = providers.AppendJSON(append(b, `,"collapse_key":`...), cfg.CollapseKey)
	}
	if cfg.RestrictedPackageName != "" {
		b = providers.AppendJSON(append(b, `,"restricted_package_name":`...), cfg.RestrictedPackageName)
	}
	b = providers.AppendJSON(append(b, `},"token":`...), r.token)
	return append(b, `}}`...)
}

func appendData(b []byte, data map[string]string) []byte {
	separator := byte('{')
	for key, value := range data {
		b = providers.AppendJSON(append(b, separator), key)
		b = providers.AppendJSON(append(b, ':'), value)
		separator = ','
	}
	return append(b, '}')
}

// message is the request as the Firebase SDK takes it.
func (r *request) message(cfg *Config) *messaging.Message {
	return &messaging.Message{
		Token: r.token,
		Data:  r.data,
		Android: &messaging.AndroidConfig{
			Priority:              r.priority,
			TTL:                   &r.ttl,
			CollapseKey:           cfg.CollapseKey,
			RestrictedPackageName: cfg.RestrictedPackageName,
			DirectBootOK:          true, // a device owner must wake before the first unlock, too
		},
	}
}
