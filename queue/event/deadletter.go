package event

import (
	"bytes"
	"cmp"
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

	// Where the letter holds only the beginning: how many bytes there were.
	deadCutKey     = deadPrefix + "cut-key"
	deadCutValue   = deadPrefix + "cut-value"
	deadCutHeaders = deadPrefix + "cut-headers"
)

const (
	deadLetterVersion = "1"
	maxDeadError      = 512 // bytes
)

// DeadLetterHeaders are the headers of the dead letter for the record at topic, partition and offset: the original ones
// and pushd's own. cut is what of the record is not kept. The reason is that of the *Error in why's chain, or other. Where
// the original is a dead letter that was replayed, its own such headers are replaced, and the time it was first seen is kept.
func DeadLetterHeaders(orig []Header, cut Cut, why error, topic string, partition int32, offset int64, at time.Time) []Header {
	if before, ok := ParseDeadLetter(orig); ok && before.FirstSeen.Before(at) {
		at = before.FirstSeen
	}
	headers := slices.Grow(withoutDeadLetter(orig), 10)
	return cut.appendTo(append(headers,
		Header{deadReason, []byte(ReasonOf(why).String())},
		Header{deadError, []byte(boundedLine(why.Error(), maxDeadError))},
		Header{deadTopic, []byte(topic)},
		Header{deadPartition, strconv.AppendInt(nil, int64(partition), 10)},
		Header{deadOffset, strconv.AppendInt(nil, offset, 10)},
		Header{deadFirstSeen, at.UTC().AppendFormat(nil, milliseconds)},
		Header{deadVersion, []byte(deadLetterVersion)},
	))
}

func withoutDeadLetter(headers []Header) []Header {
	return slices.DeleteFunc(slices.Clone(headers), func(h Header) bool { return strings.HasPrefix(h.Key, deadPrefix) })
}

// boundedLine is a text as one line of at most limit bytes.
func boundedLine(text string, limit int) string {
	line := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r // what is not UTF-8 comes as U+FFFD
	}, text)
	if len(line) <= limit {
		return line
	}
	end := limit
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
	Cut       Cut      // what the letter does not hold
	Original  []Header // the record's own headers
	Own       []Header // those that pushd added
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
		case deadCutKey:
			d.Cut.Key = bytesOf(h.Value)
		case deadCutValue:
			d.Cut.Value = bytesOf(h.Value)
		case deadCutHeaders:
			d.Cut.Headers = bytesOf(h.Value)
		}
	}
	if version != deadLetterVersion || d.Reason == "" || d.Topic == "" {
		return DeadLetter{}, false
	}
	var ok bool
	if d.Partition, d.Offset, d.FirstSeen, ok = parsePlace(partition, offset, firstSeen); !ok {
		return DeadLetter{}, false
	}
	d.Original = withoutDeadLetter(headers)
	d.Own = slices.DeleteFunc(slices.Clone(headers), func(h Header) bool { return !strings.HasPrefix(h.Key, deadPrefix) })
	return d, true
}

// bytesOf is how many bytes a header speaks of; 1 where it says no number, for something was cut.
func bytesOf(text []byte) int {
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil {
		return 1
	}
	return int(n)
}

// parsePlace reads a place in a topic, and a time.
func parsePlace(partition, offset, at string) (int32, int64, time.Time, bool) {
	p, errPartition := strconv.ParseInt(partition, 10, 32)
	o, errOffset := strconv.ParseInt(offset, 10, 64)
	t, errTime := time.Parse(time.RFC3339, at)
	if errPartition != nil || errOffset != nil || errTime != nil || p < 0 || o < 0 {
		return 0, 0, time.Time{}, false
	}
	return int32(p), o, t.UTC(), true
}

// Named is the tenant and the device that a record names, whether it is an event or not; each is empty where it names none that
// could be one. The key goes before the value.
func Named(key, value []byte, headers []Header) (tenant, device string) {
	r := reader{to: new(Decoder)}
	if before, after, ok := bytes.Cut(key, []byte("/")); ok {
		tenant = r.text(&tenantRule, rawText(before))
		device = r.text(&deviceRule, rawText(after))
	}
	if tenant != "" && device != "" {
		return tenant, device
	}
	var a attributes
	var b body
	if data, fault := a.open(value, headers); fault == nil && data != nil {
		_ = scanObject(data, b.keep) // what stands before its fault is as good as anything
	}
	return cmp.Or(tenant, r.text(&tenantRule, b.tenant)), cmp.Or(device, r.text(&deviceRule, b.device))
}

// rawText is bytes as a text without escapes.
func rawText(b []byte) value { return value{kind: text, raw: b} }
