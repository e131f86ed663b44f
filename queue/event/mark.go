package event

import (
	"strconv"
	"time"
)

// Deed is what an operator did with a dead letter.
type Deed string

const (
	// Replayed: it was published to the check-in topic again.
	Replayed Deed = "replayed"
	// Dropped: nothing more is to be done about it.
	Dropped Deed = "dropped"
)

// Mark says what was done with a dead letter. Kafka deletes no single record, so a mark is a record of its own, behind the
// letter in the letter's partition: it stays at least as long as the letter does. It has no value.
//
// Its headers begin as those of a dead letter do, and DeadLetterHeaders takes such headers off a record: a publisher cannot
// hide a letter by them.
type Mark struct {
	Deed      Deed
	Partition int32 // of the letter, in the topic of dead letters
	Offset    int64
	By        string
	At        time.Time
}

const (
	markDeed      = deadPrefix + "mark"           // a Deed
	markPartition = deadPrefix + "mark-partition" // of the letter
	markOffset    = deadPrefix + "mark-offset"    //
	markBy        = deadPrefix + "mark-by"        // who did it
	markAt        = deadPrefix + "mark-at"        // when
)

// Key names the letter. A space is in no tenant's name, so this is no event's key.
func (m *Mark) Key() []byte {
	return []byte("mark " + strconv.Itoa(int(m.Partition)) + "/" + strconv.FormatInt(m.Offset, 10))
}

// Headers are the record's headers.
func (m *Mark) Headers() []Header {
	return []Header{
		{markDeed, []byte(m.Deed)},
		{markPartition, strconv.AppendInt(nil, int64(m.Partition), 10)},
		{markOffset, strconv.AppendInt(nil, m.Offset, 10)},
		{markBy, []byte(boundedLine(m.By, maxMarkBy))},
		{markAt, m.At.UTC().AppendFormat(nil, milliseconds)},
		{deadVersion, []byte(deadLetterVersion)},
	}
}

const maxMarkBy = 255 // bytes

// ParseMark reads what Headers wrote; false where the headers are not of a mark of this version.
func ParseMark(headers []Header) (Mark, bool) {
	var m Mark
	var partition, offset, at, version string
	for _, h := range headers {
		switch h.Key {
		case markDeed:
			m.Deed = Deed(h.Value)
		case markPartition:
			partition = string(h.Value)
		case markOffset:
			offset = string(h.Value)
		case markBy:
			m.By = string(h.Value)
		case markAt:
			at = string(h.Value)
		case deadVersion:
			version = string(h.Value)
		}
	}
	if version != deadLetterVersion || m.Deed != Replayed && m.Deed != Dropped {
		return Mark{}, false
	}
	var ok bool
	if m.Partition, m.Offset, m.At, ok = parsePlace(partition, offset, at); !ok {
		return Mark{}, false
	}
	return m, true
}
