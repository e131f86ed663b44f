package simulator

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"software.sslmate.com/src/go-pkcs12"
)

func TestAPNsAcceptsAnMDMPush(t *testing.T) {
	t.Parallel()
	srv := startAPNs(t, APNsConfig{})
	client := newClient(t, pushCertificate(t, mdmTopic, PushOptions{}))
	before := time.Now()
	req := mdmRequest(srv, mdmToken)
	req.Header.Set("apns-id", "123e4567-e89b-12d3-a456-4266554400a0")
	r := mustDo(t, client, req)
	if r.status != 200 || r.body != "" || r.header.Get("apns-id") != "123e4567-e89b-12d3-a456-4266554400a0" {
		t.Fatalf("got %d %q %v", r.status, r.body, r.header)
	}
	r = mustDo(t, client, mdmRequest(srv, mdmToken))
	if !validUUID(r.header.Get("apns-id")) {
		t.Errorf("made up the apns-id %q", r.header.Get("apns-id"))
	}
	got := srv.Account().Receipts(mdmToken)
	if len(got) != 2 || got[0].Topic != mdmTopic || got[0].At.Before(before) || got[1].At.Before(got[0].At) {
		t.Errorf("receipts %v", got)
	}
	if s := srv.Stats(); s.Requests != 2 || s.Open != 1 || s.Opened != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestAPNsRefusesWhatAPNsRefuses(t *testing.T) {
	t.Parallel()
	srv := startAPNs(t, APNsConfig{})
	mdm := newClient(t, pushCertificate(t, mdmTopic, PushOptions{}))
	app := newClient(t, pushCertificate(t, "com.example.app", PushOptions{}))
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	body := func(s string) func(*http.Request) { return func(r *http.Request) { setBody(r, s) } }
	asApp := func(pushType, topic, payload string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("apns-topic", topic)
			r.Header.Set("apns-push-type", pushType)
			setBody(r, payload)
		}
	}
	path := func(p string) func(*http.Request) { return func(r *http.Request) { r.URL.Path = p } }
	for _, row := range []struct {
		name   string
		client *http.Client
		change func(*http.Request)
		status int
		reason string
	}{
		{"method", mdm, func(r *http.Request) { r.Method = "GET" }, 405, "MethodNotAllowed"},
		{"path", mdm, path("/2/device/" + mdmToken), 404, "BadPath"},
		{"path below the token", mdm, path(devicePath + mdmToken + "/x"), 404, "BadPath"},
		{"no token", mdm, path(devicePath), 400, "MissingDeviceToken"},
		{"token not in hex", mdm, path(devicePath + "xyzw"), 400, "BadDeviceToken"},
		{"token of half an octet", mdm, path(devicePath + "abc"), 400, "BadDeviceToken"},
		{"repeated header", mdm, func(r *http.Request) { r.Header.Add("apns-topic", mdmTopic) }, 400, "DuplicateHeaders"},
		{"topic of another certificate", mdm, set("apns-topic", "com.apple.mgmt.External.other"), 400, "TopicDisallowed"},
		{"topic that is none", mdm, set("apns-topic", "com apple"), 400, "BadTopic"},
		{"topic left out", mdm, func(r *http.Request) { r.Header.Del("apns-topic") }, 200, ""},
		{"push type", mdm, set("apns-push-type", "nonsense"), 400, "InvalidPushType"},
		{"push type left out", mdm, func(r *http.Request) { r.Header.Del("apns-push-type") }, 200, ""},
		{"priority", mdm, set("apns-priority", "7"), 400, "BadPriority"},
		{"priority 5", mdm, set("apns-priority", "5"), 200, ""},
		{"expiration", mdm, set("apns-expiration", "tomorrow"), 400, "BadExpirationDate"},
		{"negative expiration", mdm, set("apns-expiration", "-1"), 400, "BadExpirationDate"},
		{"expiration 0", mdm, set("apns-expiration", "0"), 200, ""},
		{"collapse id of 65", mdm, set("apns-collapse-id", strings.Repeat("c", 65)), 400, "BadCollapseId"},
		{"collapse id of 64", mdm, set("apns-collapse-id", strings.Repeat("c", 64)), 200, ""},
		{"apns-id", mdm, set("apns-id", "123e4567e89b12d3a4564266554400a0"), 400, "BadMessageId"},
		{"empty payload", mdm, body(""), 400, "PayloadEmpty"},
		{"payload of 4097", mdm, body(`{"mdm":"` + strings.Repeat("x", 4097-10) + `"}`), 413, "PayloadTooLarge"},
		{"payload of 4096", mdm, body(`{"mdm":"` + strings.Repeat("x", 4096-10) + `"}`), 200, ""},
		{"payload of 100,000", mdm, body(`{"mdm":"` + strings.Repeat("x", 100_000) + `"}`), 413, "PayloadTooLarge"},
		{"mdm payload with another key", mdm, body(`{"mdm":"x","aps":{}}`), 400, "BadRequestPayload"},
		{"mdm payload with a number", mdm, body(`{"mdm":1}`), 400, "BadRequestPayload"},
		{"mdm payload with escapes", mdm, body(`{"mdm":"\u0041"}`), 200, ""},
		{"mdm payload cut off", mdm, body(`{"mdm":"x"`), 400, "BadRequestPayload"},
		{"alert", app, asApp("alert", "com.example.app", alertBody), 200, ""},
		{"alert on a derived topic", app, asApp("voip", "com.example.app.voip", `{"k":"`+strings.Repeat("x", 5000)+`"}`), 200, ""},
		{"voip of 5121", app, asApp("voip", "com.example.app.voip", `{"k":"`+strings.Repeat("x", 5121-8)+`"}`), 413, "PayloadTooLarge"},
		{"another app with the same beginning", app, asApp("alert", "com.example.apple", alertBody), 400, "TopicDisallowed"},
		{"payload that is no object", app, asApp("alert", "com.example.app", `[1]`), 400, "BadRequestPayload"},
		{"payload that is no JSON", app, asApp("alert", "com.example.app", `{"aps":`), 400, "BadRequestPayload"},
		{"background at priority 10", app, asApp("background", "com.example.app", alertBody), 400, "BadPriority"},
	} {
		t.Run(row.name, func(t *testing.T) {
			req := mdmRequest(srv, mdmToken)
			row.change(req)
			r := mustDo(t, row.client, req)
			if r.status != row.status || r.reason != row.reason {
				t.Errorf("got %d %q, want %d %q", r.status, r.reason, row.status, row.reason)
			}
		})
	}
}

