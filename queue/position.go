package queue

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Position is the place of a record, for ever: where its topic is made anew the same offset is another position.
type Position struct {
	Topic     TopicID
	Partition int32
	Offset    int64
}

// String is "topic id/partition/offset".
func (p Position) String() string { return fmt.Sprintf("%v/%d/%d", p.Topic, p.Partition, p.Offset) }

// ParsePosition is String's other side. It takes nothing that String does not write.
func ParsePosition(s string) (p Position, err error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 {
		return p, fmt.Errorf("%q is not topic id/partition/offset", s)
	}
	id, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil || len(id) != len(p.Topic) {
		return p, fmt.Errorf("%q in %q is no topic id", parts[0], s)
	}
	partition, err := strconv.ParseInt(parts[1], 10, 32)
	if err != nil {
		return p, fmt.Errorf("%q in %q is no partition", parts[1], s)
	}
	offset, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return p, fmt.Errorf("%q in %q is no offset", parts[2], s)
	}
	p = Position{TopicID(id), int32(partition), offset}
	if p.String() != s {
		return Position{}, fmt.Errorf("%q is not written as a position is", s)
	}
	return p, nil
}
