// Package fcm sends pushes to Firebase Cloud Messaging over its HTTP v1 API.
//
// The promise: the Sender of one service account answers each push exactly once, with the Outcome that one table
// (answer.go) gives to the errorCode and status of FCM, or to the lack of an answer. FCM's limit of 100 streams a
// connection is kept, and nothing is repeated behind the engine's back: the Firebase SDK's own retries never begin.
//
// Sources: Firebase's "FCM error codes", "Throttling and quotas", "Scale to millions of requests", "Manage
// registration tokens".
//
//	request.go     a Push as FCM takes it
//	answer.go      what an answer, or none, means
//	credential.go  access tokens: how they are had and renewed
//	sender.go      which of the two ways to send
//	pipelined.go   many pushes in one write, by way of http2.Client: what is used
//	library.go     a call for each push, by way of the Firebase SDK and connection.Pool: what that is measured against, and
//	               probes with
//	probe.go       whether Google accepts an account
package fcm
