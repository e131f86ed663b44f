package fcm

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"pushd/providers"
	"pushd/providers/connection"
)

var table = answers{DefaultConfig().Retry}

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// errorJSON is an error as FCM writes it, with the details given.
func errorJSON(status int, word, message, details string) []byte {
	return fmt.Appendf(nil, `{"error":{"code":%d,"message":%q,"status":%q,"details":[%s]}}`, status, message, word, details)
}

func fcmDetail(code string) string {
	return fmt.Sprintf(`{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":%q}`, code)
}

const (
	badRequest   = `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.android.ttl","description":"Invalid ttl"}]}`
	projectLimit = `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"project","description":"Send requests per minute"}]}`
	deviceLimit  = `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"subject":"device:x","description":"Message rate"}]}`
	badToken     = "The registration token is not a valid FCM registration token"
)

func TestEveryDocumentedErrorHasItsMeaning(t *testing.T) {
	t.Parallel()
	const wait10s, wait1m = 10 * time.Second, time.Minute
	for _, row := range []struct {
		status  int
		word    string
		message string
		details string
		want    providers.Result
	}{
		{400, "INVALID_ARGUMENT", badToken, fcmDetail("INVALID_ARGUMENT"), providers.Result{Outcome: providers.TokenDead, Reason: "INVALID_ARGUMENT"}},
		{400, "INVALID_ARGUMENT", badToken, fcmDetail("INVALID_ARGUMENT") + "," + badRequest, providers.Result{Outcome: providers.Rejected, Reason: "INVALID_ARGUMENT"}},
		{400, "INVALID_ARGUMENT", "Android message is too big", fcmDetail("INVALID_ARGUMENT"), providers.Result{Outcome: providers.Rejected, Reason: "INVALID_ARGUMENT"}},
		{400, "INVALID_ARGUMENT", badToken, badRequest, providers.Result{Outcome: providers.Rejected, Reason: "INVALID_ARGUMENT"}},
		{400, "INVALID_ARGUMENT", badToken, "", providers.Result{Outcome: providers.Rejected, Reason: "INVALID_ARGUMENT"}},
		{404, "NOT_FOUND", "Requested entity was not found.", fcmDetail("UNREGISTERED"), providers.Result{Outcome: providers.TokenDead, Reason: "UNREGISTERED"}},
		{400, "INVALID_ARGUMENT", "by its code, not by its status", fcmDetail("UNREGISTERED"), providers.Result{Outcome: providers.TokenDead, Reason: "UNREGISTERED"}},
		{404, "NOT_FOUND", "Requested entity was not found.", "", providers.Result{Outcome: providers.Refused, Reason: "NOT_FOUND"}},
		{403, "PERMISSION_DENIED", "SenderId mismatch", fcmDetail("SENDER_ID_MISMATCH"), providers.Result{Outcome: providers.TokenDead, Reason: "SENDER_ID_MISMATCH"}},
		{403, "PERMISSION_DENIED", "Permission denied", "", providers.Result{Outcome: providers.Refused, Reason: "PERMISSION_DENIED"}},
		{401, "UNAUTHENTICATED", "invalid credentials", "", providers.Result{Outcome: providers.Refused, Reason: "UNAUTHENTICATED"}},
		{401, "UNAUTHENTICATED", "Auth error from APNS", fcmDetail("THIRD_PARTY_AUTH_ERROR"), providers.Result{Outcome: providers.Refused, Reason: "THIRD_PARTY_AUTH_ERROR"}},
		{429, "RESOURCE_EXHAUSTED", "Quota exceeded", fcmDetail("QUOTA_EXCEEDED") + "," + projectLimit, providers.Result{Outcome: providers.Later, Scope: providers.Credential, Reason: "QUOTA_EXCEEDED", Wait: wait1m}},
		{429, "RESOURCE_EXHAUSTED", "Quota exceeded", fcmDetail("QUOTA_EXCEEDED") + "," + deviceLimit, providers.Result{Outcome: providers.Later, Scope: providers.Device, Reason: "QUOTA_EXCEEDED", Wait: wait1m}},
		{429, "RESOURCE_EXHAUSTED", "Resource has been exhausted", "", providers.Result{Outcome: providers.Later, Scope: providers.Credential, Reason: "RESOURCE_EXHAUSTED", Wait: wait1m}},
		{503, "UNAVAILABLE", "unavailable", fcmDetail("UNAVAILABLE"), providers.Result{Outcome: providers.Later, Reason: "UNAVAILABLE", Wait: wait10s}},
		{503, "UNAVAILABLE", "unavailable", "", providers.Result{Outcome: providers.Later, Reason: "UNAVAILABLE", Wait: wait10s}},
		{500, "INTERNAL", "internal", fcmDetail("INTERNAL"), providers.Result{Outcome: providers.Later, Reason: "INTERNAL", Wait: wait10s}},
		{500, "INTERNAL", "internal", "", providers.Result{Outcome: providers.Later, Reason: "INTERNAL", Wait: wait10s}},
		{400, "INVALID_ARGUMENT", "?", fcmDetail("UNSPECIFIED_ERROR"), providers.Result{Outcome: providers.Rejected, Reason: "INVALID_ARGUMENT"}},
		{503, "UNAVAILABLE", "?", fcmDetail("UNSPECIFIED_ERROR"), providers.Result{Outcome: providers.Later, Reason: "UNAVAILABLE", Wait: wait10s}},
		{409, "CONFLICT", "?", fcmDetail("SOMETHING_NEW"), providers.Result{Outcome: providers.Rejected, Reason: "unknown"}},
		{501, "UNIMPLEMENTED", "?", fcmDetail("SOMETHING_NEW"), providers.Result{Outcome: providers.Later, Reason: "unknown", Wait: wait10s}},
	} {
		row.want.Status = row.status
		got := table.answer(row.status, "", errorJSON(row.status, row.word, row.message, row.details), now)
		if got != row.want {
			t.Errorf("%d %s %s: %+v, want %+v", row.status, row.message, row.details, got, row.want)
		}
	}
}

