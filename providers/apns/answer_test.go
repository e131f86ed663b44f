package apns

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

func TestEveryDocumentedReasonHasItsMeaning(t *testing.T) {
	t.Parallel()
	since := time.UnixMilli(1_700_000_000_123)
	const wait1s, wait30s, wait15m, wait20m = time.Second, 30 * time.Second, 15 * time.Minute, 20 * time.Minute
	for _, row := range []struct {
		status  int
		reason  string
		outcome providers.Outcome
		scope   providers.Scope
		wait    time.Duration
	}{
		{400, "BadCollapseId", providers.Rejected, 0, 0},
		{400, "BadDeviceToken", providers.TokenDead, 0, 0},
		{400, "BadExpirationDate", providers.Rejected, 0, 0},
		{400, "BadMessageId", providers.Rejected, 0, 0},
		{400, "BadPriority", providers.Rejected, 0, 0},
		{400, "BadTopic", providers.Rejected, 0, 0},
		{400, "DeviceTokenNotForTopic", providers.TokenDead, 0, 0},
		{400, "DuplicateHeaders", providers.Rejected, 0, 0},
		{400, "IdleTimeout", providers.Again, 0, wait1s},
		{400, "InvalidPushType", providers.Rejected, 0, 0},
		{400, "MissingDeviceToken", providers.Rejected, 0, 0},
		{400, "MissingTopic", providers.Rejected, 0, 0},
		{400, "PayloadEmpty", providers.Rejected, 0, 0},
		{400, "TopicDisallowed", providers.Refused, 0, 0},
		{403, "BadCertificate", providers.Refused, 0, 0},
		{403, "BadCertificateEnvironment", providers.Refused, 0, 0},
		{403, "ExpiredProviderToken", providers.Refused, 0, 0},
		{403, "Forbidden", providers.Refused, 0, 0},
		{403, "InvalidProviderToken", providers.Refused, 0, 0},
		{403, "MissingProviderToken", providers.Refused, 0, 0},
		{403, "UnrelatedKeyIdInToken", providers.Again, 0, wait1s},
		{403, "BadEnvironmentKeyIdInToken", providers.Refused, 0, 0},
		{403, "BadEnvironmentKeyInToken", providers.Refused, 0, 0},
		{404, "BadPath", providers.Rejected, 0, 0},
		{405, "MethodNotAllowed", providers.Rejected, 0, 0},
		{410, "ExpiredToken", providers.TokenDead, 0, 0},
		{410, "Unregistered", providers.TokenDead, 0, 0},
		{413, "PayloadTooLarge", providers.Rejected, 0, 0},
		{429, "TooManyProviderTokenUpdates", providers.Later, providers.Credential, wait20m},
		{429, "TooManyRequests", providers.Later, providers.Device, wait30s},
		{500, "InternalServerError", providers.Later, providers.Device, wait15m},
		{503, "ServiceUnavailable", providers.Later, providers.Device, wait15m},
		{503, "Shutdown", providers.Again, 0, wait1s},
	} {
		body := fmt.Sprintf(`{"reason":%q}`, row.reason)
		if row.status == http.StatusGone {
			body = fmt.Sprintf(`{"reason":%q,"timestamp":%d}`, row.reason, since.UnixMilli())
		}
		want := providers.Result{Outcome: row.outcome, Scope: row.scope, Status: row.status, Reason: row.reason, Wait: row.wait}
		if row.status == http.StatusGone {
			want.Since = since
		}
		if got := table.answer(row.status, "", []byte(body), now); got != want {
			t.Errorf("%d %s: %+v, want %+v", row.status, row.reason, got, want)
		}
	}
}

func TestAnswersThatAreNotInTheTableGoByTheirStatus(t *testing.T) {
	t.Parallel()
	page := []byte("<html>Bad Gateway</html>")
	for _, row := range []struct {
		status  int
		body    []byte
		outcome providers.Outcome
		wait    time.Duration
	}{
		{400, []byte(`{"reason":"SomethingNew"}`), providers.Rejected, 0},
		{403, page, providers.Rejected, 0},
		{404, nil, providers.Rejected, 0},
		{410, page, providers.Rejected, 0},
		{410, []byte(`{"reason":"SomethingNew","timestamp":1700000000123}`), providers.Rejected, 0},
		{429, page, providers.Later, 30 * time.Second},
		{500, []byte(`{"reason":"SomethingNew"}`), providers.Later, 15 * time.Minute},
		{502, page, providers.Later, 15 * time.Minute},
		{504, []byte(`{"reason":`), providers.Later, 15 * time.Minute},
		{503, []byte(`[]`), providers.Later, 15 * time.Minute},
		{301, page, providers.Later, 15 * time.Minute},
		{204, nil, providers.Later, 15 * time.Minute},
	} {
		want := providers.Result{Outcome: row.outcome, Status: row.status, Reason: "unknown", Wait: row.wait}
		if got := table.answer(row.status, "", row.body, now); got != want {
			t.Errorf("%d %s: %+v, want %+v", row.status, row.body, got, want)
		}
	}
	if got := table.answer(200, "30", []byte(`{"reason":"Unregistered"}`), now); got != (providers.Result{Outcome: providers.Accepted, Status: 200}) {
		t.Errorf("200: %+v", got)
	}
}

