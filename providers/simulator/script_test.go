package simulator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

func script(t *testing.T, text string) *Script {
	t.Helper()
	s, err := ParseScript("faults.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var zero = time.Unix(1_800_000_000, 0)

func TestAScriptKeepsItsSharesAndItsWord(t *testing.T) {
	t.Parallel()
	s := script(t, `
seed: 7
faults:
  - {provider: apns, tokens: 0.1, answer: Unregistered}
  - {provider: apns, share: 0.2, answer: ServiceUnavailable}
  - {provider: apns, share: 0.2, answer: hang}
  - {provider: fcm, answer: UNAVAILABLE}
`)
	s.Start(zero)
	const n = 100_000
	seen := map[string]int{}
	recovered := 0
	for i := range n {
		r := Request{Token: strconv.Itoa(i), At: zero}
		first := s.Answer("apns", r)
		if again := s.Answer("apns", r); again.String() != first.String() {
			t.Fatal("the same request got another answer")
		}
		seen[first.String()]++
		r.Attempt = 1
		second := s.Answer("apns", r)
		if (first.Reason == "Unregistered") != (second.Reason == "Unregistered") {
			t.Fatal("a token is dead at one attempt and not at another")
		}
		if first.Reason == "ServiceUnavailable" && second.Reason == "" {
			recovered++
		}
	}
	for name, share := range map[string]float64{
		"410 Unregistered": 0.1, "503 ServiceUnavailable": 0.9 * 0.2, "silent": 0.9 * 0.8 * 0.2, "0": 0.9 * 0.8 * 0.8,
	} {
		if got := float64(seen[name]) / n; math.Abs(got-share) > 0.01 {
			t.Errorf("%s: share %.3f, want %.3f (%v)", name, got, share, seen)
		}
	}
	if recovered == 0 {
		t.Error("a second attempt never fares better")
	}
}

func TestAScriptPlaysEachFaultInItsTime(t *testing.T) {
	t.Parallel()
	s := script(t, `
faults:
  - {provider: apns, after: 10s, for: 20s, answer: TooManyRequests, retry_after: 5}
  - {provider: apns, after: 10s, for: 5s, answer: InternalServerError} # the first one has the word
  - {provider: apns, after: 20s, latency: 300ms}
  - {provider: apns, after: 40s, answer: Unregistered}
`)
	if a := s.Answer("apns", Request{At: zero.Add(15 * time.Second)}); a.Reason != "" {
		t.Errorf("before its start it plays %v", a)
	}
	s.Start(zero)
	for _, row := range []struct {
		at   time.Duration
		want Answer
	}{
		{-time.Second, Answer{}},
		{10*time.Second - 1, Answer{}},
		{10 * time.Second, Answer{Status: 429, Reason: "TooManyRequests", RetryAfter: "5"}},
		{20 * time.Second, Answer{Status: 429, Reason: "TooManyRequests", RetryAfter: "5", Latency: 300 * time.Millisecond}},
		{30 * time.Second, Answer{Latency: 300 * time.Millisecond}},
		{time.Hour, Answer{Status: 410, Reason: "Unregistered", Latency: 300 * time.Millisecond, Timestamp: zero.Add(40 * time.Second)}},
	} {
		if a := s.Answer("apns", Request{At: zero.Add(row.at)}); fmt.Sprint(a) != fmt.Sprint(row.want) {
			t.Errorf("at %v: %+v, want %+v", row.at, a, row.want)
		}
	}
	if a := s.Answer("fcm", Request{At: zero.Add(time.Hour)}); !a.accepts(1) || a.Latency != 0 {
		t.Errorf("the other provider plays %+v", a)
	}
}

func TestAScriptConcernsTheTenantsThatItNames(t *testing.T) {
	t.Parallel()
	const text = `
faults:
  - tenants: [acme, com.example.app, who@example.iam.gserviceaccount.com]
    answer: close
`
	concerns := func(s *Script, r Request) bool {
		r.At = zero
		return s.Answer("apns", r).Drop && s.Answer("fcm", r).Drop
	}
	s := script(t, text)
	s.Start(zero)
	for _, r := range []Request{{Topic: "com.example.app"}, {Topic: "com.example.app.voip", Tenant: "com.example.app"}, {Tenant: "who@example.iam.gserviceaccount.com"}} {
		if !concerns(s, r) {
			t.Errorf("%+v is left out", r)
		}
	}
	if concerns(s, Request{Topic: "com.example.other"}) || concerns(s, Request{Topic: "acme-project"}) {
		t.Error("others are concerned")
	}

	s = script(t, text)
	err := s.Know(map[string]string{"com.example.app": "shop", "acme-project": "acme", "com.apple.mgmt.External.acme": "acme"})
	if err == nil || err.Error() != `faults.yaml:3: tenants: nobody is called "who@example.iam.gserviceaccount.com"` {
		t.Errorf("it knows nobody of that name, and says: %v", err)
	}
	s.Start(zero)
	if !concerns(s, Request{Topic: "acme-project"}) || !concerns(s, Request{Topic: "com.apple.mgmt.External.acme"}) {
		t.Error("the tenant's name does not stand for its topic and project")
	}
	if err := script(t, "faults: [{tenants: [acne], answer: hang}]").Know(map[string]string{"p": "acme"}); err == nil || !strings.Contains(err.Error(), `did you mean "acme"?`) {
		t.Errorf("it suggests nothing: %v", err)
	}
}

func TestAScriptTellsOfEveryTurnAtItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := script(t, `
faults:
  - {after: 10s, for: 5s, answer: refuse-connections}
  - {provider: fcm, after: 2s, for: 10s, answer: QUOTA_EXCEEDED}
  - {after: 12s, latency: 1s}
`)
		if turns := s.Turns(); turns != nil {
			t.Errorf("before its start there are %v", turns)
		}
		start := time.Now()
		s.Start(start)
		var told []string
		s.Play(t.Context(), nil, nil, func(turn Turn) {
			if !turn.At.Equal(time.Now()) {
				t.Errorf("a turn of %v is told at %v", turn.At, time.Now())
			}
			told = append(told, fmt.Sprint(time.Since(start), " ", turn.Fault.Line, " ", turn.Begins, " ", s.Conduct("apns").Refuse))
		})
		want := []string{"2s 4 true false", "10s 3 true true", "12s 4 false true", "12s 5 true true", "15s 3 false false"}
		if !slices.Equal(told, want) {
			t.Errorf("it told %q, want %q", told, want)
		}
	})
}

func TestAScriptEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := script(t, "faults: [{after: 1h, answer: hang}]")
		s.Start(time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.Play(ctx, nil, nil, func(Turn) { t.Error("there was a turn") })
	})
}

func TestAnOutageCutsWhatIsConnectedAndRefusesMore(t *testing.T) {
	t.Parallel()
	s := script(t, "faults: [{provider: apns, after: 10s, answer: refuse-connections}]")
	srv := startAPNs(t, APNsConfig{
		Answer:  func(r Request) Answer { return s.Answer("apns", r) },
		Conduct: func(uint64) Conduct { return s.Conduct("apns") },
	})
	connected := dialMDM(t, srv).greet()
	if status := connected.awaitStatus(connected.push(mdmBody, mdmFields("aa")...)); status != "200" {
		t.Fatalf("before the start: status %s", status)
	}
	client := newClient(t, pushCertificate(t, mdmTopic, PushOptions{}))
	if r := mustDo(t, client, mdmRequest(srv, mdmToken)); r.status != http.StatusOK {
		t.Fatalf("before the start: status %d", r.status)
	}
	s.Start(time.Now().Add(-10 * time.Second))
	begun := false
	s.Play(within(t), srv, nil, func(turn Turn) { begun = turn.Begins })
	connected.awaitEnd()
	client.CloseIdleConnections() // its own is cut too: the next request is to need a new one
	if _, err := do(t, client, mdmRequest(srv, mdmToken)); !errors.Is(err, syscall.ECONNRESET) || !begun {
		t.Errorf("while the outage lasts: %v", err)
	}
	if srv.Stats().TurnedAway == 0 || srv.Account().Count() != 2 {
		t.Errorf("%+v, %d accepted", srv.Stats(), srv.Account().Count())
	}
	s.Start(time.Now()) // it is 10s before the outage again
	if r := mustDo(t, client, mdmRequest(srv, mdmToken)); r.status != http.StatusOK {
		t.Errorf("after the outage: status %d", r.status)
	}
}

