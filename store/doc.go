// Package store is the ledger: what pushd must still know when its process has ended, kept in Pebble.
//
// The promise: when Write returns, all of its flushes outlive the process, and the machine's power; if the process
// dies before, all of them do or none. Whatever else is damaged or lost of the ledger costs duplicates, never a wake;
// a wake that waits here is returned by Partition, or Partition fails and names it.
//
// A disk that did not take a write is not written again (disk.go). What the directory has when it is opened is all that was
// written, or Open or Partition fails and says what is damaged (written.go, damage.go); only a power loss may take the end
// of the log that was not durable.
//
// The ledger is a journal. Memory (Index) answers what the hot path asks; a flush only appends one packed record per
// partition. Keys of their own have only what is rare: wakes that wait, dead tokens, and how far a partition was read.
// The keys are drawn in key.go, the records in record.go.
//
// It knows neither Kafka nor providers, and none of their rules (I6): a waiting wake is bytes here.
//
// # Time
//
// The ledger has no clock: it takes the time from outcomes and from its callers. An event id is remembered for
// Config.DedupeWindow of uptime: the time between the last that the ledger knows of one process and the first that
// the next one names does not count, so that a process that was down for hours still knows what it settled just
// before. The rest of a device after an accepted push is counted in true time.
//
// # Goroutines
//
// The package starts none but Pebble's own. A Ledger is safe for concurrent use; an Index belongs to one goroutine.
package store
