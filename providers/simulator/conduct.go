package simulator

import (
	"net"
	"time"
)

// Conduct is how the server's HTTP/2 misbehaves on one connection; the zero value is a server that behaves well.
type Conduct struct {
	MaxStreams      uint32 // overrides the configured limit, if not 0
	NoStreams       bool   // SETTINGS_MAX_CONCURRENT_STREAMS 0: connected, and nothing may be sent
	Refuse          bool   // reset the TCP connection as soon as it is accepted, as where nobody listens
	NoHandshake     bool   // accept TCP, then end the TLS handshake with an alert
	NoSettings      bool   // send no SETTINGS, as a server that is stuck after its handshake
	Deaf            bool   // read nothing after the handshake: the client's writes block once the TCP buffers are full
	NoWindowUpdates bool   // never give back flow-control window: after 65,535 bytes of bodies nothing may be sent
	HeaderPadding   int    // octets of useless header field in every response
	BytesPerSecond  int    // write no faster, counted on the TCP connection; 0 is no limit
}

// slowWriter is a TCP connection that writes no faster than its rate. Its owner's writes block meanwhile.
type slowWriter struct {
	net.Conn
	perSecond int
	closed    <-chan struct{} // closed by conn.cut
}

func (w *slowWriter) Write(p []byte) (int, error) {
	const piecesPerSecond = 20
	piece := max(1, w.perSecond/piecesPerSecond)
	pause := time.Second * time.Duration(piece) / time.Duration(w.perSecond)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	written := 0
	for written < len(p) {
		n, err := w.Conn.Write(p[written:min(len(p), written+piece)])
		written += n
		if err != nil {
			return written, err
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-w.closed:
			return written, net.ErrClosed
		}
	}
	return written, nil
}
