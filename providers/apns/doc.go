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
//	sender.go      the way from one to the other, by way of apns2 and connection.Pool
package apns
