package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

const (
	maxData = 4096                 // bytes of keys and values of the data
	maxTTL  = 4 * 7 * 24 * 60 * 60 // seconds
)

// fcmMessage is what the server takes from a message.
type fcmMessage struct {
	token        string
	priority     string
	validateOnly bool
}

// messages parses the messages of one connection. They mostly differ in their tokens alone, and of one that does so from
// the last that was right nothing else needs to be looked at again: a token has no character that JSON treats apart.
type messages struct {
	before, after []byte // the token of the last right message, with its quotes in these
	like          fcmMessage
}

func (p *messages) parse(body []byte) (fcmMessage, *fcmError) {
	if n := len(body) - len(p.after); p.before != nil && len(p.before) < n && bytes.HasPrefix(body, p.before) && bytes.HasSuffix(body, p.after) {
		if token := body[len(p.before):n]; validRegistration(token) {
			m := p.like
			m.token = string(token)
			return m, nil
		}
	}
	m, fault := parseMessage(body)
	if fault == nil {
		p.remember(m, body)
	}
	return m, fault
}

// remember keeps a right message, if it is clear where its token stands.
func (p *messages) remember(m fcmMessage, body []byte) {
	quoted := []byte(`"` + m.token + `"`)
	if at := bytes.Index(body, quoted); at >= 0 && at == bytes.LastIndex(body, quoted) {
		p.before = append(p.before[:0], body[:at+1]...)
		p.after = append(p.after[:0], body[at+len(quoted)-1:]...)
		p.like = m
	}
}

// parseMessage checks a request's body: first what Google's front end checks (JSON, names and types of fields), then what FCM does.
func parseMessage(body []byte) (fcmMessage, *fcmError) {
	var m fcmMessage
	if !json.Valid(body) {
		return m, malformed("", "Invalid JSON payload received. Unexpected token.")
	}
	p := messageParser{}
	p.root(bytes.TrimSpace(body))
	if p.fault == nil {
		p.check()
	}
	if p.fault != nil {
		return m, p.fault
	}
	m.token, m.priority, m.validateOnly = string(p.token), p.priority, p.validateOnly
	return m, nil
}

type messageParser struct {
	token        []byte
	priority     string
	ttl          []byte
	validateOnly bool
	otherTarget  bool // topic or condition
	seenMessage  bool
	reserved     string // a data key that is not allowed
	size         int    // of data
	fault        *fcmError
}

func (p *messageParser) fail(e *fcmError) bool {
	p.fault = e
	return false
}

func (p *messageParser) unknown(name []byte, at string) bool {
	return p.fail(malformed(at, fmt.Sprintf("Invalid JSON payload received. Unknown name %s%s: Cannot find field.", name, atField(at))))
}

func atField(at string) string {
	if at == "" {
		return ""
	}
	return " at '" + at + "'"
}

func (p *messageParser) wrongType(field, kind string, value []byte) bool {
	return p.fail(malformed(field, fmt.Sprintf("Invalid value at '%s' (%s), %s", field, kind, value)))
}

func (p *messageParser) root(body []byte) {
	if !isObject(body) {
		p.fault = malformed("", "Invalid JSON payload received. Root element must be a message.")
		return
	}
	members(body, func(name, value []byte) bool {
		switch string(text(name)) {
		case "message":
			if !isObject(value) {
				return p.wrongType("message", "type.googleapis.com/google.firebase.fcm.v1.Message", value)
			}
			p.seenMessage = true
			p.message(value)
			return p.fault == nil
		case "validate_only", "validateOnly":
			return p.boolean("validate_only", value, &p.validateOnly)
		}
		return p.unknown(name, "")
	})
}

func (p *messageParser) message(object []byte) {
	members(object, func(name, value []byte) bool {
		switch string(text(name)) {
		case "token":
			return p.text("message.token", value, &p.token)
		case "topic", "condition":
			p.otherTarget = true
			return true
		case "data":
			return p.data("message.data", value)
		case "android":
			if !isObject(value) {
				return p.wrongType("message.android", "type.googleapis.com/google.firebase.fcm.v1.AndroidConfig", value)
			}
			p.android(value)
			return p.fault == nil
		case "notification", "apns", "webpush", "fcm_options", "fcmOptions", "name":
			return true // not for waking devices: passed over
		}
		return p.unknown(name, "message")
	})
}

