package connection

import (
	"context"
	"errors"
	"io"
	"net"

	"golang.org/x/net/http2"
)

// Kind is how a request failed without an answer.
type Kind uint8

const (
	Dial               Kind = iota // no address could be connected to
	TLS                            // the handshake failed
	CertificateRefused             // the server ended the handshake over the client certificate
	Timeout                        // no answer in time
	Reset                          // the server reset the stream
	RefusedStream                  // the server reset the stream before any processing (RFC 9113, section 8.7)
	GoAway                         // the server sent GOAWAY
	Lost                           // the connection broke
	Closed                         // the pool was closed
)

var kindNames = [...]string{
	Dial: "dial", TLS: "tls", CertificateRefused: "certificate refused", Timeout: "timeout", Reset: "reset",
	RefusedStream: "refused stream", GoAway: "goaway", Lost: "connection lost", Closed: "closed",
}

// String is the kind as it stands in reasons: one of few words.
func (k Kind) String() string { return kindNames[k] }

// Failure is why a request has no answer.
type Failure struct {
	Kind        Kind
	Unprocessed bool   // the server says, or it is certain, that it did nothing with the request
	Debug       []byte // with GoAway: what the server said beside it; APNs: JSON with a reason
	Err         error
}

func (f *Failure) Error() string { return f.Kind.String() + ": " + f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// DialFailure is why there is no connection. None of the requests that wait for it was sent.
func DialFailure(err error) *Failure {
	f := &Failure{Kind: Dial, Unprocessed: true, Err: err}
	var handshake *handshakeError
	switch {
	case errors.Is(err, context.Canceled):
		f.Kind = Closed
	case certificateRefused(err):
		f.Kind = CertificateRefused
	case errors.As(err, &handshake):
		f.Kind = TLS
	}
	return f
}

// waitFailure is why a request stopped waiting for a connection.
func waitFailure(err error) *Failure {
	f := &Failure{Kind: Timeout, Unprocessed: true, Err: err}
	if errors.Is(err, context.Canceled) {
		f.Kind = Closed
	}
	return f
}

// streamFailure is why a request that was handed to a connection got no answer.
func streamFailure(err error, t *tap) *Failure {
	f := &Failure{Kind: Lost, Err: err}
	var stream http2.StreamError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		f.Kind = Timeout
	case errors.Is(err, context.Canceled):
		f.Kind = Closed
	case errors.As(err, &stream) && stream.Code == http2.ErrCodeRefusedStream:
		f.Kind, f.Unprocessed = RefusedStream, true
	case errors.As(err, &stream):
		f.Kind = Reset
	case t.goAway() != nil:
		f.Kind, f.Debug = GoAway, t.goAway().debug
		f.Unprocessed = !connectionEnded(err)
	case certificateRefused(t.ended()):
		return LostFailure(t.ended())
	}
	return f
}

// connectionEnded tells a stream that ended with its connection, and may have been processed, from one above the
// GOAWAY's last stream, which x/net ends with an error of its own, at once.
func connectionEnded(err error) bool {
	var broken http2.ConnectionError
	var network net.Error
	return isGoAwayError(err) || errors.As(err, &broken) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// certificateAlerts are the alerts by which a server refuses a client certificate (RFC 8446, section 6.2), in the words
// of crypto/tls, which keeps their numbers to itself.
var certificateAlerts = map[string]bool{
	"tls: bad certificate":               true,
	"tls: unsupported certificate":       true,
	"tls: revoked certificate":           true,
	"tls: expired certificate":           true,
	"tls: unknown certificate":           true,
	"tls: unknown certificate authority": true,
	"tls: access denied":                 true,
	"tls: certificate required":          true,
}

// LostFailure is why a connection ended that no GOAWAY had announced.
func LostFailure(err error) *Failure {
	if certificateRefused(err) {
		// With TLS 1.3 the client has finished its handshake before the server looks at the certificate.
		return &Failure{Kind: CertificateRefused, Unprocessed: true, Err: err}
	}
	return &Failure{Kind: Lost, Err: err}
}

func certificateRefused(err error) bool {
	var alert *net.OpError
	return errors.As(err, &alert) && alert.Op == "remote error" && certificateAlerts[alert.Err.Error()]
}