func TestAPNsRefusesProviderTokens(t *testing.T) {
	t.Parallel()
	key, other, mate := providerKey(t), providerKey(t), providerKey(t)
	mate.TeamID = key.TeamID
	key.Topics = []string{"com.example.app", "com.example.app.voip"}
	srv := startAPNs(t, APNsConfig{Keys: []ProviderKey{key, other, mate}})
	forged := key
	forged.PEM = other.PEM
	wrongTeam := key
	wrongTeam.TeamID = other.TeamID
	for _, row := range []struct {
		name   string
		tokens []string // sent one after the other on one connection; the last answer counts
		topic  string
		status int
		reason string
	}{
		{"good", []string{providerToken(t, key, 0)}, "com.example.app", 200, ""},
		{"missing", []string{""}, "com.example.app", 403, "MissingProviderToken"},
		{"no token", []string{"x"}, "com.example.app", 403, "InvalidProviderToken"},
		{"forged", []string{providerToken(t, forged, 0)}, "com.example.app", 403, "InvalidProviderToken"},
		{"another team's", []string{providerToken(t, wrongTeam, 0)}, "com.example.app", 403, "InvalidProviderToken"},
		{"unknown key", []string{providerToken(t, providerKey(t), 0)}, "com.example.app", 403, "InvalidProviderToken"},
		{"over an hour old", []string{providerToken(t, key, 61*time.Minute)}, "com.example.app", 403, "ExpiredProviderToken"},
		{"from the future", []string{providerToken(t, key, -time.Hour)}, "com.example.app", 403, "InvalidProviderToken"},
		{"two teams", []string{providerToken(t, key, 0), providerToken(t, other, 0)}, "com.example.app", 403, "InvalidProviderToken"},
		{"two keys of a team", []string{providerToken(t, key, 0), providerToken(t, mate, 0)}, "com.example.app", 403, "UnrelatedKeyIdInToken"},
		{"a second within 20 minutes", []string{providerToken(t, key, 0), providerToken(t, key, time.Minute)}, "com.example.app", 429, "TooManyProviderTokenUpdates"},
		{"a good one after an expired one", []string{providerToken(t, key, 2*time.Hour), providerToken(t, key, 0)}, "com.example.app", 200, ""},
		{"no topic", []string{providerToken(t, key, 0)}, "", 400, "MissingTopic"},
		{"a topic that is not the key's", []string{providerToken(t, key, 0)}, "com.example.other", 400, "TopicDisallowed"},
		{"an MDM topic", []string{providerToken(t, other, 0)}, mdmTopic, 400, "TopicDisallowed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			client := newClient(t)
			var r reply
			for _, token := range row.tokens {
				req := mdmRequest(srv, mdmToken)
				setBody(req, alertBody)
				req.Header.Set("apns-push-type", "alert")
				req.Header.Set("apns-topic", row.topic)
				if row.topic == "" {
					req.Header.Del("apns-topic")
				}
				if token != "" {
					req.Header.Set("authorization", "bearer "+token)
				}
				r = mustDo(t, client, req)
			}
			if r.status != row.status || r.reason != row.reason {
				t.Errorf("got %d %q, want %d %q", r.status, r.reason, row.status, row.reason)
			}
		})
	}
}