func TestTimestampsAreKeptToTheMillisecondAndDoubted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"1700000000123":         time.UnixMilli(1_700_000_000_123),
		"0":                     {},
		"-5":                    {},
		`"1700000000123"`:       {},
		"1.7e12":                {},
		"99999999999999999":     {},
		"99999999999999999999":  {},
		"null":                  {},
		`{"a":1}`:               {},
		"1700000000123.0000001": {},
	} {
		got := table.answer(410, "", []byte(`{"reason":"Unregistered","timestamp":`+text+`}`), now)
		if got.Outcome != providers.TokenDead || !got.Since.Equal(want) {
			t.Errorf("timestamp %s: %+v, want since %v", text, got, want)
		}
	}
	if got := table.answer(400, "", []byte(`{"reason":"BadDeviceToken"}`), now); !got.Since.IsZero() {
		t.Errorf("BadDeviceToken since %v, which APNs did not say", got.Since)
	}
}

func TestRetryAfterIsObeyedWhereTheAnswerAsksToWait(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		status int
		reason string
		header string
		wait   time.Duration
		obeyed bool
	}{
		{503, "ServiceUnavailable", "120", 2 * time.Minute, true},
		{429, "TooManyRequests", now.Add(time.Hour).Format(http.TimeFormat), time.Hour, true},
		{500, "Whatever", "7", 7 * time.Second, true},
		{503, "ServiceUnavailable", "soon", 15 * time.Minute, false},
		{400, "BadTopic", "120", 0, false},
		{503, "Shutdown", "120", time.Second, false},
	} {
		got := table.answer(row.status, row.header, fmt.Appendf(nil, `{"reason":%q}`, row.reason), now)
		if got.Wait != row.wait || got.Obeyed != row.obeyed {
			t.Errorf("%s with Retry-After %q: wait %v, obeyed %v", row.reason, row.header, got.Wait, got.Obeyed)
		}
	}
}

func TestFailuresAreSentAgainUnlessTheyRefuseTheCredential(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		failure connection.Failure
		want    providers.Result
	}{
		{connection.Failure{Kind: connection.Dial, Unprocessed: true}, providers.Result{Outcome: providers.Again, Reason: "transport: dial", Wait: time.Second}},
		{connection.Failure{Kind: connection.TLS, Unprocessed: true}, providers.Result{Outcome: providers.Again, Reason: "transport: tls", Wait: time.Second}},
		{connection.Failure{Kind: connection.CertificateRefused, Unprocessed: true}, providers.Result{Outcome: providers.Refused, Reason: "transport: certificate refused"}},
		{connection.Failure{Kind: connection.Timeout}, providers.Result{Outcome: providers.Again, Reason: "transport: timeout", Wait: time.Second}},
		{connection.Failure{Kind: connection.Reset}, providers.Result{Outcome: providers.Again, Reason: "transport: reset", Wait: time.Second}},
		{connection.Failure{Kind: connection.RefusedStream, Unprocessed: true}, providers.Result{Outcome: providers.Again, Reason: "transport: refused stream"}},
		{connection.Failure{Kind: connection.Lost}, providers.Result{Outcome: providers.Again, Reason: "transport: connection lost", Wait: time.Second}},
		{connection.Failure{Kind: connection.Closed}, providers.Result{Outcome: providers.Again, Reason: providers.ReasonClosed, Wait: time.Second}},
		{connection.Failure{Kind: connection.GoAway}, providers.Result{Outcome: providers.Again, Reason: "transport: goaway", Wait: time.Second}},
		{connection.Failure{Kind: connection.GoAway, Unprocessed: true}, providers.Result{Outcome: providers.Again, Reason: "transport: goaway"}},
		{connection.Failure{Kind: connection.GoAway, Unprocessed: true, Debug: []byte(`{"reason":"NewReason"}`)}, providers.Result{Outcome: providers.Again, Reason: "transport: goaway"}},
		{connection.Failure{Kind: connection.GoAway, Unprocessed: true, Debug: []byte(`{"reason":"Shutdown"}`)}, providers.Result{Outcome: providers.Again, Reason: "Shutdown"}},
		// Too many bad tokens end a connection; the push that was cut off with it is not one of them.
		{connection.Failure{Kind: connection.GoAway, Debug: []byte(`{"reason":"BadDeviceToken"}`)}, providers.Result{Outcome: providers.Again, Reason: "BadDeviceToken", Wait: time.Second}},
		{connection.Failure{Kind: connection.GoAway, Debug: []byte(`{"reason":"BadCertificateEnvironment"}`)}, providers.Result{Outcome: providers.Refused, Reason: "BadCertificateEnvironment"}},
	} {
		if got := table.failure(&row.failure); got != row.want {
			t.Errorf("%s %s: %+v, want %+v", row.failure.Kind, row.failure.Debug, got, row.want)
		}
	}
}

func FuzzAnswerIsAlwaysOneOfTheTable(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"reason":"Unregistered","timestamp":1700000000123}`, `{"reason":7}`, "<html>", `{"reason":"BadDeviceToken"} x`} {
		f.Add(410, "10", []byte(seed))
		f.Add(503, "", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, retryAfter string, body []byte) {
		got := table.answer(status, retryAfter, body, now)
		_, known := meanings[got.Reason]
		if !known && got.Reason != unknown && (got.Reason != "" || got.Outcome != providers.Accepted) {
			t.Errorf("reason %q is of no closed set", got.Reason)
		}
		if got.Outcome < providers.Accepted || got.Outcome > providers.Refused {
			t.Errorf("outcome %d", got.Outcome)
		}
		if got.Wait < 0 || got.Wait > 24*time.Hour {
			t.Errorf("wait %v", got.Wait)
		}
		if (got.Outcome == providers.Accepted) != (status == http.StatusOK) {
			t.Errorf("status %d is outcome %d", status, got.Outcome)
		}
		failure := table.failure(&connection.Failure{Kind: connection.GoAway, Debug: body})
		if failure.Outcome != providers.Again && failure.Outcome != providers.Refused {
			t.Errorf("a GOAWAY gives outcome %d", failure.Outcome)
		}
	})
}
