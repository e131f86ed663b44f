package simulator

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"

	"pushd/providers/spelling"
)

const (
	apnsName = "apns"
	fcmName  = "fcm"
)

// Fault is what goes wrong with a provider for a while.
type Fault struct {
	Line       int           // in the script's file
	Provider   string        // "apns", "fcm", or "" for both
	After      time.Duration // from the start of the script
	For        time.Duration // 0: until the end
	Tenants    []string      // by name (see Script.Know), topic or project; none: all
	Share      float64       // of requests
	Tokens     float64       // of tokens: always the same ones
	Answer     string        // a reason of the provider, or one of misdeeds; "" where there is latency only
	RetryAfter int           // seconds; 0: the answer says nothing of it
	Latency    time.Duration // on top of the configured one
}

// misdeeds are the answers that are no reason of a provider.
var misdeeds = map[string]Answer{
	outage:   {Drop: true}, // a connection that outlived the cut
	"close":  {Drop: true},
	"hang":   {Silent: true},
	"reset":  {Reset: http2.ErrCodeInternal},
	"goaway": {GoAway: &GoAway{LastStream: BelowThis}},
}

// outage is the misdeed of a whole server: its connections are cut, and new ones refused.
const outage = "refuse-connections"

func (f *Fault) outage() bool { return f.Answer == outage }

// inForce reports whether the fault is, so long after the start.
func (f *Fault) inForce(since time.Duration) bool {
	return since >= f.After && (f.For == 0 || since-f.After < f.For)
}

// providers are those that the fault is of.
func (f *Fault) providers() []string {
	if f.Provider == "" {
		return []string{apnsName, fcmName}
	}
	return []string{f.Provider}
}

// String says what goes wrong, without the times.
func (f *Fault) String() string {
	var b strings.Builder
	switch {
	case f.Answer == "":
		fmt.Fprintf(&b, "%v late", f.Latency)
	case f.Latency > 0:
		fmt.Fprintf(&b, "%s, %v late", f.Answer, f.Latency)
	default:
		b.WriteString(f.Answer)
	}
	if f.RetryAfter > 0 {
		fmt.Fprintf(&b, ", retry after %d s", f.RetryAfter)
	}
	if f.Share < 1 {
		fmt.Fprintf(&b, ", %s of requests", percent(f.Share))
	}
	if f.Tokens < 1 {
		fmt.Fprintf(&b, ", %s of tokens", percent(f.Tokens))
	}
	if len(f.Tenants) > 0 {
		fmt.Fprintf(&b, ", of %s", strings.Join(f.Tenants, ", "))
	}
	return b.String()
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'g', 4, 64) + "%" }

// reasons are what each provider is known to answer, as the script names it.
func reasons(provider string) map[string]Answer {
	all := make(map[string]Answer)
	if provider == apnsName {
		for reason, status := range apnsReasons {
			all[reason] = Answer{Status: status, Reason: reason}
		}
		return all
	}
	for _, e := range plainErrors {
		all[e.word] = Answer{Status: e.status}
	}
	for code, e := range fcmErrors { // after the others: where a word is both, the error has its details
		all[code] = Answer{Status: e.status, Reason: code}
	}
	return all
}

// play is the fault's answer at a provider, or what is wrong with it.
func (f *Fault) play(provider string) (Answer, error) {
	a, ok := misdeeds[f.Answer]
	if !ok && f.Answer != "" {
		if a, ok = reasons(provider)[f.Answer]; !ok {
			return Answer{}, f.unknownAnswer(provider)
		}
	}
	if f.Answer == "goaway" && provider == apnsName {
		a.GoAway = &GoAway{LastStream: BelowThis, Debug: `{"reason":"Shutdown"}`}
	}
	a.Latency = f.Latency
	if f.RetryAfter > 0 {
		a.RetryAfter = strconv.Itoa(f.RetryAfter)
	}
	return a, nil
}

func (f *Fault) unknownAnswer(provider string) error {
	for _, other := range []string{apnsName, fcmName} {
		if _, ok := reasons(other)[f.Answer]; !ok || other == provider {
			continue
		}
		if f.Provider == "" {
			return fmt.Errorf("answer: only %[1]s answers %[2]s: give the fault provider: %[1]s, and %[3]s one of its own", other, f.Answer, provider)
		}
		return fmt.Errorf("answer: %s is a reason of %s, and never of %s", f.Answer, other, provider)
	}
	known := slices.Collect(maps.Keys(misdeeds))
	for _, p := range f.providers() {
		known = slices.AppendSeq(known, maps.Keys(reasons(p)))
	}
	slices.Sort(known)
	if near := spelling.DidYouMean(f.Answer, known); near != "" {
		return fmt.Errorf("answer: %q is not known%s", f.Answer, near)
	}
	return fmt.Errorf("answer: %q is not known; there are %s", f.Answer, strings.Join(slices.Compact(known), ", "))
}

// deadly are the answers that a token gets from the first to its last: a provider that takes pushes for it in between
// is not one.
var deadly = []string{"Unregistered", "ExpiredToken", "BadDeviceToken", "DeviceTokenNotForTopic", "UNREGISTERED", "SENDER_ID_MISMATCH"}

// keyError is something wrong with a key of a fault; "" is the whole of it.
type keyError struct {
	key string
	err error
}

// check finds what no provider could play.
func (f *Fault) check() []keyError {
	var wrong []keyError
	refuse := func(key, format string, args ...any) {
		wrong = append(wrong, keyError{key, fmt.Errorf(key+": "+format, args...)})
	}
	var status int
	for _, provider := range f.providers() {
		a, err := f.play(provider)
		if err != nil {
			wrong = append(wrong, keyError{"answer", err})
			break // of the other provider it would be the same again
		}
		status = a.Status
	}
	known := len(wrong) == 0
	switch {
	case f.Answer == "" && f.Latency == 0:
		wrong = append(wrong, keyError{"", errors.New("nothing goes wrong: give it an answer, a latency or both")})
	case f.outage():
		for _, without := range []struct {
			key   string
			given bool
		}{
			{"tenants", len(f.Tenants) > 0}, {"share", f.Share < 1}, {"tokens", f.Tokens < 1}, {"latency", f.Latency > 0},
		} {
			if without.given {
				refuse(without.key, "%s is of the whole server, and goes without; close cuts single connections", outage)
			}
		}
	case f.Answer == "hang" && f.Latency > 0:
		refuse("latency", "who hangs never answers: leave it out")
	case slices.Contains(deadly, f.Answer) && f.Share < 1:
		refuse("share", "a token that is %s is so at every request: say tokens: %v", f.Answer, f.Share)
	}
	if f.RetryAfter > 0 && known && status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		refuse("retry_after", "it goes with the statuses 429 and 503, and this is none of them")
	}
	return wrong
}
