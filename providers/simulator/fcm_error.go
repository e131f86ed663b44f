package simulator

import (
	"net/http"
	"strconv"
)

// fcmError is an error body of FCM v1, whose shapes are told apart by details: an FcmError (the errorCode), a
// google.rpc.BadRequest (a field violation), both, or none.
type fcmError struct {
	status    int
	word      string // canonical status, such as NOT_FOUND
	message   string
	errorCode string // of FcmError; "" for none
	violation bool   // there is a field violation, whose description is the message
	field     string // of the violation; "" is the whole request
}

// fcmErrors are the errors that have an errorCode of FcmError.
var fcmErrors = map[string]fcmError{
	"INVALID_ARGUMENT":       {400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token", "INVALID_ARGUMENT", false, ""},
	"UNREGISTERED":           {404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED", false, ""},
	"SENDER_ID_MISMATCH":     {403, "PERMISSION_DENIED", "SenderId mismatch", "SENDER_ID_MISMATCH", false, ""},
	"QUOTA_EXCEEDED":         {429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Send requests' and limit 'Send requests per minute'.", "QUOTA_EXCEEDED", false, ""},
	"UNAVAILABLE":            {503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE", false, ""},
	"INTERNAL":               {500, "INTERNAL", "Internal error encountered.", "INTERNAL", false, ""},
	"THIRD_PARTY_AUTH_ERROR": {401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service", "THIRD_PARTY_AUTH_ERROR", false, ""},
}

// plainErrors are the errors without details, by status.
var plainErrors = map[int]fcmError{
	400: {400, "INVALID_ARGUMENT", "Request contains an invalid argument.", "", false, ""},
	401: {401, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.", "", false, ""},
	403: {403, "PERMISSION_DENIED", "Permission 'cloudmessaging.messages.create' denied on resource (or it may not exist).", "", false, ""},
	404: {404, "NOT_FOUND", "Requested entity was not found.", "", false, ""},
	429: {429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", "", false, ""},
	500: {500, "INTERNAL", "Internal error encountered.", "", false, ""},
	503: {503, "UNAVAILABLE", "The service is currently unavailable.", "", false, ""},
}

// errorOf is the error of a status and errorCode; an unknown code or status, which tests ask for, gets a body all the same.
func errorOf(status int, code string) *fcmError {
	e, ok := fcmErrors[code]
	if code == "" {
		e, ok = plainErrors[status]
	}
	if !ok {
		e = fcmError{word: "UNKNOWN", message: http.StatusText(status), errorCode: code}
	}
	e.status = status
	return &e
}

// violation is what the message itself gets wrong in a field, as FCM finds it.
func violation(field, message string) *fcmError {
	return &fcmError{400, "INVALID_ARGUMENT", message, "INVALID_ARGUMENT", true, field}
}

// malformed is what the JSON gets wrong in a field, as Google's front end finds it before FCM sees the message.
func malformed(field, message string) *fcmError {
	return &fcmError{400, "INVALID_ARGUMENT", message, "", true, field}
}

// name is the error's name for Account.Answers.
func (e *fcmError) name() string {
	switch {
	case e.violation:
		return "field violation"
	case e.errorCode != "":
		return e.errorCode
	}
	return e.word
}

// append renders the error.
func (e *fcmError) append(b []byte) []byte {
	b = append(b, `{"error":{"code":`...)
	b = strconv.AppendInt(b, int64(e.status), 10)
	b = append(b, `,"message":`...)
	b = appendJSONString(b, e.message)
	b = append(b, `,"status":"`...)
	b = append(b, e.word...)
	b = append(b, '"')
	if e.errorCode == "" && !e.violation {
		return append(b, `}}`...)
	}
	b = append(b, `,"details":[`...)
	if e.errorCode != "" {
		b = append(b, `{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":`...)
		b = appendJSONString(b, e.errorCode)
		b = append(b, '}')
	}
	switch {
	case e.violation:
		if e.errorCode != "" {
			b = append(b, ',')
		}
		b = append(b, `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":`...)
		b = appendJSONString(b, e.field)
		b = append(b, `,"description":`...)
		b = appendJSONString(b, e.message)
		b = append(b, `}]}`...)
	case e.errorCode == "QUOTA_EXCEEDED":
		b = append(b, `,{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"project","description":"Send requests per minute"}]}`...)
	}
	return append(b, `]}}`...)
}
