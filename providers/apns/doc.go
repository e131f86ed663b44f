// Package apns sends pushes to the Apple Push Notification service over its HTTP/2 provider API.
//
// The promise: the Sender of one credential answers each push exactly once, with the Outcome that one table (answer.go)
// gives to the status and reason of APNs, to a GOAWAY, or to the lack of an answer. A credential's connections serve
// no other credential.
//
// Sources: Apple's "Sending notification requests to APNs", "Handling notification responses from APNs",
// "Establishing a token-based connection to APNs".
//
//	request.go     a Push as APNs takes it: path, headers, body
//	answer.go      what an answer, or none, means
//	credential.go  provider tokens: when they are renewed
//	sender.go      which of the two ways to send
//	pipelined.go   many pushes in one write, by way of http2.Client: what is used
//	library.go     a call for each push, by way of apns2 and connection.Pool: what that is measured against, and probes with
//	probe.go       whether APNs accepts a credential
package apns
