// Package simulator holds an APNs server and an FCM server that refuse what the real ones refuse, for tests, the demo
// and the load test.
//
// The promise: a request that these servers accept is one that the provider's documentation calls valid, and each
// refusal carries the provider's own status, reason and body. Beyond that a test says, request by request, what goes
// wrong: a reason, a GOAWAY with its JSON, a reset or refused stream, silence, a cut connection (see Answer), and
// connection by connection how the HTTP/2 itself misbehaves (see Conduct); a Script says both from a file, and when. What was
// accepted, and when, is in the Account, so that another process can show that nothing was lost.
//
// It is not a model of delivery: no device is behind it, nothing is stored or collapsed.
//
// The push path speaks HTTP/2 by golang.org/x/net/http2.Framer, not by net/http, so that the server is not the slow part of
// a measurement: one goroutine reads a connection, answers all that is buffered, and writes the answers in one piece.
//
//	goroutine          owns                                   ends when                  waited for by
//	accept             the listener                           Close                      Close
//	conn.serve         one connection: reading, HPACK state,  the peer or Close ends     Close
//	                   the session of its service             the connection
//	conn.deliver       answers whose latency has passed;      its connection ends        conn.serve
//	                   started with the first such answer
//	token endpoint     FCM's OAuth 2.0 listener (net/http)    Close                      Close
package simulator
