package event

import "time"

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

// Priority orders the wakes of one credential. Urgent overtakes; Bulk never starves.
type Priority uint8

const (
	Urgent Priority = iota
	Normal          // the default
	Bulk
)

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// Event is one valid record of the check-in topic. Times that were not given are zero.
type Event struct {
	Type              Type
	Priority          Priority
	ID                string // at most 128 bytes; empty where the publisher gave none
	Tenant            string
	Device            string // at most 255 bytes
	Provider          string // "apns" or "fcm"; set for Wake only
	Token             string
	PushMagic         string    // APNs with push type mdm
	Topic             string    // APNs; empty means the credential's topic
	PushType          string    // APNs; empty means "mdm"
	Payload           []byte    // a JSON object of at most 4096 bytes, or nil
	Time              time.Time // when it happened, at the publisher; zero means the record's timestamp
	Expires           time.Time
	TokenRegisteredAt time.Time
	Reason            string // free text for logs and history, at most 255 bytes
	Traceparent       string // W3C trace context, carried through to feedback
}
