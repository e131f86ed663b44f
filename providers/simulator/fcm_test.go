package simulator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	oauthjwt "golang.org/x/oauth2/jwt"
)

const messagingScope = "https://www.googleapis.com/auth/firebase.messaging"

func startFCM(t *testing.T, config FCMConfig) *FCM {
	t.Helper()
	config.Authority = authority()
	srv, err := StartFCM(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func newAccount(t *testing.T, srv *FCM, project string) ServiceAccount {
	t.Helper()
	account, err := srv.NewAccount(project, nil)
	if err != nil {
		t.Fatal(err)
	}
	return account
}

// grantConfig is the client half of the OAuth flow, made from the credentials file.
func grantConfig(t *testing.T, account ServiceAccount, scopes ...string) *oauthjwt.Config {
	t.Helper()
	config, err := google.JWTConfigFromJSON(account.JSON, scopes...)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func accessToken(t *testing.T, config *oauthjwt.Config) (string, error) {
	t.Helper()
	ctx := context.WithValue(within(t), oauth2.HTTPClient, newClient(t))
	token, err := config.TokenSource(ctx).Token()
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

func mustToken(t *testing.T, srv *FCM, project string) string {
	t.Helper()
	token, err := accessToken(t, grantConfig(t, newAccount(t, srv, project), messagingScope))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func sendRequest(srv *FCM, project, token, body string) *http.Request {
	req, err := http.NewRequest(http.MethodPost, srv.URL()+"/v1/projects/"+project+"/messages:send", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	return req
}

func wakeMessage(token string) string {
	return `{"message":{"token":"` + token + `","data":{"t":"checkin"},"android":{"priority":"high","ttl":"86400s",
		"restricted_package_name":"com.example.dpc","direct_boot_ok":true}}}`
}

// errorBody is what a client reads from an FCM error.
type errorBody struct {
	Error struct {
		Code    int
		Message string
		Status  string
		Details []struct {
			Type            string `json:"@type"`
			ErrorCode       string
			FieldViolations []struct{ Field, Description string }
		}
	}
}

// shape is the status word, the errorCode of FcmError and the violated field, as far as there are such.
func shape(t *testing.T, r reply) (word, code, field string, violation bool) {
	t.Helper()
	var b errorBody
	if err := json.Unmarshal([]byte(r.body), &b); err != nil {
		t.Fatalf("error body %q: %v", r.body, err)
	}
	if b.Error.Code != r.status {
		t.Errorf("body has code %d, want the status %d", b.Error.Code, r.status)
	}
	for _, d := range b.Error.Details {
		switch d.Type {
		case "type.googleapis.com/google.firebase.fcm.v1.FcmError":
			code = d.ErrorCode
		case "type.googleapis.com/google.rpc.BadRequest":
			field, violation = d.FieldViolations[0].Field, true
		}
	}
	return b.Error.Status, code, field, violation
}

func TestFCMAcceptsAWake(t *testing.T) {
	t.Parallel()
	srv := startFCM(t, FCMConfig{})
	token := mustToken(t, srv, "p1")
	r := mustDo(t, newClient(t), sendRequest(srv, "p1", token, wakeMessage("dev:1")))
	if r.status != 200 || !strings.HasPrefix(r.body, `{"name":"projects/p1/messages/0:`) {
		t.Fatalf("got %d %s", r.status, r.body)
	}
	if got := srv.Account().Receipts("dev:1"); len(got) != 1 || got[0].Topic != "p1" || time.Since(got[0].At) > time.Minute {
		t.Errorf("receipts %v", got)
	}
}

func TestFCMRefusesWhatFCMRefuses(t *testing.T) {
	t.Parallel()
	srv := startFCM(t, FCMConfig{})
	token := mustToken(t, srv, "p1")
	newAccount(t, srv, "p2")
	client := newClient(t)
	big := `{"message":{"token":"a","data":{"k":"` + strings.Repeat("x", maxData) + `"}}}`
	for _, row := range []struct {
		name, project, token, body string
		status                     int
		word, code, field          string
		violation                  bool
	}{
		{"unknown access token", "p1", "nonsense", wakeMessage("a"), 401, "UNAUTHENTICATED", "", "", false},
		{"unknown project", "p9", token, wakeMessage("a"), 404, "NOT_FOUND", "", "", false},
		{"project of another account", "p2", token, wakeMessage("a"), 403, "PERMISSION_DENIED", "", "", false},
		{"no JSON", "p1", token, `{"message":`, 400, "INVALID_ARGUMENT", "", "", true},
		{"no object", "p1", token, `[]`, 400, "INVALID_ARGUMENT", "", "", true},
		{"unknown field", "p1", token, `{"message":{"token":"a","colour":1}}`, 400, "INVALID_ARGUMENT", "", "message", true},
		{"data value is a number", "p1", token, `{"message":{"token":"a","data":{"a":"b","n":12}}}`, 400, "INVALID_ARGUMENT", "", "message.data[1].value", true},
		{"no recipient", "p1", token, `{"message":{"data":{}}}`, 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message", true},
		{"no message", "p1", token, `{}`, 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message", true},
		{"reserved key from", "p1", token, `{"message":{"token":"a","data":{"from":"x"}}}`, 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.data", true},
		{"reserved key gcm", "p1", token, `{"message":{"token":"a","data":{"gcm.x":"x"}}}`, 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.data", true},
		{"reserved key google, escaped", "p1", token, `{"message":{"token":"a","data":{"g\u006fogle_x":"x"}}}`, 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.data", true},
		{"ttl over four weeks", "p1", token, `{"message":{"token":"a","android":{"ttl":"2419201s"}}}`, 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.android.ttl", true},
		{"ttl below zero", "p1", token, `{"message":{"token":"a","android":{"ttl":"-1s"}}}`, 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.android.ttl", true},
		{"ttl without unit", "p1", token, `{"message":{"token":"a","android":{"ttl":"60"}}}`, 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.android.ttl", true},
		{"ttl is a number", "p1", token, `{"message":{"token":"a","android":{"ttl":60}}}`, 400, "INVALID_ARGUMENT", "", "message.android.ttl", true},
		{"priority", "p1", token, `{"message":{"token":"a","android":{"priority":"urgent"}}}`, 400, "INVALID_ARGUMENT", "", "message.android.priority", true},
		{"boolean", "p1", token, `{"message":{"token":"a","android":{"direct_boot_ok":"yes"}}}`, 400, "INVALID_ARGUMENT", "", "message.android.direct_boot_ok", true},
		{"payload too large", "p1", token, big, 400, "INVALID_ARGUMENT", "", "", false},
		{"not a registration token", "p1", token, wakeMessage("not a token"), 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := mustDo(t, client, sendRequest(srv, row.project, row.token, row.body))
			if r.status != row.status {
				t.Fatalf("status %d, want %d: %s", r.status, row.status, r.body)
			}
			word, code, field, violation := shape(t, r)
			if word != row.word || code != row.code || field != row.field || violation != row.violation {
				t.Errorf("got %s %q %q %v, want %s %q %q %v", word, code, field, violation, row.word, row.code, row.field, row.violation)
			}
		})
	}
	if n := srv.Account().Count(); n != 0 {
		t.Errorf("%d refused messages are in the account", n)
	}
}

func TestFCMAnswersAsTheTestSays(t *testing.T) {
	t.Parallel()
	answers := map[string]Answer{
		"dead":     {Reason: "UNREGISTERED"},
		"other":    {Reason: "SENDER_ID_MISMATCH"},
		"quota":    {Reason: "QUOTA_EXCEEDED", RetryAfter: "60"},
		"down":     {Reason: "UNAVAILABLE", RetryAfter: "Fri, 31 Dec 1999 23:59:59 GMT"},
		"broken":   {Reason: "INTERNAL"},
		"apns":     {Reason: "THIRD_PARTY_AUTH_ERROR"},
		"disabled": {Status: 403},
		"gateway":  {Status: 502, Body: []byte("<!DOCTYPE html><title>Error 502</title>")},
	}
	srv := startFCM(t, FCMConfig{Answer: func(r Request) Answer { return answers[r.Token] }})
	token := mustToken(t, srv, "p1")
	client := newClient(t)
	for name, want := range map[string]struct {
		status     int
		word, code string
	}{
		"dead":     {404, "NOT_FOUND", "UNREGISTERED"},
		"other":    {403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"},
		"quota":    {429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"},
		"down":     {503, "UNAVAILABLE", "UNAVAILABLE"},
		"broken":   {500, "INTERNAL", "INTERNAL"},
		"apns":     {401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"},
		"disabled": {403, "PERMISSION_DENIED", ""},
	} {
		r := mustDo(t, client, sendRequest(srv, "p1", token, wakeMessage(name)))
		word, code, _, _ := shape(t, r)
		if r.status != want.status || word != want.word || code != want.code || r.header.Get("Retry-After") != answers[name].RetryAfter {
			t.Errorf("%s: got %d %s %s, Retry-After %q", name, r.status, word, code, r.header.Get("Retry-After"))
		}
	}
	r := mustDo(t, client, sendRequest(srv, "p1", token, wakeMessage("gateway")))
	if r.status != 502 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || !strings.Contains(r.body, "Error 502") {
		t.Errorf("gateway: got %d %q %q", r.status, r.header.Get("Content-Type"), r.body)
	}
	if got := srv.Account().Answers()["404 UNREGISTERED"]; got != 1 {
		t.Errorf("answers %v", srv.Account().Answers())
	}
}

func TestFCMDryRunIsNotInTheAccount(t *testing.T) {
	t.Parallel()
	srv := startFCM(t, FCMConfig{})
	body := `{"validate_only":true,` + wakeMessage("a")[1:]
	r := mustDo(t, newClient(t), sendRequest(srv, "p1", mustToken(t, srv, "p1"), body))
	if r.status != 200 || !strings.Contains(r.body, "fake_message_id") || srv.Account().Count() != 0 {
		t.Errorf("got %d %s, %d accepted", r.status, r.body, srv.Account().Count())
	}
}

func TestFCMRefusesRevokedAndExpiredAccessTokens(t *testing.T) {
	t.Parallel()
	srv := startFCM(t, FCMConfig{})
	client := newClient(t)
	token := mustToken(t, srv, "p1")
	srv.RevokeTokens()
	if r := mustDo(t, client, sendRequest(srv, "p1", token, wakeMessage("a"))); r.status != 401 {
		t.Errorf("revoked: %d", r.status)
	}
	short := startFCM(t, FCMConfig{TokenLife: time.Nanosecond})
	token = mustToken(t, short, "p1")
	if r := mustDo(t, client, sendRequest(short, "p1", token, wakeMessage("a"))); r.status != 401 {
		t.Errorf("expired: %d", r.status)
	}
}

func TestFCMTokenEndpointRefusesWhatGoogleRefuses(t *testing.T) {
	t.Parallel()
	srv := startFCM(t, FCMConfig{Grant: func(email string, _ int) int {
		if strings.HasPrefix(email, "pushd@down.") {
			return 503
		}
		return 0
	}})
	stranger, err := NewServiceAccount("p9", srv.TokenURL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	wrongAudience := grantConfig(t, newAccount(t, srv, "p2"), messagingScope)
	wrongAudience.Audience = "https://example.com/token"
	impostor := grantConfig(t, newAccount(t, srv, "p3"), messagingScope)
	impostor.PrivateKey = freshRSAKeyPEM(t)
	tooLong := grantConfig(t, newAccount(t, srv, "p4"), messagingScope)
	tooLong.Expires = 2 * time.Hour
	for name, row := range map[string]struct {
		config *oauthjwt.Config
		says   string
	}{
		"unknown account": {grantConfig(t, stranger, messagingScope), "account not found"},
		"wrong audience":  {wrongAudience, "invalid_grant"},
		"wrong key":       {impostor, "Invalid JWT Signature"},
		"two hours":       {tooLong, "short-lived"},
		"wrong scope":     {grantConfig(t, newAccount(t, srv, "p5"), "openid"), "scope"},
		"says the test":   {grantConfig(t, newAccount(t, srv, "down"), messagingScope), "temporarily_unavailable"},
	} {
		if _, err := accessToken(t, row.config); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: error %v, want %q", name, err, row.says)
		}
	}
	resp, err := newClient(t).PostForm(srv.TokenURL(), url.Values{"grant_type": {"password"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("another grant type: %d", resp.StatusCode)
	}
	if srv.Grants() != 0 {
		t.Errorf("%d tokens were given", srv.Grants())
	}
}

func freshRSAKeyPEM(t *testing.T) []byte {
	t.Helper()
	pem, err := privateKeyPEM(otherRSAKey())
	if err != nil {
		t.Fatal(err)
	}
	return pem
}

func TestFCMEndsAConnectionOfMoreThan100Streams(t *testing.T) {
	t.Parallel()
	srv := startFCM(t, FCMConfig{Answer: func(Request) Answer { return Answer{Silent: true} }})
	token := mustToken(t, srv, "p1")
	c := dialRaw(t, srv.Addr()).greet()
	if got := c.awaitSetting(http2.SettingMaxConcurrentStreams); got != 100 {
		t.Fatalf("announced %d streams", got)
	}
	for i := range 101 {
		c.push(wakeMessage("d"+strconv.Itoa(i)), ":method", "POST", ":scheme", "https", ":path", "/v1/projects/p1/messages:send",
			":authority", "localhost", "authorization", "Bearer "+token)
	}
	last, code, debug := c.awaitGoAway()
	if last != 199 || code != http2.ErrCodeProtocol || debug != "exceeded_max_concurrent_streams" {
		t.Errorf("GOAWAY %d %v %q", last, code, debug)
	}
	c.awaitEnd()
}

func FuzzParseMessageReadsWhatEncodingJSONReads(f *testing.F) {
	f.Add([]byte(wakeMessage("abc")))
	f.Add([]byte(`{"message" : {"token":"a\u0062","data":{"k\"":"v\\"},"android":{"ttl":"1.5s","direct_boot_ok":false}} ,"validate_only":true}`))
	f.Add([]byte(`{"message":{"token":"a","notification":{"title":"}]\"","x":[1,{"y":[]}]}}}`))
	f.Add([]byte(` [1, 2] `))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, refused := parseMessage(body)
		if refused != nil {
			var b errorBody
			if err := json.Unmarshal(refused.append(nil), &b); err != nil {
				t.Fatalf("the error is no JSON: %v", err)
			}
			return
		}
		var want struct {
			Message map[string]json.RawMessage
		}
		var token string
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if err := json.Unmarshal(want.Message["token"], &token); err != nil || token != m.token {
			t.Fatalf("token %q, want %q (%v)", m.token, token, err)
		}
	})
}

func FuzzAMessageThatIsLikeTheLastOneIsParsedTheSame(f *testing.F) {
	first := `{"message":{"token":"tok:en-1","data":{"t":"tok"},"android":{"priority":"high"}}}`
	f.Add(first, strings.Replace(first, "tok:en-1", "other", 1))
	f.Add(first, strings.Replace(first, "tok:en-1", `o\u0041ther`, 1))
	f.Add(first, strings.Replace(first, "high", "normal", 1))
	f.Add(`{"message":{"data":{"t":"x"},"token":"x"}}`, `{"message":{"data":{"t":"x"},"token":"y"}}`)
	f.Fuzz(func(t *testing.T, last, next string) {
		var p messages
		p.parse([]byte(last))
		got, gotFault := p.parse([]byte(next))
		want, wantFault := parseMessage([]byte(next))
		if got != want || (gotFault == nil) != (wantFault == nil) {
			t.Errorf("after %s: %s is %+v, %v, and alone %+v, %v", last, next, got, gotFault, want, wantFault)
		}
	})
}
