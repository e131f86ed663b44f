package providers

import "time"

// Names of the providers, as they stand in events, configuration and metrics.
const (
	APNs = "apns"
	FCM  = "fcm"
)

// Push is one request to a provider, made from a wake. A Sender reads it until it
// has answered and never keeps or changes it afterwards.
type Push struct {
	Ref       any       // the caller's own; comes back untouched in Result.Ref
	Token     string    // APNs: hex device token; FCM: registration token
	PushMagic string    // APNs MDM only: what the device compares; the payload is {"mdm": PushMagic}
	Topic     string    // APNs only; empty means the credential's topic
	PushType  string    // APNs only; empty means "mdm"
	Payload   []byte    // a JSON object that replaces the built payload; nil means build one
	Urgent    bool      // FCM: Android priority high; APNs MDM pushes always have priority 10
	Suspect   bool      // a rejection is likely: it may cost a connection its streams, so it should not be one that others use
	Expires   time.Time // until when the provider may store the push; never zero
}

// Outcome is what a provider's answer asks pushd to do. It is decided in one table per provider.
type Outcome uint8

const (
	// Accepted: the provider took the push. It does not say that the device received it.
	Accepted Outcome = iota + 1
	// TokenDead: the token will not be accepted again; Result.Since says since when, where the provider tells.
	TokenDead
	// Rejected: this push is wrong and will be refused as often as it is sent.
	Rejected
	// Again: not processed, or lost with its connection; send again soon on another connection.
	Again
	// Later: send again, not sooner than Result.Wait, at the scope that Result.Scope names.
	Later
	// Refused: the credential is not accepted; nothing of its tenant will be until it is replaced.
	Refused
)

// Scope says how much a wait slows: one device, or everything of one credential.
type Scope uint8

const (
	// Device: only this wake waits.
	Device Scope = iota
	// Credential: every push of this credential (APNs: certificate or key; FCM: project) waits.
	Credential
)

// Result is a provider's answer to one push: a value, never an error to be parsed.
type Result struct {
	Ref     any           // Push.Ref
	Outcome Outcome       // what to do
	Scope   Scope         // with Later: what waits
	Status  int           // HTTP status; 0 where no answer came
	Reason  string        // the provider's own word, from the table of answers, or "transport: ..." kinds; bounded in number
	Since   time.Time     // with TokenDead: when the provider found the token dead (APNs 410 timestamp, milliseconds); else zero
	Wait    time.Duration // with Later and Again: the shortest first wait this answer asks for
	Obeyed  bool          // Wait is the provider's own Retry-After: obey it exactly rather than backing off from it
	At      time.Time     // when it came; set by who is given it, not by the Sender
}

// Sender sends the pushes of one credential.
//
// Send takes a batch, does not block for answers, and answers each push exactly once by calling done,
// in any order, from any goroutine, in batches as they come. The slice given to done is the Sender's again
// when done returns; done must not block. The caller may reuse the slice pushes when Send returns.
// The caller limits how many pushes are under way: Send never refuses for load.
//
// Close stops the Sender: connections are closed and every push still under way is answered (Again).
// Send after Close answers Again.
type Sender interface {
	Send(pushes []Push, done func([]Result))
	Close()
}