func TestAnOutageSpoilsEvenAConnectionThatWasNotCut(t *testing.T) {
	t.Parallel()
	s := script(t, "faults: [{provider: apns, answer: ServiceUnavailable}, {answer: refuse-connections}]")
	srv := startAPNs(t, APNsConfig{Answer: func(r Request) Answer { return s.Answer("apns", r) }})
	c := dialMDM(t, srv).greet()
	if status := c.awaitStatus(c.push(mdmBody, mdmFields("aa")...)); status != "200" {
		t.Fatalf("before the start: status %s", status)
	}
	s.Start(time.Now())
	c.push(mdmBody, mdmFields("bb")...)
	c.awaitEnd()
}

// Each answer of a script, over HTTP/2, with what the simulator says of it afterwards.
func TestEveryAnswerOfAScriptIsPlayed(t *testing.T) {
	t.Parallel()
	play := func(t *testing.T, provider, answer string) (reply, map[string]uint64, error) {
		s := script(t, "faults: [{provider: "+provider+", answer: "+answer+", latency: 1ms}]")
		s.Start(time.Now())
		decide := func(r Request) Answer { return s.Answer(provider, r) }
		if provider == "apns" {
			srv := startAPNs(t, APNsConfig{Answer: decide})
			r, err := do(t, newClient(t, pushCertificate(t, mdmTopic, PushOptions{})), mdmRequest(srv, mdmToken))
			return r, srv.Account().Answers(), err
		}
		srv := startFCM(t, FCMConfig{Answer: decide})
		r, err := do(t, newClient(t), sendRequest(srv, "acme", mustToken(t, srv, "acme"), wakeMessage("device")))
		return r, srv.Account().Answers(), err
	}
	for _, provider := range []string{"apns", "fcm"} {
		for reason, want := range reasons(provider) {
			t.Run(provider+" "+reason, func(t *testing.T) {
				t.Parallel()
				r, answers, err := play(t, provider, reason)
				name := strconv.Itoa(want.Status) + " " + reason
				if err != nil || r.status != want.Status || !strings.Contains(r.body, reason) || answers[name] != 1 {
					t.Errorf("%v, %d %s, account %v", err, r.status, r.body, answers)
				}
				if (r.status == http.StatusGone) != (r.since != 0) {
					t.Errorf("dead since %d", r.since)
				}
			})
		}
		for answer, name := range map[string]string{"close": "drop", "reset": "reset INTERNAL_ERROR"} {
			t.Run(provider+" "+answer, func(t *testing.T) {
				t.Parallel()
				if r, answers, err := play(t, provider, answer); err == nil || answers[name] == 0 {
					t.Errorf("%+v, account %v", r, answers)
				}
			})
		}
	}
}

func TestAScriptsGoAwayLeavesOutTheRequestThatItAnswers(t *testing.T) {
	t.Parallel()
	s := script(t, "faults: [{answer: goaway}]")
	srv := startAPNs(t, APNsConfig{Answer: func(r Request) Answer { return s.Answer("apns", r) }})
	c := dialMDM(t, srv).greet()
	c.awaitStatus(c.push(mdmBody, mdmFields("aa")...))
	s.Start(time.Now())
	c.push(mdmBody, mdmFields("bb")...)
	if last, code, debug := c.awaitGoAway(); last != 1 || code != http2.ErrCodeNo || debug != `{"reason":"Shutdown"}` {
		t.Errorf("GOAWAY up to %d, %v, %q", last, code, debug)
	}
	c.awaitEnd()
	if srv.Account().Accepted("bb") != 0 {
		t.Error("the request is accepted all the same")
	}
}

