package simulator

import (
	"strconv"

	"golang.org/x/net/http2/hpack"
)

// field is a header field that the services look at.
type field uint8

const (
	fieldMethod field = iota
	fieldScheme
	fieldPath
	fieldAuthority
	fieldAuthorization
	fieldContentLength
	fieldTopic
	fieldPushType
	fieldPriority
	fieldExpiration
	fieldCollapseID
	fieldAPNsID
	numFields
)

// fieldOf returns the field of a name, or numFields for one that nobody looks at.
func fieldOf(name string) field {
	switch name {
	case ":method":
		return fieldMethod
	case ":scheme":
		return fieldScheme
	case ":path":
		return fieldPath
	case ":authority":
		return fieldAuthority
	case "authorization":
		return fieldAuthorization
	case "content-length":
		return fieldContentLength
	case "apns-topic":
		return fieldTopic
	case "apns-push-type":
		return fieldPushType
	case "apns-priority":
		return fieldPriority
	case "apns-expiration":
		return fieldExpiration
	case "apns-collapse-id":
		return fieldCollapseID
	case "apns-id":
		return fieldAPNsID
	}
	return numFields
}

// header is a request's header; fields that nobody looks at are checked for form and dropped.
type header struct {
	values    [numFields]string
	seen      [numFields]bool
	size      int  // as SETTINGS_MAX_HEADER_LIST_SIZE counts it
	regular   bool // a regular field was seen: no pseudo-header may follow
	duplicate bool // a regular field came twice
	malformed bool // RFC 9113, section 8.1.1
}

// set notes a decoded field. Values are kept as the decoder gives them.
func (h *header) set(f hpack.HeaderField) {
	h.size += int(f.Size())
	i := fieldOf(f.Name)
	if f.IsPseudo() {
		if i == numFields || h.regular || h.seen[i] {
			h.malformed = true
			return
		}
	} else {
		h.regular = true
	}
	if i == numFields {
		h.malformed = h.malformed || !allowed(f)
		return
	}
	h.duplicate = h.duplicate || h.seen[i]
	h.seen[i] = true
	h.values[i] = f.Value
}

// allowed reports whether HTTP/2 lets a request have the field (RFC 9113, sections 8.2.1 and 8.2.2).
func allowed(f hpack.HeaderField) bool {
	switch f.Name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return false
	case "te":
		return f.Value == "trailers"
	}
	return validFieldName(f.Name)
}

// complete reports whether the header is that of a well-formed request with n bytes of body.
func (h *header) complete(n int) bool {
	if h.malformed || h.values[fieldMethod] == "" || h.values[fieldScheme] == "" || h.values[fieldPath] == "" {
		return false
	}
	if !h.seen[fieldContentLength] {
		return true
	}
	length, err := strconv.Atoi(h.values[fieldContentLength])
	return err == nil && length == n
}

func validFieldName(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == ':' || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return name != ""
}

// Responses use HPACK's static table and literals only, so that they need no state and may be written in any order.

// appendStatus encodes :status (RFC 7541, appendix A: indices 8 to 14).
func appendStatus(block []byte, status int) []byte {
	switch status {
	case 200:
		return append(block, 0x80|8)
	case 400:
		return append(block, 0x80|12)
	case 404:
		return append(block, 0x80|13)
	case 500:
		return append(block, 0x80|14)
	}
	block = append(block, 8, 3)
	return strconv.AppendInt(block, int64(min(max(status, 100), 999)), 10)
}

// appendField encodes a literal without indexing and without Huffman coding (RFC 7541, section 6.2.2).
func appendField[T string | []byte](block []byte, name string, value T) []byte {
	block = append(block, 0)
	block = appendString(block, name)
	return appendString(block, value)
}

func appendString[T string | []byte](block []byte, s T) []byte {
	const prefix = 1<<7 - 1
	n := len(s)
	if n < prefix {
		return append(append(block, byte(n)), s...)
	}
	block = append(block, prefix)
	for n -= prefix; n >= 0x80; n >>= 7 {
		block = append(block, byte(n)|0x80)
	}
	return append(append(block, byte(n)), s...)
}
