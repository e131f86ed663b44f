package store

import "time"

// Device is the identity of a device in the ledger: a keyed hash of its tenant and name (Ledger.Device).
type Device uint64

// EventID is the identity of an event of one device: a keyed hash of its id (Ledger.EventID), or of its place in the
// topic where it has none (Ledger.OffsetID). 0 means no event.
type EventID uint64

// Token is the identity of a token: a keyed hash (Ledger.Token). Tokens themselves are only inside Waiting.Data.
type Token uint64

// Kind is what became of an event. The order is part of the journal's format: add at the end only.
type Kind uint8

const (
	Accepted   Kind = iota + 1 // a push made for it was accepted; the device rests from then
	Merged                     // into a newer event of the same wake, which was accepted
	Covered                    // by a push that the provider stores, until the device checks in
	CheckedIn                  // the device checked in after it
	TokenDead                  // feedback was published
	Stale                      // refused by a 410 older than the token's registration, twice; feedback was published
	Expired                    // feedback was published
	Rejected                   // feedback was published
	DeadLetter                 // published to the dead-letter topic
	Forgotten                  // the device was forgotten
	Parked                     // the wake waits in the ledger until its time
	Held                       // the wake waits in the ledger until its credential is mended
	Noted                      // a check-in or forget event, taken into account
	kinds                      // their number, plus one
)

var kindNames = [kinds]string{
	Accepted: "accepted", Merged: "merged", Covered: "covered", CheckedIn: "checked_in", TokenDead: "token_dead",
	Stale: "stale", Expired: "expired", Rejected: "rejected", DeadLetter: "dead_letter", Forgotten: "forgotten",
	Parked: "parked", Held: "held", Noted: "noted",
}

// String is the kind's name in metrics, logs and the command line; "unknown" for one that a newer pushd wrote.
func (k Kind) String() string {
	if k == 0 || k >= kinds {
		return "unknown"
	}
	return kindNames[k]
}

// Outcome is one line of the journal: what became of one event.
type Outcome struct {
	Device Device
	Event  EventID // 0 where the outcome is of a wake whose events were journaled before (it was parked)
	Kind   Kind
	At     time.Time // kept to the millisecond
}

// Waiting is a wake that must outlive the process. There is at most one for a device.
type Waiting struct {
	Device Device
	Data   []byte // as the dispatcher encodes it; opaque here
}

// Tombstone remembers a dead token.
type Tombstone struct {
	Token Token
	Since time.Time // when the provider found it dead, kept to the millisecond
}

// Flush is what one partition writes at one time. All of it becomes durable, or nothing.
type Flush struct {
	Partition  int32
	Outcomes   []Outcome   // in the order in which they came; read only until Write returns
	Put        []Waiting   // wakes that wait from now on, or wait changed
	Delete     []Device    // devices whose waiting wake is settled; applied before Put
	Tombstones []Tombstone // tokens found dead
	Watermark  int64       // the offset that may be committed once this is durable; -1 where the partition is not owned
}
