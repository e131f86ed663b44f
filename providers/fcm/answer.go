package fcm

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"pushd/providers"
	"pushd/providers/connection"
)

// unknown is the reason of an answer that Google does not document. The label stays one, whatever a server sends.
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

	deviceLater  = meaning{providers.Later, providers.Device, func(r RetryConfig) time.Duration { return r.Unavailable }}
	deviceQuota  = meaning{providers.Later, providers.Device, func(r RetryConfig) time.Duration { return r.Quota }}
	projectQuota = meaning{providers.Later, providers.Credential, func(r RetryConfig) time.Duration { return r.Quota }}
	oauthLater   = meaning{providers.Later, providers.Credential, func(r RetryConfig) time.Duration { return r.Unavailable }}
)

// meanings is the one table of FCM's errors: the errorCode of an FcmError, which decides where there is one.
// INVALID_ARGUMENT is not in it: see invalidArgument.
var meanings = map[string]meaning{
	"UNREGISTERED":       dead, // since when, FCM does not say
	"SENDER_ID_MISMATCH": dead, // the token is another project's
	"QUOTA_EXCEEDED":     projectQuota,
	"UNAVAILABLE":        deviceLater,
	"INTERNAL":           deviceLater,
	// The push credential uploaded to the project is wrong.
	"THIRD_PARTY_AUTH_ERROR": refused,
}

// byStatus is the meaning of an error without an errorCode: Google's front end refused the request before FCM saw it.
// The reasons are the canonical words of google.rpc.Code.
func byStatus(status int) (string, meaning) {
	switch status {
	case http.StatusBadRequest:
		return "INVALID_ARGUMENT", rejected
	case http.StatusUnauthorized: // after the sender renewed its access token
		return "UNAUTHENTICATED", refused
	case http.StatusForbidden: // the account may not send, or the API is switched off
		return "PERMISSION_DENIED", refused
	case http.StatusNotFound: // no such project, or another URL than FCM's
		return "NOT_FOUND", refused
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED", projectQuota
	case http.StatusInternalServerError:
		return "INTERNAL", deviceLater
	case http.StatusServiceUnavailable:
		return "UNAVAILABLE", deviceLater
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED", deviceLater
	}
	if status >= 400 && status < 500 {
		return unknown, rejected
	}
	return unknown, deviceLater
}

// answers turns what came back into Results; Ref is left to the sender.
type answers struct {
	retry RetryConfig
}

// errorBody is Google's error model: what is looked at of it.
type errorBody struct {
	Error struct {
		Message string `json:"message"`
		Details []struct {
			Type            string            `json:"@type"`
			ErrorCode       string            `json:"errorCode"`       // of FcmError
			FieldViolations []json.RawMessage `json:"fieldViolations"` // of google.rpc.BadRequest
			Violations      []struct {        // of google.rpc.QuotaFailure
				Subject     string `json:"subject"`
				Description string `json:"description"`
			} `json:"violations"`
		} `json:"details"`
	} `json:"error"`
}

const fcmError = "type.googleapis.com/google.firebase.fcm.v1.FcmError"

// answer is what an HTTP answer means that came at now.
func (a answers) answer(status int, retryAfter string, body []byte, now time.Time) providers.Result {
	if status == http.StatusOK {
		return providers.Result{Outcome: providers.Accepted, Status: status}
	}
	var e errorBody
	if json.Unmarshal(body, &e) != nil {
		e = errorBody{}
	}
	code := e.errorCode()
	m, known := meanings[code]
	switch {
	case code == "INVALID_ARGUMENT":
		m = e.invalidArgument()
	case code == "QUOTA_EXCEEDED" && e.deviceQuota():
		m = deviceQuota
	case !known:
		code, m = byStatus(status)
	}
	result := a.result(m, code)
	result.Status = status
	if wait, ok := providers.RetryAfter(retryAfter, now); ok && m.outcome == providers.Later {
		result.Wait, result.Obeyed = wait, true
	}
	return result
}

func (e *errorBody) errorCode() string {
	for _, detail := range e.Error.Details {
		if detail.Type == fcmError {
			return detail.ErrorCode
		}
	}
	return ""
}

// invalidArgument tells a bad token from a bad message. FCM gives both the same code; only of a message that is wrong it
// names the fields, and only of a token it speaks in its text ("The registration token is not a valid FCM registration
// token"). In doubt it is the message: a token is not dropped by mistake.
func (e *errorBody) invalidArgument() meaning {
	for _, detail := range e.Error.Details {
		if len(detail.FieldViolations) > 0 {
			return rejected
		}
	}
	if strings.Contains(strings.ToLower(e.Error.Message), "registration token") {
		return dead
	}
	return rejected
}

// deviceQuota says whether the quota exceeded is one device's, so that the project need not wait.
func (e *errorBody) deviceQuota() bool {
	for _, detail := range e.Error.Details {
		for _, violation := range detail.Violations {
			if strings.Contains(strings.ToLower(violation.Subject+violation.Description), "device") {
				return true
			}
		}
	}
	return false
}

// failure is what the lack of an answer means. A push that FCM may be at work on waits as after a 503; Google's own
// calls take up to 10 seconds.
func (a answers) failure(f *connection.Failure) providers.Result {
	m := again
	if f.Kind == connection.Timeout && !f.Unprocessed {
		m = deviceLater
	}
	result := a.result(m, "transport: "+f.Kind.String())
	if f.Unprocessed && (f.Kind == connection.RefusedStream || f.Kind == connection.GoAway) {
		result.Wait = 0
	}
	return result
}

// noToken is what the lack of an access token means. It is no push's own: where the endpoint cannot be had, everything
// of the credential waits.
func (a answers) noToken(err error) providers.Result {
	switch {
	case errors.Is(err, context.Canceled):
		return a.result(again, providers.ReasonClosed)
	case errors.Is(err, errGrantRefused):
		return a.result(refused, "oauth: refused")
	}
	return a.result(oauthLater, "oauth: unavailable")
}

func (a answers) result(m meaning, reason string) providers.Result {
	r := providers.Result{Outcome: m.outcome, Scope: m.scope, Reason: reason}
	if m.wait != nil {
		r.Wait = m.wait(a.retry)
	}
	return r
}

// tooManyStreams is FCM's word where a client has more than 100 streams on a connection.
const tooManyStreams = "exceeded_max_concurrent_streams"

// goAwayReason is FCM's word in a GOAWAY's debug data, if it is a known one, and else empty.
func goAwayReason(debug []byte) string {
	if strings.Contains(string(debug), tooManyStreams) {
		return tooManyStreams
	}
	return ""
}
