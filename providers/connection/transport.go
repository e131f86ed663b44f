package connection

import (
	"errors"
	"net"
	"time"

	"golang.org/x/net/http2"
)

//lint:file-ignore SA1019 x/net advises net/http, whose HTTP/2 keeps GOAWAY's debug data and the kinds of its errors to itself

// clientConn is one HTTP/2 connection.
type clientConn = http2.ClientConn

// transport makes clientConns of TLS connections.
type transport struct{ http2 http2.Transport }

const (
	// maxHeaders bounds the header list of an answer, in bytes.
	maxHeaders = 16 << 10
	// writeTimeout is how long the peer may take nothing of what is written.
	writeTimeout = 10 * time.Second
)

func newTransport(options Options) *transport {
	return &transport{http2.Transport{
		DisableCompression: true,
		MaxHeaderListSize:  maxHeaders,
		// Requests above the server's limit of streams wait. Without this a connection that is full says that it takes no
		// requests, as one does that has ended.
		StrictMaxConcurrentStreams: true,
		ReadIdleTimeout:            options.PingInterval,
		PingTimeout:                options.PingTimeout,
		WriteByteTimeout:           writeTimeout,
	}}
}

func (t *transport) newClient(conn net.Conn) (*clientConn, error) { return t.http2.NewClientConn(conn) }

// isGoAwayError says whether err is what x/net ends streams with that GOAWAY left to be finished, when the connection
// ends before they are.
func isGoAwayError(err error) bool {
	var goAway http2.GoAwayError
	return errors.As(err, &goAway)
}
