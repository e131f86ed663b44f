package event

import "time"

// Names of the topics, where the configuration does not say otherwise.
const (
	CheckinTopic  = "pushd.checkin"
	FeedbackTopic = "pushd.feedback"
	DeadTopic     = "pushd.dead"
)

// Bounds of a record of the check-in topic, in bytes unless said otherwise. What is over one is refused with TooLarge
// (nesting: TooDeep).
const (
	MaxValue       = 64 << 10 // the record's value
	MaxHeaders     = 64       // headers of the record, in number
	MaxHeaderBytes = 32 << 10 // their names and values together
	MaxDepth       = 16       // objects and arrays inside one another, in number
	MaxID          = 128
	MaxTenant      = 64
	MaxDevice      = 255
	MaxToken       = 4096
	MaxPushMagic   = 512 // Apple bounds it only by the payload of 4096
	MaxTopic       = 255
	MaxPayload     = 4096 // without white space; what APNs and FCM take
	MaxReason      = 255
)

// Type is what an event says.
type Type uint8

const (
	// Wake: the device needs to check in.
	Wake Type = iota
	// Checkin: the device has started a session with its server.
	Checkin
	// Forget: the device is gone; what waits for it is dropped.
	Forget
)

var typeNames = [...]string{Wake: "wake", Checkin: "checkin", Forget: "forget"}

// String is the type as it stands in a record.
func (t Type) String() string { return typeNames[t] }

// Priority orders the wakes of one credential. Urgent overtakes; Bulk never starves.
type Priority uint8

const (
	Urgent Priority = iota
	Normal          // the default
	Bulk
)

var priorityNames = [...]string{Urgent: "urgent", Normal: "normal", Bulk: "bulk"}

// String is the priority as it stands in a record.
func (p Priority) String() string { return priorityNames[p] }

// The providers and the default push type, as they stand in a record.
const (
	apns        = "apns"
	fcm         = "fcm"
	pushTypeMDM = "mdm"
)

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// Event is one valid record of the check-in topic. Times that were not given are zero.
type Event struct {
	Type              Type
	Priority          Priority // Normal unless Type is Wake
	ID                string   // at most 128 bytes; empty where the publisher gave none
	Tenant            string
	Device            string // at most 255 bytes
	Provider          string // "apns" or "fcm"; set for Wake only
	Token             string
	PushMagic         string    // APNs with push type mdm
	Topic             string    // APNs; empty means the credential's topic
	PushType          string    // APNs; Decode sets the default, "mdm"
	Payload           []byte    // a JSON object of at most 4096 bytes, without white space, or nil
	Time              time.Time // when it happened, at the publisher; the record's timestamp where that was not said
	Expires           time.Time
	TokenRegisteredAt time.Time
	Reason            string // free text for logs and history, at most 255 bytes
	Traceparent       string // W3C trace context, carried through to feedback
}
