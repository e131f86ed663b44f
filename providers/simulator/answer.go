package simulator

import (
	"strconv"
	"time"

	"golang.org/x/net/http2"
)

// Request is a push that passed every check of the service, as a test's Answer function sees it.
type Request struct {
	Token       string
	Topic       string // APNs: the topic pushed to; FCM: the project
	Tenant      string // APNs: the certificate's topic or "team/key"; FCM: the service account's email
	Certificate string // APNs: the client certificate's serial number, in hex; "" with a provider token
	PushType    string // APNs: apns-push-type, "" where not sent
	Priority    string // APNs: apns-priority; FCM: android.priority; "" where not sent
	Payload     []byte // the body as received; valid during the call only
	At          time.Time
	Attempt     int    // how often this token was asked for before, with whatever answer; 0 at first
	Connection  uint64 // counts the connections of this server from 1
	Stream      uint32 // the HTTP/2 stream
}

// Answer is what the server does with a request. The zero Answer accepts it.
//
// At most one of Silent, Drop and Reset is meant; GoAway goes with any of them, and is sent first.
type Answer struct {
	Status     int           // 0 means the one that goes with Reason, and 200 without a Reason
	Reason     string        // APNs: the reason; FCM: the errorCode of FcmError, "" for an error without one
	Timestamp  time.Time     // APNs, with 410: since when the token is dead
	RetryAfter string        // the Retry-After header: seconds, a date, or rubbish
	Body       []byte        // replaces the JSON body, as a proxy's error page does; the caller must not change it afterwards
	Latency    time.Duration // on top of the configured one

	GoAway *GoAway       // send a GOAWAY; the connection is closed when the streams it covers are answered
	Reset  http2.ErrCode // send RST_STREAM with this code, if it is not 0 (NO_ERROR)
	Silent bool          // never answer this stream
	Drop   bool          // cut the TCP connection without a word
}

// GoAway is a GOAWAY frame.
type GoAway struct {
	// LastStream is the highest stream that the server says it may have processed; streams above it are dropped unanswered.
	// The zero value is what APNs sends with a refused certificate. See ThisStream and BelowThis.
	LastStream uint32
	Code       http2.ErrCode
	Debug      string // APNs: JSON such as {"reason":"Shutdown"}
}

// Values of GoAway.LastStream that depend on the request.
const (
	ThisStream uint32 = 1<<31 + iota // this request's stream: it is still answered
	BelowThis                        // just below this request's stream: it is not
)

func (g *GoAway) lastStream(stream uint32) uint32 {
	switch g.LastStream {
	case ThisStream:
		return stream
	case BelowThis:
		return stream - min(stream, 2)
	}
	return g.LastStream
}

// accepts reports whether the answer to the request on a stream says that the push was taken.
func (a *Answer) accepts(stream uint32) bool {
	return (a.Status == 0 && a.Reason == "" || a.Status == 200) && !a.Silent && !a.Drop && a.Reset == http2.ErrCodeNo &&
		(a.GoAway == nil || stream <= a.GoAway.lastStream(stream))
}

// String names the answer for Account.Answers.
func (a *Answer) String() string {
	switch {
	case a.Drop:
		return "drop"
	case a.Silent:
		return "silent"
	case a.Reset != http2.ErrCodeNo:
		return "reset " + a.Reset.String()
	case a.Reason != "":
		return strconv.Itoa(a.Status) + " " + a.Reason
	}
	return strconv.Itoa(a.Status)
}