func TestAPNsTakesANewProviderTokenAfter20Minutes(t *testing.T) {
	t.Parallel()
	key := providerKey(t)
	b := bearer{keys: map[string]*ProviderKey{key.KeyID: &key}}
	now := time.Now()
	first, second := "bearer "+providerToken(t, key, 0), "bearer "+providerToken(t, key, time.Second)
	for _, step := range []struct {
		token string
		at    time.Duration
		want  string
	}{
		{first, 0, ""},
		{second, 19 * time.Minute, "TooManyProviderTokenUpdates"},
		{first, 20 * time.Minute, ""},
		{second, 21 * time.Minute, ""},
		{first, 22 * time.Minute, "TooManyProviderTokenUpdates"},
		{second, 61 * time.Minute, "ExpiredProviderToken"},
	} {
		if got := b.check(step.token, now.Add(step.at)); got.reason != step.want {
			t.Errorf("after %v: %q, want %q", step.at, got.reason, step.want)
		}
	}
}

func TestAPNsRefusesCertificates(t *testing.T) {
	t.Parallel()
	stranger, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stranger.PushCertificate(mdmTopic, PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	serverCert, err := authority().Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		cert   tls.Certificate
		reason string
	}{
		{"expired", pushCertificate(t, mdmTopic, PushOptions{NotAfter: time.Now().Add(-time.Minute)}), "BadCertificate"},
		{"not yet valid", pushCertificate(t, mdmTopic, PushOptions{NotBefore: time.Now().Add(time.Hour)}), "BadCertificate"},
		{"of another authority", foreign.TLS, "BadCertificate"},
		{"not for clients", serverCert, "BadCertificate"},
		{"for the sandbox", pushCertificate(t, mdmTopic, PushOptions{Environment: Sandbox}), "BadCertificateEnvironment"},
	} {
		t.Run(row.name, func(t *testing.T) {
			byStatus := startAPNs(t, APNsConfig{BadCertificate: RefuseByStatus, Environment: Production})
			r := mustDo(t, newClient(t, row.cert), mdmRequest(byStatus, mdmToken))
			if r.status != 403 || r.reason != row.reason {
				t.Errorf("got %d %q", r.status, r.reason)
			}
			byGoAway := startAPNs(t, APNsConfig{Environment: Production})
			c := dialRaw(t, byGoAway.Addr(), row.cert).greet()
			c.push(mdmBody, mdmFields(mdmToken)...)
			last, code, debug := c.awaitGoAway()
			if last != 0 || code != http2.ErrCodeNo || debug != `{"reason":"`+row.reason+`"}` {
				t.Errorf("GOAWAY %d %v %s", last, code, debug)
			}
			c.awaitEnd()
		})
	}
	both := pushCertificate(t, mdmTopic, PushOptions{})
	for _, env := range []Environment{AnyEnvironment, Production, Sandbox} {
		srv := startAPNs(t, APNsConfig{Environment: env})
		if r := mustDo(t, newClient(t, both), mdmRequest(srv, mdmToken)); r.status != 200 {
			t.Errorf("a certificate for both environments, in %d: %d %s", env, r.status, r.reason)
		}
	}
}

