// Package connection holds the HTTP/2 connections of one credential: it makes few of them, spreads requests over them
// and says precisely how a request failed. It knows no provider.
//
// The promise: a request is handed to a connection at most once, never by a hidden retry, and its Exchange then holds
// either the server's answer or a Failure that says whether the server can have processed it. The number of
// connections, and how fast they are opened, stay within the configuration whatever the server does: "rapid connection
// and disconnection" is what Apple treats as an attack.
//
// It stands on golang.org/x/net/http2.ClientConn, below the transport's own pool, because that pool repeats requests by
// itself up to seven times and opens a connection more whenever a server lowers its stream limit.
//
//	goroutine        owns                                  ends when                     waited for by
//	Pool.dial        the one connection being made         it is made, fails, or Close   Close
//	x/net readLoop   reading one connection                the connection ends           nobody; Close ends it
package connection
