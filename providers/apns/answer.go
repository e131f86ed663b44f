package apns

import (
	"encoding/json"
	"net/http"
	"time"

	"pushd/providers"
	"pushd/providers/connection"
)

// unknown is the reason of an answer that Apple does not document. The label stays one, whatever a server sends.
const unknown = "unknown"

// meaning is what an answer asks for.
type meaning struct {
	outcome providers.Outcome
	scope   providers.Scope
	wait    func(RetryConfig) time.Duration // nil: none
}

var (
	dead     = meaning{outcome: providers.TokenDead}
	rejected = meaning{outcome: providers.Rejected}
	refused  = meaning{outcome: providers.Refused}
	again    = meaning{providers.Again, providers.Device, func(r RetryConfig) time.Duration { return r.Transport }}

	deviceLater = meaning{providers.Later, providers.Device, func(r RetryConfig) time.Duration { return r.Device }}
	tokenLater  = meaning{providers.Later, providers.Credential, func(r RetryConfig) time.Duration { return r.TokenUpdates }}
	// serverLater is for every 5xx. Each wake waits for itself: APNs answers 500 to single pushes too, and if all of it is
	// down every wake of the credential is told so by its own answer.
	serverLater = meaning{providers.Later, providers.Device, func(r RetryConfig) time.Duration { return r.ServerError }}
)

// topicDisallowed: the credential may not push to the topic.
const topicDisallowed = "TopicDisallowed"

// meanings is the one table of APNs' reasons ("Handling notification responses from APNs"). A reason has the same
// meaning with whichever status it comes.
var meanings = map[string]meaning{
	// 400: the push is wrong, and will be each time.
	"BadCollapseId":      rejected,
	"BadExpirationDate":  rejected,
	"BadMessageId":       rejected,
	"BadPriority":        rejected,
	"BadTopic":           rejected,
	"DuplicateHeaders":   rejected,
	"InvalidPushType":    rejected,
	"MissingDeviceToken": rejected,
	"MissingTopic":       rejected,
	"PayloadEmpty":       rejected,
	// 400: the token is wrong for this environment or topic. APNs does not say since when.
	"BadDeviceToken":         dead,
	"DeviceTokenNotForTopic": dead,
	// 400: the connection was idle too long.
	"IdleTimeout": again,
	// 400 and 403: the credential.
	topicDisallowed:             refused,
	"BadCertificate":            refused,
	"BadCertificateEnvironment": refused,
	"Forbidden":                 refused,
	"InvalidProviderToken":      refused,
	"MissingProviderToken":      refused,
	// Documented with Id, sent without.
	"BadEnvironmentKeyIdInToken": refused,
	"BadEnvironmentKeyInToken":   refused,
	// 403, when the token that the sender renewed at the first such answer has expired too: its clock is wrong.
	"ExpiredProviderToken": refused,
	// 403: another key was the connection's first; with a new connection it is not.
	"UnrelatedKeyIdInToken": again,
	// 404, 405
	"BadPath":          rejected,
	"MethodNotAllowed": rejected,
	// 410, with the time since when.
	"ExpiredToken": dead,
	"Unregistered": dead,
	// 413
	"PayloadTooLarge": rejected,
	// 429
	"TooManyRequests":             deviceLater,
	"TooManyProviderTokenUpdates": tokenLater,
	// 500, 503
	"InternalServerError": serverLater,
	"ServiceUnavailable":  serverLater,
	// 503: this server drains; the next connection leads to another.
	"Shutdown": again,
}

// byStatus is the meaning of an answer whose reason is not in the table, or that is not APNs' JSON at all, as a proxy's
// error page is not.
func byStatus(status int) meaning {
	switch {
	case status == http.StatusTooManyRequests:
		return deviceLater
	case status >= 400 && status < 500:
		return rejected
	}
	return serverLater
}

// answers turns what came back into Results; Ref is left to the sender.
type answers struct {
	retry RetryConfig
}

// answer is what an HTTP answer means that came at now.
func (a answers) answer(status int, retryAfter string, body []byte, now time.Time) providers.Result {
	if status == http.StatusOK {
		return providers.Result{Outcome: providers.Accepted, Status: status}
	}
	reason, since := parseBody(body)
	m, known := meanings[reason]
	if !known {
		reason, m = unknown, byStatus(status)
	}
	result := a.result(m, reason)
	result.Status = status
	if m.outcome == providers.TokenDead {
		result.Since = since
	}
	if wait, ok := providers.RetryAfter(retryAfter, now); ok && m.outcome == providers.Later {
		result.Wait, result.Obeyed = wait, true
	}
	return result
}

// failure is what the lack of an answer means. A GOAWAY's reason is about the connection, not about this push: of the
// table only its refusal of the credential counts.
func (a answers) failure(f *connection.Failure) providers.Result {
	if reason := goAwayReason(f.Debug); reason != "" {
		if meanings[reason].outcome == providers.Refused {
			return a.result(refused, reason)
		}
		return a.lost(f, reason)
	}
	reason := "transport: " + f.Kind.String()
	if f.Kind == connection.CertificateRefused {
		return a.result(refused, reason)
	}
	return a.lost(f, reason)
}

// lost is Again: at once where the server surely did nothing with the push, and may with the next connection.
func (a answers) lost(f *connection.Failure, reason string) providers.Result {
	result := a.result(again, reason)
	if f.Unprocessed && (f.Kind == connection.RefusedStream || f.Kind == connection.GoAway) {
		result.Wait = 0
	}
	return result
}

func (a answers) result(m meaning, reason string) providers.Result {
	r := providers.Result{Outcome: m.outcome, Scope: m.scope, Reason: reason}
	if m.wait != nil {
		r.Wait = m.wait(a.retry)
	}
	return r
}

// parseBody reads the JSON of an error. The time is zero where there is none, or none that makes sense.
func parseBody(body []byte) (reason string, since time.Time) {
	var fields struct {
		Reason    string          `json:"reason"`
		Timestamp json.RawMessage `json:"timestamp"`
	}
	if json.Unmarshal(body, &fields) != nil {
		return "", time.Time{}
	}
	var ms int64
	if json.Unmarshal(fields.Timestamp, &ms) == nil && ms > 0 && ms < lastTimestamp {
		since = time.UnixMilli(ms)
	}
	return fields.Reason, since
}

// lastTimestamp is the year 2200 in milliseconds; a time after it is a mistake.
const lastTimestamp = 7_258_118_400_000

// goAwayReason is the reason in a GOAWAY's debug data, if it is one of the table, and else empty.
func goAwayReason(debug []byte) string {
	reason, _ := parseBody(debug)
	if _, known := meanings[reason]; !known {
		return ""
	}
	return reason
}
