// Package queue is pushd's side of Kafka: it hands the records of the check-in topic to their owners, commits how far
// they are done, and publishes feedback and dead letters.
//
// The promise: an offset is committed only when its owner says that it and all before it are done (I1), never by a
// generation that ended, and a message counts as published only when all in-sync replicas have it.
//
// It knows no tokens, tenants or providers (I6): a record is bytes here; package event gives them meaning.
package queue
