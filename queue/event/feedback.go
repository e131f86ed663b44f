package event

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Outcome is what the management server learns of a wake.
type Outcome uint8

const (
	// TokenDead: the provider will not take this token again. Forget it, unless the device registered it after
	// ProviderTimestamp.
	TokenDead Outcome = iota + 1
	// Expired: the wake was not pushed before its time ran out.
	Expired
	// Rejected: the provider refuses this push however often it is sent.
	Rejected
	// CredentialRefused: the tenant's credential is not accepted; the wake waits until it is replaced.
	CredentialRefused
	// Stale: the provider found the token dead before it was registered, and again when asked a second time.
	Stale
	// Accepted: the provider took the push. It does not say that the device received it.
	Accepted
)

var outcomeNames = [...]string{
	TokenDead: "token_dead", Expired: "expired", Rejected: "rejected", CredentialRefused: "credential_refused",
	Stale: "stale", Accepted: "accepted",
}

// String is the outcome as it stands in a record.
func (o Outcome) String() string { return outcomeNames[o] }

// Feedback is one record of the feedback topic. It holds neither the token nor the push magic.
type Feedback struct {
	Outcome           Outcome
	Tenant            string
	Device            string
	Provider          string    // "apns" or "fcm"
	TokenHash         string    // of the token that was pushed to
	Reason            string    // the provider's own word, or pushd's
	Status            int       // the provider's HTTP status; 0 where it gave no answer
	ProviderTimestamp time.Time // since when the provider knows the token to be dead; zero where it does not say
	TokenRegisteredAt time.Time // as the event said; zero where it did not
	EventID           string    // the newest event that merged into the wake
	Attempts          int       // pushes that were answered
	ObservedAt        time.Time // when pushd learned it
	Traceparent       string    // of the newest event
}

// milliseconds is RFC 3339 to the millisecond, which is what APNs counts in.
const milliseconds = "2006-01-02T15:04:05.000Z07:00"

// AppendJSON appends the record's value to dst. Fields that are zero are left out.
func (f *Feedback) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = appendText(dst, "outcome", f.Outcome.String())
	dst = appendText(dst, "tenant", f.Tenant)
	dst = appendText(dst, "device", f.Device)
	dst = appendText(dst, "provider", f.Provider)
	dst = appendText(dst, "token_hash", f.TokenHash)
	dst = appendText(dst, "reason", f.Reason)
	dst = appendNumber(dst, "status", f.Status)
	dst = appendTime(dst, "provider_timestamp", f.ProviderTimestamp, milliseconds)
	dst = appendTime(dst, "token_registered_at", f.TokenRegisteredAt, time.RFC3339Nano)
	dst = appendText(dst, "event_id", f.EventID)
	dst = appendNumber(dst, "attempts", f.Attempts)
	dst = appendTime(dst, "observed_at", f.ObservedAt, milliseconds)
	dst = appendText(dst, "traceparent", f.Traceparent)
	return append(dst, '}')
}

// Key is the record's key, the same as that of the device's events.
func (f *Feedback) Key() []byte { return Key(f.Tenant, f.Device) }

// Headers are the record's headers.
func (f *Feedback) Headers() []Header { return jsonHeaders(f.Traceparent) }

// maxFeedbackText bounds the fields of a feedback that pushd itself wrote, from bounded parts.
const maxFeedbackText = 512

// feedbackBody is the JSON of a feedback, field by field as it stands there.
type feedbackBody struct {
	outcome, tenant, device, provider, tokenHash, reason, status value
	providerTimestamp, tokenRegisteredAt, eventID, attempts      value
	observedAt, traceparent                                      value
}

func (b *feedbackBody) keep(name []byte, v value) {
	switch string(name) {
	case "outcome":
		b.outcome = v
	case "tenant":
		b.tenant = v
	case "device":
		b.device = v
	case "provider":
		b.provider = v
	case "token_hash":
		b.tokenHash = v
	case "reason":
		b.reason = v
	case "status":
		b.status = v
	case "provider_timestamp":
		b.providerTimestamp = v
	case "token_registered_at":
		b.tokenRegisteredAt = v
	case "event_id":
		b.eventID = v
	case "attempts":
		b.attempts = v
	case "observed_at":
		b.observedAt = v
	case "traceparent":
		b.traceparent = v
	}
}

// DecodeFeedback reads the value of a record of the feedback topic, by the rules of Decode. Outcome, tenant and device
// must be there. The error is always an *Error.
func DecodeFeedback(value []byte) (Feedback, error) {
	if len(value) > MaxValue {
		return Feedback{}, tooLarge("", len(value), MaxValue, "this is no feedback of pushd")
	}
	if !utf8.Valid(value) {
		return Feedback{}, &Error{BadUTF8, "", "the value is not UTF-8; this is no feedback of pushd"}
	}
	var b feedbackBody
	if fault := scanObject(value, b.keep); fault != nil {
		return Feedback{}, fault
	}
	r := reader{to: new(Decoder)}
	f := Feedback{
		Outcome:           r.outcome(b.outcome),
		Tenant:            r.text(&tenantRule, b.tenant),
		Device:            r.text(&deviceRule, b.device),
		TokenHash:         r.text(&rule{"token_hash", maxFeedbackText, visible, mendVisible}, b.tokenHash),
		Reason:            r.text(&rule{"reason", maxFeedbackText, free, mendFree}, b.reason),
		Status:            r.count("status", b.status),
		ProviderTimestamp: r.time("provider_timestamp", b.providerTimestamp),
		TokenRegisteredAt: r.time("token_registered_at", b.tokenRegisteredAt),
		EventID:           r.text(&rule{"event_id", MaxID, free, mendFree}, b.eventID),
		Attempts:          r.count("attempts", b.attempts),
		ObservedAt:        r.time("observed_at", b.observedAt),
		Traceparent:       r.traceparent(b.traceparent),
	}
	if b.provider.given() {
		f.Provider = r.provider(b.provider)
	}
	if f.Tenant == "" {
		r.missing("tenant", "this is no feedback of pushd")
	}
	if f.Device == "" {
		r.missing("device", "this is no feedback of pushd")
	}
	if r.fault != nil {
		return Feedback{}, r.fault
	}
	return f, nil
}

func (r *reader) outcome(v value) Outcome {
	word := r.word("outcome", v)
	for o := TokenDead; o <= Accepted; o++ {
		if string(word) == outcomeNames[o] {
			return o
		}
	}
	if len(word) == 0 {
		r.missing("outcome", "this is no feedback of pushd")
	}
	r.fail(&Error{UnknownType, "outcome", "is of a newer pushd; pass over it, or update this consumer"})
	return 0
}

// count is a number of things; 0 where it is not given.
func (r *reader) count(field string, v value) int {
	if !v.given() {
		return 0
	}
	n, err := strconv.ParseUint(string(v.raw), 10, 31)
	if v.kind != number || err != nil {
		r.bad(field, "write a whole number from 0 to "+strconv.Itoa(math.MaxInt32))
	}
	return int(n)
}