func TestAnswersThatAreNotJSONGoByTheirStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]providers.Result{
		204: {Outcome: providers.Later, Reason: "unknown", Wait: 10 * time.Second},
		302: {Outcome: providers.Later, Reason: "unknown", Wait: 10 * time.Second},
		400: {Outcome: providers.Rejected, Reason: "INVALID_ARGUMENT"},
		401: {Outcome: providers.Refused, Reason: "UNAUTHENTICATED"},
		403: {Outcome: providers.Refused, Reason: "PERMISSION_DENIED"},
		404: {Outcome: providers.Refused, Reason: "NOT_FOUND"},
		408: {Outcome: providers.Later, Reason: "DEADLINE_EXCEEDED", Wait: 10 * time.Second},
		413: {Outcome: providers.Rejected, Reason: "unknown"},
		429: {Outcome: providers.Later, Scope: providers.Credential, Reason: "RESOURCE_EXHAUSTED", Wait: time.Minute},
		502: {Outcome: providers.Later, Reason: "unknown", Wait: 10 * time.Second},
		504: {Outcome: providers.Later, Reason: "DEADLINE_EXCEEDED", Wait: 10 * time.Second},
	} {
		want.Status = status
		for _, body := range []string{"", "<html>", `{"error":`, `[]`, `{"error":"text"}`, `{"error":{"details":{}}}`} {
			if got := table.answer(status, "", []byte(body), now); got != want {
				t.Errorf("%d %q: %+v, want %+v", status, body, got, want)
			}
		}
	}
}

func TestRetryAfterIsObeyedWhereTheAnswerAsksToWait(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		status int
		code   string
		header string
		wait   time.Duration
		obeyed bool
	}{
		{429, "QUOTA_EXCEEDED", "7", 7 * time.Second, true},
		{503, "UNAVAILABLE", now.Add(time.Hour).Format(http.TimeFormat), time.Hour, true},
		{500, "INTERNAL", "rubbish", 10 * time.Second, false},
		{404, "UNREGISTERED", "7", 0, false},
	} {
		got := table.answer(row.status, row.header, errorJSON(row.status, "", "", fcmDetail(row.code)), now)
		if got.Wait != row.wait || got.Obeyed != row.obeyed {
			t.Errorf("%s with Retry-After %q: wait %v, obeyed %v", row.code, row.header, got.Wait, got.Obeyed)
		}
	}
}

func TestFailuresAreSentAgain(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		failure connection.Failure
		want    providers.Result
	}{
		{connection.Failure{Kind: connection.Dial, Unprocessed: true}, providers.Result{Outcome: providers.Again, Reason: "transport: dial", Wait: time.Second}},
		{connection.Failure{Kind: connection.Timeout}, providers.Result{Outcome: providers.Later, Reason: "transport: timeout", Wait: 10 * time.Second}},
		{connection.Failure{Kind: connection.Timeout, Unprocessed: true}, providers.Result{Outcome: providers.Again, Reason: "transport: timeout", Wait: time.Second}},
		{connection.Failure{Kind: connection.RefusedStream, Unprocessed: true}, providers.Result{Outcome: providers.Again, Reason: "transport: refused stream"}},
		{connection.Failure{Kind: connection.GoAway, Unprocessed: true, Debug: []byte(tooManyStreams)}, providers.Result{Outcome: providers.Again, Reason: "transport: goaway"}},
		{connection.Failure{Kind: connection.GoAway}, providers.Result{Outcome: providers.Again, Reason: "transport: goaway", Wait: time.Second}},
		{connection.Failure{Kind: connection.Lost}, providers.Result{Outcome: providers.Again, Reason: "transport: connection lost", Wait: time.Second}},
	} {
		if got := table.failure(&row.failure); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.failure.Kind, got, row.want)
		}
	}
}

func FuzzAnswerIsAlwaysOneOfTheTable(f *testing.F) {
	f.Add(400, "10", errorJSON(400, "INVALID_ARGUMENT", badToken, fcmDetail("INVALID_ARGUMENT")))
	f.Add(429, "", errorJSON(429, "RESOURCE_EXHAUSTED", "", fcmDetail("QUOTA_EXCEEDED")+","+deviceLimit))
	f.Add(400, "", errorJSON(400, "", "", badRequest))
	f.Add(503, "x", []byte("<html>"))
	reasons := map[string]bool{unknown: true, "": true, "INVALID_ARGUMENT": true}
	for code := range meanings {
		reasons[code] = true
	}
	for status := range 600 {
		reason, _ := byStatus(status)
		reasons[reason] = true
	}
	f.Fuzz(func(t *testing.T, status int, retryAfter string, body []byte) {
		got := table.answer(status, retryAfter, body, now)
		if !reasons[got.Reason] {
			t.Errorf("reason %q is of no closed set", got.Reason)
		}
		if got.Outcome < providers.Accepted || got.Outcome > providers.Refused || got.Outcome == providers.Again {
			t.Errorf("outcome %d", got.Outcome)
		}
		if got.Wait < 0 || got.Wait > 24*time.Hour {
			t.Errorf("wait %v", got.Wait)
		}
		if (got.Outcome == providers.Accepted) != (status == http.StatusOK) {
			t.Errorf("status %d is outcome %d", status, got.Outcome)
		}
	})
}
