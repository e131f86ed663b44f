package store

import (
	"encoding/binary"
	"fmt"
	"time"
)

// The ledger's keys. Integers are big-endian, so that keys sort by them; a minute and a day are counted from 1970 (UTC).
//
//	            1   4           4           8
//	journal    'j'  minute      partition   sequence    one packed record of outcomes, drawn in record.go
//	waiting    'w'  partition   device (8)              crc32c (4)  version (1)  the wake as the dispatcher encodes it
//	tombstone  't'  day         partition   token       milliseconds since 1970 when the token died (8)
//	progress   'p'  partition                           watermark (8)
//	meta       'm'  "seed"                              the key of the identities (8)
//	           'm'  "hash"                              the key of token hashes (32)
//	           'm'  "last"                              next sequence (8)  last time the process was alive, in ms (8)
//
// The minute of a journal record is that of its newest outcome, the day of a tombstone that on which it was written:
// expiry deletes whole minutes and days by their range and looks at nothing that lives.
const (
	journalPrefix   = 'j'
	waitingPrefix   = 'w'
	tombstonePrefix = 't'
	progressPrefix  = 'p'
	metaPrefix      = 'm'
)

var (
	seedKey = []byte("mseed")
	hashKey = []byte("mhash")
	lastKey = []byte("mlast")
)

const (
	journalKeySize   = 1 + 4 + 4 + 8
	waitingKeySize   = 1 + 4 + 8
	tombstoneKeySize = 1 + 4 + 4 + 8
	progressKeySize  = 1 + 4
)

// minuteOf and dayOf are the time buckets of keys. Times before 1970 count as 1970.
func minuteOf(t time.Time) uint32 { return uint32(max(t.Unix(), 0) / 60) }
func dayOf(t time.Time) uint32    { return uint32(max(t.Unix(), 0) / 86400) }

func appendJournalKey(dst []byte, minute uint32, partition int32, sequence uint64) []byte {
	dst = append(dst, journalPrefix)
	dst = binary.BigEndian.AppendUint32(dst, minute)
	dst = binary.BigEndian.AppendUint32(dst, uint32(partition))
	return binary.BigEndian.AppendUint64(dst, sequence)
}

func decodeJournalKey(key []byte) (minute uint32, partition int32, sequence uint64, err error) {
	if len(key) != journalKeySize || key[0] != journalPrefix {
		return 0, 0, 0, fmt.Errorf("%x is no key of the journal", key)
	}
	return binary.BigEndian.Uint32(key[1:]), int32(binary.BigEndian.Uint32(key[5:])), binary.BigEndian.Uint64(key[9:]), nil
}

func appendWaitingKey(dst []byte, partition int32, d Device) []byte {
	dst = append(dst, waitingPrefix)
	dst = binary.BigEndian.AppendUint32(dst, uint32(partition))
	return binary.BigEndian.AppendUint64(dst, uint64(d))
}

func decodeWaitingKey(key []byte) (partition int32, d Device, err error) {
	if len(key) != waitingKeySize || key[0] != waitingPrefix {
		return 0, 0, fmt.Errorf("%x is no key of a waiting wake", key)
	}
	return int32(binary.BigEndian.Uint32(key[1:])), Device(binary.BigEndian.Uint64(key[5:])), nil
}

func appendTombstoneKey(dst []byte, day uint32, partition int32, t Token) []byte {
	dst = append(dst, tombstonePrefix)
	dst = binary.BigEndian.AppendUint32(dst, day)
	dst = binary.BigEndian.AppendUint32(dst, uint32(partition))
	return binary.BigEndian.AppendUint64(dst, uint64(t))
}

func decodeTombstoneKey(key []byte) (day uint32, partition int32, t Token, err error) {
	if len(key) != tombstoneKeySize || key[0] != tombstonePrefix {
		return 0, 0, 0, fmt.Errorf("%x is no key of a tombstone", key)
	}
	return binary.BigEndian.Uint32(key[1:]), int32(binary.BigEndian.Uint32(key[5:])), Token(binary.BigEndian.Uint64(key[9:])), nil
}

func appendProgressKey(dst []byte, partition int32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, progressPrefix), uint32(partition))
}
