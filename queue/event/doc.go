// Package event is the contract of pushd's topics: what a management server writes to pushd.checkin, and what it reads
// from pushd.feedback and pushd.dead. docs/events.md says the same to its engineers; the schemas in docs/schema, the
// golden files in testdata and this code are held to one another by the tests.
//
// The promise: Decode gives an event whose every field was checked, or an *Error that says which field is wrong and how
// to mend it. It never panics, whatever the record holds, and no error text holds anything of the record but
// numbers: a token, a push magic or a payload cannot leak by one.
//
// It knows nothing of tenants' credentials, offsets or what becomes of an event, and imports nothing of pushd.
//
// A record is read in one pass by a scanner of its own (scan.go), which finds the fields and checks the JSON, and
// then field by field (fields.go), which checks and copies. The strings of an event share one allocation.
package event
