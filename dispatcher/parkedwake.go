package dispatcher

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"pushd/providers"
	"pushd/queue/event"
)

// parkedWake is the form of a wake where it is stored: in the ledger, or in the topic of parked wakes. New fields may be
// added; a reader ignores those it does not know.
type parkedWake struct {
	Version     int       `json:"v"`
	State       string    `json:"state"`
	Tenant      string    `json:"tenant"`
	Device      string    `json:"device"`
	Provider    string    `json:"provider"`
	Token       string    `json:"token"`
	PushMagic   string    `json:"push_magic,omitempty"`
	Topic       string    `json:"topic,omitempty"`
	PushType    string    `json:"push_type,omitempty"`
	Payload     []byte    `json:"payload,omitempty"`
	Priority    uint8     `json:"priority"`
	Expires     time.Time `json:"expires,omitzero"`
	Registered  time.Time `json:"token_registered_at,omitzero"`
	Newest      time.Time `json:"newest,omitzero"`
	Read        time.Time `json:"read,omitzero"`
	ID          string    `json:"id,omitempty"`
	Traceparent string    `json:"traceparent,omitempty"`
	Since       time.Time `json:"since"`
	Due         time.Time `json:"due,omitzero"`
	Attempts    int       `json:"attempts,omitempty"`
	Events      int       `json:"events,omitempty"`
	Rewake      int       `json:"rewake,omitempty"`
	StaleSent   bool      `json:"stale_sent,omitempty"`
	StoredUntil time.Time `json:"stored_until,omitzero"`
	Among       int       `json:"among,omitempty"`     // doubt.accepted
	HeldBack    bool      `json:"held_back,omitempty"` // doubt.heldBack
}

const parkedVersion = 1

// encode is the stored form of a wake that stands for so many events.
func (w *wake) encode(events int) []byte {
	k := w.content
	data, err := json.Marshal(parkedWake{
		Version: parkedVersion, State: w.state.String(), Tenant: w.tenant, Device: w.name, Provider: k.lane.provider,
		Token: k.token, PushMagic: k.pushMagic, Topic: k.topic, PushType: k.pushType, Payload: k.payload,
		Priority: uint8(k.priority), Expires: k.expires, Registered: k.registered, Newest: k.newest, Read: k.read,
		ID: k.id, Traceparent: k.traceparent, Since: w.since, Due: w.due, Attempts: w.attempts, Events: events,
		Rewake: w.rewake, StaleSent: w.staleSent, StoredUntil: w.storedUntil,
		Among: w.kept.accepted, HeldBack: w.kept.heldBack,
	})
	if err != nil {
		panic("dispatcher: a wake cannot be encoded: " + err.Error()) // strings, numbers and times always can
	}
	return data
}

// decodeParked is encode's other side.
func decodeParked(data []byte) (parkedWake, error) {
	var p parkedWake
	if err := json.Unmarshal(data, &p); err != nil {
		return p, err
	}
	switch {
	case p.Version != parkedVersion:
		return p, fmt.Errorf("format version %d; this pushd reads %d", p.Version, parkedVersion)
	case p.Tenant == "" || p.Device == "" || p.Token == "":
		return p, errors.New("tenant, device or token is missing")
	case p.Provider != providers.APNs && p.Provider != providers.FCM:
		return p, fmt.Errorf("provider %q is neither apns nor fcm", p.Provider)
	case p.Priority > uint8(event.Bulk) || p.Events < 0 || p.Attempts < 0 || p.Rewake < 0 || p.Among < 0 || p.Among > math.MaxInt32:
		return p, fmt.Errorf("priority %d, events %d, attempts %d, rewake %d or among %d is out of range", p.Priority, p.Events, p.Attempts, p.Rewake, p.Among)
	}
	return p, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is the wake as the topic of parked wakes has it: a CRC-32C, big-endian, of what encode makes, and that.
// The events that it will take over are among those it stands for.
func (w *wake) record() []byte {
	events := w.parked
	if w.state != owing { // there they are settled as covered
		events += len(w.taken)
	}
	return sealRecord(w.encode(events))
}

func sealRecord(data []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(data)), crc32.Checksum(data, castagnoli)), data...)
}

// openRecord is record's other side.
func openRecord(value []byte) (parkedWake, error) {
	if len(value) < 4 {
		return parkedWake{}, errors.New("it is cut short")
	}
	if stored, computed := binary.BigEndian.Uint32(value), crc32.Checksum(value[4:], castagnoli); stored != computed {
		return parkedWake{}, fmt.Errorf("its checksum is %08x, not %08x", computed, stored)
	}
	return decodeParked(value[4:])
}
