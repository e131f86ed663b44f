package event

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The headers that pushd adds to a record it sends to the dead-letter topic. Key, value and the other headers stay the
// original's, so that a dead letter is replayed by publishing it again.
const (
	deadPrefix    = "pushd-dlq-"
	deadReason    = deadPrefix + "reason"     // a Reason
	deadError     = deadPrefix + "error"      // what is wrong, where, and how to mend it
	deadTopic     = deadPrefix + "topic"      // where the record was read
	deadPartition = deadPrefix + "partition"  //
	deadOffset    = deadPrefix + "offset"     //
	deadFirstSeen = deadPrefix + "first-seen" // when it first became a dead letter; a replay keeps it
	deadVersion   = deadPrefix + "version"    // of this set of headers
)

const (
	deadLetterVersion = "1"
	maxDeadError      = 512 // bytes
)

// DeadLetterHeaders are the headers of the dead letter for the record at topic, partition and offset: the original ones
// and pushd's own. The reason is that of the *Error in why's chain, or other. Where the original is a dead letter that was
// replayed, its own such headers are replaced, and the time it was first seen is kept.
func DeadLetterHeaders(orig []Header, why error, topic string, partition int32, offset int64, at time.Time) []Header {
	if before, ok := ParseDeadLetter(orig); ok && before.FirstSeen.Before(at) {
		at = before.FirstSeen
	}
	headers := slices.Grow(withoutDeadLetter(orig), 7)
	return append(headers,
		Header{deadReason, []byte(ReasonOf(why).String())},
		Header{deadError, []byte(deadErrorText(why))},
		Header{deadTopic, []byte(topic)},
		Header{deadPartition, strconv.AppendInt(nil, int64(partition), 10)},
		Header{deadOffset, strconv.AppendInt(nil, offset, 10)},
		Header{deadFirstSeen, at.UTC().AppendFormat(nil, milliseconds)},
		Header{deadVersion, []byte(deadLetterVersion)},
	)
}

func withoutDeadLetter(headers []Header) []Header {
	return slices.DeleteFunc(slices.Clone(headers), func(h Header) bool { return strings.HasPrefix(h.Key, deadPrefix) })
}

// deadErrorText is one line of bounded length.
func deadErrorText(why error) string {
	line := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r // what is not UTF-8 comes as U+FFFD
	}, why.Error())
	if len(line) <= maxDeadError {
		return line
	}
	end := maxDeadError
	for !utf8.RuneStart(line[end]) {
		end--
	}
	return line[:end]
}

// DeadLetter is what the headers of a dead letter say.
type DeadLetter struct {
	Reason    string // of a Reason, perhaps of a newer pushd
	Error     string
	Topic     string // where the record was read
	Partition int32
	Offset    int64
	FirstSeen time.Time
	Original  []Header // the record's own headers: what a replay publishes
}

// ParseDeadLetter reads what DeadLetterHeaders wrote; false where the headers are not of a dead letter of this version.
func ParseDeadLetter(headers []Header) (DeadLetter, bool) {
	var d DeadLetter
	var partition, offset, firstSeen, version string
	for _, h := range headers {
		switch h.Key {
		case deadReason:
			d.Reason = string(h.Value)
		case deadError:
			d.Error = string(h.Value)
		case deadTopic:
			d.Topic = string(h.Value)
		case deadPartition:
			partition = string(h.Value)
		case deadOffset:
			offset = string(h.Value)
		case deadFirstSeen:
			firstSeen = string(h.Value)
		case deadVersion:
			version = string(h.Value)
		}
	}
	if version != deadLetterVersion || d.Reason == "" || d.Topic == "" {
		return DeadLetter{}, false
	}
	p, errPartition := strconv.ParseInt(partition, 10, 32)
	o, errOffset := strconv.ParseInt(offset, 10, 64)
	at, errTime := time.Parse(time.RFC3339, firstSeen)
	if errPartition != nil || errOffset != nil || errTime != nil || p < 0 || o < 0 {
		return DeadLetter{}, false
	}
	d.Partition, d.Offset, d.FirstSeen = int32(p), o, at.UTC()
	d.Original = withoutDeadLetter(headers)
	return d, true
}
