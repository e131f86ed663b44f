package event

import (
	"errors"
	"slices"
	"strconv"
)

// Reason is why a record is no event: a closed set, whose String is a metric's label and a dead letter's reason.
type Reason uint8

const (
	// Other: a fault that is not of this package.
	Other Reason = iota
	// BadJSON: the value, or the data of the CloudEvent, is not one JSON object.
	BadJSON
	// BadUTF8: bytes that are not UTF-8, or half of a surrogate pair in a \u escape.
	BadUTF8
	// TooLarge: the value, a field, the payload or the number of headers is over its bound.
	TooLarge
	// TooDeep: objects and arrays are nested deeper than MaxDepth.
	TooDeep
	// MissingField: a field that this event needs is not there.
	MissingField
	// BadField: a field is there, but is not what it must be.
	BadField
	// BadKey: the record's key is not tenant/device.
	BadKey
	// KeyMismatch: the record's key names another tenant or device than its value does.
	KeyMismatch
	// Conflict: the attributes of the CloudEvent say otherwise than its data.
	Conflict
	// UnknownType: neither a wake, a check-in nor a forget.
	UnknownType
	// UnknownVersion: a version of CloudEvents, or of the event type, that this pushd does not know.
	UnknownVersion
	// UnsupportedFormat: a CloudEvents format other than JSON.
	UnsupportedFormat
	// UnknownTenant: the event is well formed, but nobody has a credential to send its push with.
	UnknownTenant
)

var reasonNames = [...]string{
	Other:             "other",
	BadJSON:           "bad_json",
	BadUTF8:           "bad_utf8",
	TooLarge:          "too_large",
	TooDeep:           "too_deep",
	MissingField:      "missing_field",
	BadField:          "bad_field",
	BadKey:            "bad_key",
	KeyMismatch:       "key_mismatch",
	Conflict:          "conflict",
	UnknownType:       "unknown_type",
	UnknownVersion:    "unknown_version",
	UnsupportedFormat: "unsupported_format",
	UnknownTenant:     "unknown_tenant",
}

func (r Reason) String() string { return reasonNames[r] }

// Reasons are the names of all reasons.
func Reasons() []string { return slices.Clone(reasonNames[:]) }

// ReasonOf is the reason of the *Error in err's chain, or Other.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return Other
}

// Error says why a record is no event.
type Error struct {
	Reason Reason
	Field  string // the field as it stands in a record, ce_… for a CloudEvents attribute, "key" or "headers"; or empty
	Text   string // what is wrong and how to mend it; holds nothing of the record but numbers
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Reason.String() + ": " + e.Text
	}
	return e.Reason.String() + ": " + e.Field + ": " + e.Text
}

func tooLarge(field string, size, limit int, mend string) *Error {
	return &Error{TooLarge, field, strconv.Itoa(size) + " where at most " + strconv.Itoa(limit) + " are allowed; " + mend}
}
