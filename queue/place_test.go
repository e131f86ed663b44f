package queue

import (
	"testing"

	"github.com/segmentio/kafka-go"
)

func TestThePlaceInAPartition(t *testing.T) {
	t.Parallel()
	have := extent{first: 10, end: 20}
	tests := []struct {
		name          string
		committed     int64
		start, policy Reset
		offset        int64
		inRange, ok   bool
	}{
		{"never committed, earliest", kafka.FirstOffset, Earliest, Stop, 10, true, true},
		{"never committed, latest", kafka.FirstOffset, Latest, Stop, 20, true, true},
		{"at the beginning", 10, Latest, Stop, 10, true, true},
		{"inside", 15, Latest, Stop, 15, true, true},
		{"all is read", 20, Earliest, Stop, 20, true, true},
		{"overtaken by retention, earliest", 9, Latest, Earliest, 10, false, true},
		{"overtaken by retention, latest", 9, Earliest, Latest, 20, false, true},
		{"overtaken by retention, stop", 9, Earliest, Stop, 0, false, false},
		{"beyond the end, earliest", 21, Latest, Earliest, 10, false, true},
		{"beyond the end, latest", 21, Earliest, Latest, 20, false, true},
		{"beyond the end, stop", 21, Earliest, Stop, 0, false, false},
		{"committed zero is a place", 0, Latest, Earliest, 10, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			offset, inRange, ok := Config{Start: test.start, OutOfRange: test.policy}.place(test.committed, have)
			if offset != test.offset || inRange != test.inRange || ok != test.ok {
				t.Errorf("%d, in range %v, ok %v; want %d, %v, %v", offset, inRange, ok, test.offset, test.inRange, test.ok)
			}
		})
	}
}