func TestAPNsAnswersAsTheTestSays(t *testing.T) {
	t.Parallel()
	since := time.UnixMilli(1_700_000_000_123)
	srv := startAPNs(t, APNsConfig{Answer: func(r Request) Answer {
		switch r.Token {
		case "dead":
			return Answer{Reason: "Unregistered", Timestamp: since}
		case "beef":
			return Answer{Reason: "TooManyRequests", RetryAfter: "30"}
		case "cafe":
			if r.Attempt < 2 {
				return Answer{Reason: "ServiceUnavailable"}
			}
		case "babe":
			return Answer{Status: 502, Body: []byte("<html>proxy</html>")}
		}
		return Answer{}
	}})
	client := newClient(t, pushCertificate(t, mdmTopic, PushOptions{}))
	if r := mustDo(t, client, mdmRequest(srv, "dead")); r.status != 410 || r.reason != "Unregistered" || r.since != since.UnixMilli() {
		t.Errorf("dead: %+v", r)
	}
	if r := mustDo(t, client, mdmRequest(srv, "beef")); r.status != 429 || r.header.Get("Retry-After") != "30" {
		t.Errorf("beef: %+v", r)
	}
	if r := mustDo(t, client, mdmRequest(srv, "babe")); r.status != 502 || r.body != "<html>proxy</html>" {
		t.Errorf("babe: %+v", r)
	}
	for _, want := range []int{503, 503, 200} {
		if r := mustDo(t, client, mdmRequest(srv, "cafe")); r.status != want {
			t.Errorf("cafe: %d, want %d", r.status, want)
		}
	}
	answers := srv.Account().Answers()
	if answers["200"] != 1 || answers["503 ServiceUnavailable"] != 2 || answers["410 Unregistered"] != 1 {
		t.Errorf("answers %v", answers)
	}
	if srv.Account().Accepted("cafe") != 1 || srv.Account().Accepted("dead") != 0 {
		t.Error("the account has refused pushes, or not the accepted one")
	}
}

func TestAPNsEveryReasonHasItsStatus(t *testing.T) {
	t.Parallel()
	for status, reasons := range map[int]string{
		400: "BadCollapseId BadDeviceToken BadExpirationDate BadMessageId BadPriority BadTopic DeviceTokenNotForTopic DuplicateHeaders " +
			"IdleTimeout InvalidPushType MissingDeviceToken MissingTopic PayloadEmpty TopicDisallowed",
		403: "BadCertificate BadCertificateEnvironment ExpiredProviderToken Forbidden InvalidProviderToken MissingProviderToken " +
			"UnrelatedKeyIdInToken BadEnvironmentKeyIdInToken BadEnvironmentKeyInToken",
		404: "BadPath",
		405: "MethodNotAllowed",
		410: "ExpiredToken Unregistered",
		413: "PayloadTooLarge",
		429: "TooManyProviderTokenUpdates TooManyRequests",
		500: "InternalServerError",
		503: "ServiceUnavailable Shutdown",
	} {
		for _, reason := range strings.Fields(reasons) {
			if got := reasonStatus(reason); got != status {
				t.Errorf("%s: %d, want %d", reason, got, status)
			}
		}
	}
}

