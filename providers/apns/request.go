package apns

import (
	"encoding/json"
	"unicode/utf8"

	"pushd/providers"
)

// Push types that pushd treats apart from the others.
const (
	pushTypeMDM        = "mdm"
	pushTypeBackground = "background"
)

const (
	priorityNow    = 10 // deliver at once
	priorityGentle = 5  // mind the device's battery; the only one that background pushes may have
)

// maxHeader bounds a topic or a push type, in bytes.
const maxHeader = 255

// head is what the requests of a credential have in common, but for few of them.
type head struct {
	topic    string // apns-topic
	pushType string // apns-push-type
	priority int    // apns-priority
}

// request is a push as APNs takes it: POST /3/device/<token>.
type request struct {
	head
	token      string
	expiration int64  // apns-expiration, seconds since 1970; above 0, for 0 means "do not store" and pushd never means that
	payload    []byte // the push's own; nil means an MDM push's
	pushMagic  string
}

// newRequest makes the request of a push of a credential with that topic. Together with head.fault it refuses what would not make an HTTP request
// at all, or one that no device obeys; the reason is one of few words. Everything else is APNs' to judge.
func newRequest(p *providers.Push, topic string) (request, string) {
	r := request{
		head:       head{p.Topic, p.PushType, priorityNow},
		token:      p.Token,
		expiration: max(p.Expires.Unix(), 1),
		payload:    p.Payload,
		pushMagic:  p.PushMagic,
	}
	if r.topic == "" {
		r.topic = topic
	}
	if r.pushType == "" {
		r.pushType = pushTypeMDM
	}
	if r.pushType == pushTypeBackground {
		r.priority = priorityGentle
	}
	switch {
	case !isHex(r.token):
		return r, "invalid: token"
	case r.payload != nil && !json.Valid(r.payload):
		return r, "invalid: payload"
	case r.payload != nil:
	case r.pushType != pushTypeMDM:
		return r, "invalid: payload"
	case p.PushMagic == "" || !utf8.ValidString(p.PushMagic):
		return r, "invalid: push magic"
	}
	return r, ""
}

// fault says what is wrong with what the request has in common with others.
func (h *head) fault() string {
	switch {
	case !isHeader(h.topic):
		return "invalid: topic"
	case !isHeader(h.pushType):
		return "invalid: push type"
	}
	return ""
}

// appendBody appends what the request carries: its payload, or that of an MDM push, which holds the push magic and no
// other key.
func (r *request) appendBody(b []byte) []byte {
	if r.payload != nil {
		return append(b, r.payload...)
	}
	// The magic comes from a device, so it is encoded, never pasted.
	return append(providers.AppendJSON(append(b, `{"mdm":`...), r.pushMagic), '}')
}

// hex are the bytes that are hexadecimal digits.
var hex = func() (is [256]bool) {
	for _, c := range []byte("0123456789abcdefABCDEF") {
		is[c] = true
	}
	return is
}()

func isHex(s string) bool {
	for i := range len(s) {
		if !hex[s[i]] {
			return false
		}
	}
	return s != ""
}

// isHeader says whether s may be the value of a header: printable ASCII without blanks, not too long.
func isHeader(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxHeader
}