func TestAScriptsHangAnswersTheOthers(t *testing.T) {
	t.Parallel()
	s := script(t, "faults: [{tokens: 0.5, answer: hang}]")
	s.Start(time.Now())
	hangs := func(token string) bool { return s.Answer("apns", Request{Token: token, At: time.Now()}).Silent }
	tokens := []string{"", ""} // of one that hangs, and of one that does not
	for i := 0; tokens[0] == "" || tokens[1] == ""; i++ {
		if token := fmt.Sprintf("%02x", i); hangs(token) {
			tokens[0] = token
		} else {
			tokens[1] = token
		}
	}
	srv := startAPNs(t, APNsConfig{Answer: func(r Request) Answer { return s.Answer("apns", r) }})
	c := dialMDM(t, srv).greet()
	first := c.push(mdmBody, mdmFields(tokens[0])...)
	second := c.push(mdmBody, mdmFields(tokens[1])...)
	c.await(func(f http2.Frame) bool {
		if f.Header().StreamID == first {
			t.Error("it answers")
		}
		return f.Header().StreamID == second
	})
}

func TestAScriptSaysAllThatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	const text = `sede: 7
faults:
  - {provider: gcm, answer: UNAVAILABLE}
  - provider: apns
    answer: UNAVAILABLE
  - answer: ServiceUnavailable
  - provider: fcm
    answer: unregisterd
  - {provider: apns, answer: SomethingElseEntirely}
  - {answer: hang, share: 1.5, after: -1s}
  - {answer: hang, share: .nan, for: 0s, tokens: 0}
  - {answer: close, latencey: 1s, answer: hang}
  - {provider: apns}
  - {answer: hang, latency: 1s}
  - {provider: apns, share: 0.2, answer: Unregistered}
  - {answer: refuse-connections, share: 0.2, tenants: [a], tokens: 0.1, latency: 1s}
  - {provider: apns, answer: BadDeviceToken, retry_after: 5}
  - {provider: apns, answer: TooManyRequests, retry_after: 5s}
  - {answer: close, tenants: acme, after: 10}
  - {answer: {}, latency: 5m}
  - close
`
	want := []string{
		`1: key "sede" is not known (did you mean "seed"?)`,
		`3: provider: "gcm" is none: say apns or fcm, or leave it out for both`,
		`5: answer: UNAVAILABLE is a reason of fcm, and never of apns`,
		`6: answer: only apns answers ServiceUnavailable: give the fault provider: apns, and fcm one of its own`,
		`8: answer: "unregisterd" is not known (did you mean "UNREGISTERED"?)`,
		`9: answer: "SomethingElseEntirely" is not known; there are BadCertificate, BadCertificateEnvironment, `,
		`10: after: -1s is not between 0s and 720h0m0s`,
		`10: share: "1.5" is not a number above 0 and up to 1, such as 0.2`,
		`11: for: 0s is not between 1ms and 720h0m0s`,
		`11: share: ".nan" is not a number above 0 and up to 1, such as 0.2`,
		`11: tokens: "0" is not a number above 0 and up to 1, such as 0.2`,
		`12: key "latencey" is not known (did you mean "latency"?)`,
		`12: key "answer" stands here a second time`,
		`13: nothing goes wrong: give it an answer, a latency or both`,
		`14: latency: who hangs never answers: leave it out`,
		`15: share: a token that is Unregistered is so at every request: say tokens: 0.2`,
		`16: tenants: refuse-connections is of the whole server, and goes without; close cuts single connections`,
		`16: share: refuse-connections is of the whole server, and goes without; close cuts single connections`,
		`16: tokens: refuse-connections is of the whole server, and goes without; close cuts single connections`,
		`16: latency: refuse-connections is of the whole server, and goes without; close cuts single connections`,
		`17: retry_after: it goes with the statuses 429 and 503, and this is none of them`,
		`18: retry_after: "5s" is not a whole number, 0 or more: seconds, as in the header`,
		`19: after: "10" is not a duration such as 300ms, 10s or 1m30s`,
		`19: tenants: a list is expected, such as [acme]; leave it out for all`,
		`20: answer: a word is expected`,
		`20: latency: 5m0s is not between 1µs and 1m0s`,
		`21: keys and values are expected here`,
	}
	_, err := ParseScript("faults.yaml", []byte(text))
	if err == nil {
		t.Fatal("it is taken")
	}
	got := strings.Split(err.Error(), "\n")
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("missing: %s", want[i])
		case i >= len(want) || !strings.HasPrefix(got[i], "faults.yaml:"+want[i]):
			t.Errorf("it says   %s", got[i])
		}
	}
}