func (p *messageParser) android(object []byte) {
	members(object, func(name, value []byte) bool {
		switch string(text(name)) {
		case "priority":
			return p.parsePriority(value)
		case "ttl":
			return p.text("message.android.ttl", value, &p.ttl)
		case "collapse_key", "collapseKey", "restricted_package_name", "restrictedPackageName":
			var ignored []byte
			return p.text("message.android."+string(text(name)), value, &ignored)
		case "direct_boot_ok", "directBootOk", "bandwidth_constrained_ok", "restricted_satellite_ok":
			var ignored bool
			return p.boolean("message.android."+string(text(name)), value, &ignored)
		case "data":
			return p.data("message.android.data", value)
		case "notification", "fcm_options", "fcmOptions":
			return true
		}
		return p.unknown(name, "message.android")
	})
}

func (p *messageParser) parsePriority(value []byte) bool {
	switch string(value) {
	case `"high"`, `"HIGH"`:
		p.priority = "high"
	case `"normal"`, `"NORMAL"`:
		p.priority = "normal"
	default:
		return p.wrongType("message.android.priority", "type.googleapis.com/google.firebase.fcm.v1.AndroidMessagePriority", value)
	}
	return true
}

func (p *messageParser) data(at string, object []byte) bool {
	if !isObject(object) {
		return p.wrongType(at, "map", object)
	}
	i := 0
	members(object, func(name, value []byte) bool {
		if !isString(value) {
			return p.wrongType(at+"["+strconv.Itoa(i)+"].value", "TYPE_STRING", value)
		}
		i++
		key := text(name)
		p.size += len(key) + len(text(value))
		if reservedKey(key) {
			p.reserved = string(key)
		}
		return true
	})
	return p.fault == nil
}

// reservedKey reports whether FCM keeps a data key to itself: "from", and what begins with "gcm" or "google".
func reservedKey(key []byte) bool {
	return string(key) == "from" || bytes.HasPrefix(key, []byte("gcm")) || bytes.HasPrefix(key, []byte("google"))
}

func (p *messageParser) text(field string, value []byte, to *[]byte) bool {
	if !isString(value) {
		return p.wrongType(field, "TYPE_STRING", value)
	}
	*to = text(value)
	return true
}

func (p *messageParser) boolean(field string, value []byte, to *bool) bool {
	if s := string(value); s != "true" && s != "false" {
		return p.wrongType(field, "TYPE_BOOL", value)
	}
	*to = value[0] == 't'
	return true
}

// check is FCM's own part, on a message whose fields are well-formed.
func (p *messageParser) check() {
	switch {
	case !p.seenMessage, p.token == nil && !p.otherTarget:
		p.fault = violation("message", "Recipient of the message is not set.")
	case p.token == nil:
		p.fault = violation("message", "The simulator sends to tokens only.")
	case p.reserved != "":
		p.fault = violation("message.data", "Invalid data payload key: "+p.reserved)
	case p.ttl != nil && !validTTL(string(p.ttl)):
		p.fault = violation("message.android.ttl", "Invalid TTL: "+string(p.ttl))
	case p.size > maxData:
		p.fault = errorOf(400, "") // without details, as FCM answers it
	case !validRegistration(p.token):
		p.fault = errorOf(400, "INVALID_ARGUMENT")
	}
}

// validTTL: a duration as protobuf's JSON has it, "86400s" or "3.5s", from 0 to 4 weeks.
func validTTL(ttl string) bool {
	seconds, ok := strings.CutSuffix(ttl, "s")
	n, err := strconv.ParseFloat(seconds, 64)
	return ok && err == nil && strings.Trim(seconds, "0123456789.") == "" && n <= maxTTL
}

// validRegistration: Google says not to count on a form; letters, digits and -_: are all that was seen.
func validRegistration(token []byte) bool {
	for _, c := range token {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == ':') {
			return false
		}
	}
	return len(token) > 0 && len(token) <= 4096
}
