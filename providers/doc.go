// Package providers holds the contract between the engine and the push services: what a push is, what an
// answer means, and the credentials of the tenants.
//
// The promise: a Sender answers every push exactly once, with a Result whose Outcome says what to do. An answer of a
// provider is always a value; nobody above this package parses a status, a reason or an error text.
//
// It knows nothing of Kafka, offsets or the ledger (invariant I6), and holds no retry policy beyond the first wait
// that each answer asks for: the engine decides when, and whether, a push is made again.
//
// The packages below it: apns and fcm each have one table from status and reason to Outcome; connection has the HTTP/2
// connections of one credential; simulator has servers that refuse what the real services refuse; conformance holds
// every Sender to its promises against them.
package providers