func TestAPNsAllowsOneStreamUntilAPushWithTokenIsAccepted(t *testing.T) {
	t.Parallel()
	key := providerKey(t)
	srv := startAPNs(t, APNsConfig{Keys: []ProviderKey{key}, StrictStreams: true, MaxStreams: 500, Answer: func(r Request) Answer {
		return map[string]Answer{"aa": {Silent: true}, "bb": {Reason: "DeviceTokenNotForTopic"}, "dead": {Reason: "Unregistered"}}[r.Token]
	}})
	fields := func(token string) []string {
		return []string{":method", "POST", ":scheme", "https", ":path", devicePath + token, ":authority", "localhost",
			"authorization", "bearer " + providerToken(t, key, 0), "apns-topic", "com.example.app", "apns-push-type", "alert"}
	}
	first := fields("cc") // each call signs anew, and a connection has to keep to one token
	at := func(token string) []string {
		f := append([]string(nil), first...)
		f[5] = devicePath + token
		return f
	}
	c := dialRaw(t, srv.Addr()).greet()
	if got := c.awaitSetting(http2.SettingMaxConcurrentStreams); got != 1 {
		t.Fatalf("announced %d streams at first", got)
	}
	silent := c.push(alertBody, at("aa")...)
	if code := c.awaitReset(c.push(alertBody, at("cc")...)); code != http2.ErrCodeRefusedStream {
		t.Fatalf("a second stream was reset with %v", code)
	}
	c.ok(c.WriteRSTStream(silent, http2.ErrCodeCancel))
	if status := c.awaitStatus(c.push(alertBody, at("cc")...)); status != "200" {
		t.Fatalf("status %s", status)
	}
	if got := c.awaitSetting(http2.SettingMaxConcurrentStreams); got != 500 {
		t.Errorf("announced %d streams after the first accepted push", got)
	}
	c.push(alertBody, at("bb")...)
	if got := c.awaitSetting(http2.SettingMaxConcurrentStreams); got != 1 {
		t.Errorf("announced %d streams after a 400", got)
	}
	// The old limit holds until the client has acknowledged the new one.
	one := c.push(alertBody, at("aa")...)
	two := c.push(alertBody, at("aa")...)
	c.ok(c.WriteSettingsAck())
	c.ok(c.WriteSettingsAck())
	c.ok(c.WriteSettingsAck())
	if code := c.awaitReset(c.push(alertBody, at("cc")...)); code != http2.ErrCodeRefusedStream {
		t.Errorf("reset with %v", code)
	}
	c.ok(c.WriteRSTStream(one, http2.ErrCodeCancel))
	c.ok(c.WriteRSTStream(two, http2.ErrCodeCancel))
	c.push(alertBody, at("cc")...)
	if got := c.awaitSetting(http2.SettingMaxConcurrentStreams); got != 500 {
		t.Errorf("announced %d streams after the next 200", got)
	}
	// 410 is no error condition: no SETTINGS comes with it.
	c.push(alertBody, at("dead")...)
	last := c.push(alertBody, at("cc")...)
	c.await(func(f http2.Frame) bool {
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			t.Errorf("after a 410: %v", s)
		}
		h, ok := f.(*http2.MetaHeadersFrame)
		return ok && h.StreamID == last
	})
	if got := srv.Stats().RefusedStreams; got != 2 {
		t.Errorf("%d streams refused", got)
	}
}

func TestAPNsDisconnectsAProviderOfBadTokens(t *testing.T) {
	t.Parallel()
	srv := startAPNs(t, APNsConfig{BadTokenLimit: 3})
	c := dialRaw(t, srv.Addr(), pushCertificate(t, mdmTopic, PushOptions{})).greet()
	for range 3 {
		c.push(mdmBody, mdmFields("xyz")...)
	}
	if last, code, debug := c.awaitGoAway(); last != 5 || code != http2.ErrCodeNo || debug != `{"reason":"BadDeviceToken"}` {
		t.Errorf("GOAWAY %d %v %s", last, code, debug)
	}
	if status := c.awaitStatus(5); status != "400" {
		t.Errorf("the last bad token was answered %s", status)
	}
	c.awaitEnd()
}

func TestAPNsLatencyIsPassedWithoutBlockingOthers(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	srv := startAPNs(t, APNsConfig{Answer: func(r Request) Answer {
		asked.Add(1)
		if r.Token == "aa" {
			return Answer{Latency: 150 * time.Millisecond}
		}
		return Answer{Latency: time.Millisecond}
	}})
	c := dialRaw(t, srv.Addr(), pushCertificate(t, mdmTopic, PushOptions{})).greet()
	start := time.Now()
	slow := c.push(mdmBody, mdmFields("aa")...)
	quick := c.push(mdmBody, mdmFields("bb")...)
	var order []uint32
	c.await(func(f http2.Frame) bool {
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			order = append(order, h.StreamID)
		}
		return len(order) == 2
	})
	if order[0] != quick || order[1] != slow || time.Since(start) < 150*time.Millisecond || asked.Load() != 2 {
		t.Errorf("answered %v after %v", order, time.Since(start))
	}
}

func TestPushCertificatesReadAsOperatorsKeepThem(t *testing.T) {
	t.Parallel()
	cert, err := authority().PushCertificate(mdmTopic, PushOptions{Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(cert.CertPEM, cert.KeyPEM); err != nil {
		t.Error(err)
	}
	_, leaf, err := pkcs12.Decode(cert.PKCS12, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if topic, err := authority().certificateTopic(leaf, time.Now()); err != nil || topic != mdmTopic {
		t.Errorf("topic %q, %v", topic, err)
	}
	_, err = authority().certificateTopic(&x509.Certificate{Raw: leaf.Raw}, time.Now())
	if err == nil || errors.Is(err, errNoTopic) {
		t.Errorf("an unparsed certificate: %v", err)
	}
}
