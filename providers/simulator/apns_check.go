package simulator

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
)

// refusal is a status and reason of APNs. The zero refusal refuses nothing.
type refusal struct {
	status int
	reason string
}

func bad(reason string) refusal { return refusal{http.StatusBadRequest, reason} }

func forbidden(reason string) refusal { return refusal{http.StatusForbidden, reason} }

const devicePath = "/3/device/"

// check returns the device token of a valid request, or why APNs refuses it. The order of the checks is not documented:
// it goes from the connection to the payload.
func (s *apnsSession) check(st *stream) (token string, r refusal) {
	h := &st.header
	if h.values[fieldMethod] != http.MethodPost {
		return "", refusal{http.StatusMethodNotAllowed, "MethodNotAllowed"}
	}
	token, ok := strings.CutPrefix(h.values[fieldPath], devicePath)
	if !ok || h.values[fieldAuthority] == "" || strings.IndexByte(token, '/') >= 0 || strings.IndexByte(token, '?') >= 0 {
		return "", refusal{http.StatusNotFound, "BadPath"}
	}
	if h.duplicate {
		return "", bad("DuplicateHeaders")
	}
	if r = s.checkCredential(st); r.status != 0 {
		return "", r
	}
	if token == "" {
		return "", bad("MissingDeviceToken")
	}
	if !validToken(token) {
		return "", bad("BadDeviceToken")
	}
	if r = s.checkTopic(h.values[fieldTopic]); r.status != 0 {
		return "", r
	}
	if r = checkFields(h); r.status != 0 {
		return "", r
	}
	if r = checkPayload(st, isMDM(h.values[fieldPushType], h.values[fieldTopic], s.certTopic)); r.status != 0 {
		return "", r
	}
	return token, refusal{}
}

func (s *apnsSession) checkCredential(st *stream) refusal {
	switch {
	case s.certFault != "":
		return forbidden(s.certFault)
	case s.certTopic != "":
		return refusal{} // authorization is ignored where there is a certificate
	}
	return s.bearer.check(st.header.values[fieldAuthorization], st.received)
}

func (s *apnsSession) checkTopic(topic string) refusal {
	switch {
	case topic == "" && s.certTopic != "":
		return refusal{} // a certificate of one topic needs none
	case topic == "":
		return bad("MissingTopic")
	case !validTopic(topic):
		return bad("BadTopic")
	case s.certTopic != "":
		// An app's certificate is good for its derived topics too, such as com.example.app.voip.
		if rest, ok := strings.CutPrefix(topic, s.certTopic); !ok || rest != "" && rest[0] != '.' {
			return bad("TopicDisallowed")
		}
	case !s.bearer.key.mayPush(topic):
		return bad("TopicDisallowed")
	}
	return refusal{}
}

// checkFields checks the optional fields. An absent apns-push-type passes, as it does for MDM servers in the field.
func checkFields(h *header) refusal {
	if h.seen[fieldPushType] && !validPushType(h.values[fieldPushType]) {
		return bad("InvalidPushType")
	}
	if h.seen[fieldPriority] {
		switch p := h.values[fieldPriority]; {
		case p != "1" && p != "5" && p != "10":
			return bad("BadPriority")
		case p == "10" && h.values[fieldPushType] == "background":
			return bad("BadPriority")
		}
	}
	if h.seen[fieldExpiration] {
		if n, err := strconv.ParseInt(h.values[fieldExpiration], 10, 64); err != nil || n < 0 {
			return bad("BadExpirationDate")
		}
	}
	if len(h.values[fieldCollapseID]) > 64 {
		return bad("BadCollapseId")
	}
	if h.seen[fieldAPNsID] && !validUUID(h.values[fieldAPNsID]) {
		return bad("BadMessageId")
	}
	return refusal{}
}

func validPushType(t string) bool {
	switch t {
	case "alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location", "mdm", "pushtotalk", "voip", "widgets":
		return true
	}
	return false
}

func isMDM(pushType, topic, certTopic string) bool {
	if pushType == "mdm" {
		return true
	}
	if topic == "" {
		topic = certTopic
	}
	return strings.HasPrefix(topic, "com.apple.mgmt.")
}

func checkPayload(st *stream, mdm bool) refusal {
	limit := 4096
	if st.header.values[fieldPushType] == "voip" {
		limit = 5120
	}
	switch {
	case len(st.body) == 0:
		return bad("PayloadEmpty")
	case len(st.body) > limit:
		return refusal{http.StatusRequestEntityTooLarge, "PayloadTooLarge"}
	case mdm && !validMDM(st.body), !mdm && !validObject(st.body):
		// Apple documents no reason for this on device pushes; the word is that of its broadcast pushes.
		return bad("BadRequestPayload")
	}
	return refusal{}
}

// validMDM reports whether a payload is {"mdm": string} and nothing else: any other key makes devices drop it.
func validMDM(payload []byte) bool {
	if magic, ok := bytes.CutPrefix(payload, []byte(`{"mdm":"`)); ok {
		if magic, ok = bytes.CutSuffix(magic, []byte(`"}`)); ok && plain(magic) {
			return true
		}
	}
	var members map[string]any
	if json.Unmarshal(payload, &members) != nil || len(members) != 1 {
		return false
	}
	_, ok := members["mdm"].(string)
	return ok
}

// plain reports whether the inside of a JSON string is printable ASCII without escapes.
func plain(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func validObject(payload []byte) bool {
	trimmed := bytes.TrimLeft(payload, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(payload)
}

// validToken: Apple says not to count on a length; a test's tokens may be short, but are whole octets in hex.
func validToken(token string) bool {
	if len(token)%2 != 0 || len(token) > 200 {
		return false
	}
	for i := range len(token) {
		if !isHex(token[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func validTopic(topic string) bool {
	if len(topic) > 255 {
		return false
	}
	for i := range len(topic) {
		c := topic[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// validUUID reports whether s is a UUID in the canonical 8-4-4-4-12 form.
func validUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash && s[i] != '-' || !dash && !isHex(s[i]) {
			return false
		}
	}
	return true
}

// appendUUID makes the apns-id of a push that came without: a random UUID, not a secret.
func appendUUID(b []byte) []byte {
	const digits = "0123456789ABCDEF" // APNs answers in upper case
	var u [16]byte
	binary.BigEndian.PutUint64(u[:8], rand.Uint64()&^0xf000|0x4000) // version 4
	binary.BigEndian.PutUint64(u[8:], rand.Uint64()&^(0xf<<60)|0x8<<60)
	for i, octet := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, digits[octet>>4], digits[octet&15])
	}
	return b
}