func TestAScriptIsOneDocumentWithAList(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "f:1: the file is empty; a script without a fault is: faults: []",
		"# nothing\n":                "f:1: the file is empty; a script without a fault is: faults: []",
		"seed: 1":                    "f:1: there is no faults: list",
		"faults: 5":                  "f:1: faults: a list is expected",
		"\nfaults:\n":                "f:2: faults: a list is expected",
		"[]":                         "f:1: keys and values are expected here",
		"faults: []\n---\nseed: 1":   "f:1: a second document follows: a file has one script",
		"seed: -1\nfaults: []":       `f:1: seed: "-1" is not a whole number, 0 or more`,
		"faults:\n  - {a: [}":        "f:1: this is not YAML as it has to be, here or just below: ",
		"seed: &s 1\nfaults: [*s]":   "f:2: keys and values are expected here",
		strings.Repeat("#", 1<<20+1): "f:1: the file is longer than 1048576 bytes",
	} {
		if _, err := ParseScript("f", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "faults.yaml")
	if _, err := ReadScript(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte("faults: [{answer: hang}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := ReadScript(path); err != nil || len(s.Faults()) != 1 {
		t.Errorf("%v, %v", s, err)
	}
}

func TestAFaultSaysWhatItIs(t *testing.T) {
	t.Parallel()
	s := script(t, `
faults:
  - {answer: refuse-connections}
  - {latency: 300ms, share: 0.125}
  - {provider: fcm, tenants: [acme, beta], tokens: 0.1, answer: QUOTA_EXCEEDED, retry_after: 60, latency: 1s}
`)
	for i, want := range []string{
		"refuse-connections",
		"300ms late, 12.5% of requests",
		"QUOTA_EXCEEDED, 1s late, retry after 60 s, 10% of tokens, of acme, beta",
	} {
		if got := s.Faults()[i].String(); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}

// Whatever a script says, it can be played or it is refused with its file and a line.
func FuzzParseScript(f *testing.F) {
	f.Add([]byte("seed: 7\nfaults:\n  - {provider: apns, after: 10s, for: 20s, share: 0.2, answer: ServiceUnavailable, retry_after: 5, latency: 1s}\n"))
	f.Add([]byte("faults: [{answer: refuse-connections, after: 1h}, {provider: fcm, tenants: [acme], tokens: 0.5, answer: UNREGISTERED}]"))
	f.Add([]byte("faults: [&a {answer: hang}, *a]\n---\n"))
	f.Add([]byte("a: &a [*a]\n<<: *a"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseScript("f", text)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "f:") {
					t.Errorf("without a place: %q", line)
				}
			}
			return
		}
		s.Start(zero)
		for _, provider := range []string{"apns", "fcm"} {
			s.Conduct(provider)
			s.Answer(provider, Request{Token: "aa", Topic: "acme", At: zero.Add(time.Second)})
		}
		last := zero
		for _, turn := range s.Turns() {
			if turn.At.Before(last) || turn.Fault.String() == "" {
				t.Errorf("the turn %+v after %v", turn, last)
			}
			last = turn.At
		}
	})
}
