package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"
)

// Identities are 64-bit hashes, keyed with the ledger's own random seed, so that nobody can choose names that collide.
// They are the same in every process that opens the ledger, and mean nothing outside it. The constants keep the kinds
// of identity apart.
const (
	deviceSalt = 0x9e3779b97f4a7c15
	eventSalt  = 0xc2b2ae3d27d4eb4f
	offsetSalt = 0x165667b19e3779f9
	tokenSalt  = 0x27d4eb2f165667c5
)

// Device is the identity of a tenant's device.
func (l *Ledger) Device(tenant, device string) Device {
	return Device(xxh3.HashStringSeed(device, xxh3.HashStringSeed(tenant, l.seed^deviceSalt)))
}

// EventID is the identity of a device's event with the given id. It is never 0.
func (l *Ledger) EventID(d Device, id string) EventID {
	return EventID(notZero(xxh3.HashStringSeed(id, l.seed^eventSalt^mix(uint64(d)))))
}

// OffsetID is the identity of an event without an id: its place in the topic and its timestamp, which tells it from
// the event at the same place of a topic that was made anew. It is never 0.
func (l *Ledger) OffsetID(partition int32, offset int64, at time.Time) EventID {
	var place [20]byte
	binary.BigEndian.PutUint32(place[:], uint32(partition))
	binary.BigEndian.PutUint64(place[4:], uint64(offset))
	binary.BigEndian.PutUint64(place[12:], uint64(at.UnixMilli()))
	return EventID(notZero(xxh3.HashSeed(place[:], l.seed^offsetSalt)))
}

// Token is the identity of a provider's token.
func (l *Ledger) Token(token string) Token {
	return Token(xxh3.HashStringSeed(token, l.seed^tokenSalt))
}

// TokenHash is what a token is called where others read it: equal for equal tokens of one ledger. It is no identity: those
// are quick hashes, and whoever saw some of tokens that he knows could find the seed, and with it names that collide.
func (l *Ledger) TokenHash(token string) string {
	mac := hmac.New(sha256.New, l.hashing)
	_, _ = mac.Write([]byte(token)) // never fails
	return fmt.Sprintf("hmac:%x", mac.Sum(nil)[:6])
}

func notZero(h uint64) uint64 {
	if h == 0 {
		return 1
	}
	return h
}

// mix spreads the bits of x over all of the result, and is a bijection (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
