// Package http2 sends many small POST requests over few HTTP/2 connections (RFC 9113) to one host. It knows no provider.
//
// The promise: every request is answered once, with the server's answer or with a connection.Failure that says whether the
// server can have processed it. The server's limits hold from the moment they are read: no stream is opened before its
// SETTINGS, none beyond its number of streams, no byte beyond its windows. What the server surely did not process (streams
// above a GOAWAY's last one, refused streams) is sent again over whichever connection has room, a few times, before its
// caller hears of it. A server that breaks the protocol loses its connection, and nothing else.
//
// Why not net/http: it starts a goroutine, makes some fifty objects and writes two TLS records for each request. Here the
// requests that wait become one write, the answers that came with one read are told together, and there is no goroutine,
// timer, channel or context for a request.
//
//	goroutine      owns                                             ends when                waited for by
//	conn.read      what comes over a connection                     the connection ends      Close
//	conn.write     what goes over it; closing it                    the connection ends      Close
//	Client.connect the one connection of its group being made       it is made, or fails     Close
//	Client.sweep   deadlines, PINGs and the number of connections   it is through            Close
//	group.notMade  a line for the log: why there is no connection   it is written            Close
//
// One lock, Client.mu, guards queues, connections and streams. It is taken for a batch, never for a request, and nothing is
// written, waited for or told to a caller while it is held.
package http2
