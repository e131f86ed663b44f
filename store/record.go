package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sort"
	"time"
)

// A journal record is the outcomes of one partition in one flush:
//
//	0        4         5     8                    16
//	crc32c   version   0     oldest outcome, ms   row  row  row ...
//	of the rest
//
// and a row one outcome. Rows are of one width and sorted by device, in their order where that is the same, so that
// a device is found by binary search in place:
//
//	0        8       16     17
//	device   event   kind   at, ms since 1970, signed
//
// A waiting wake has the same first 5 bytes.
const (
	formatVersion = 1
	sealSize      = 4 + 1
	recordHeader  = 16
	rowSize       = 24
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal writes checksum and version in front of what follows them in value.
func seal(value []byte) {
	value[4] = formatVersion
	binary.BigEndian.PutUint32(value, crc32.Checksum(value[4:], castagnoli))
}

var errShort = errors.New("it is cut short")

// unseal checks what seal wrote.
func unseal(value []byte) error {
	if len(value) < sealSize {
		return errShort
	}
	if stored, computed := binary.BigEndian.Uint32(value), crc32.Checksum(value[4:], castagnoli); stored != computed {
		return fmt.Errorf("its checksum is %08x, not %08x", computed, stored)
	}
	if value[4] != formatVersion {
		return fmt.Errorf("its format version is %d; this pushd reads %d", value[4], formatVersion)
	}
	return nil
}

// place is where an outcome stands in its flush.
type place struct {
	device Device
	index  int32
}

// sortPlaces returns the order in which outcomes stand in their record.
func sortPlaces(places []place, outcomes []Outcome) []place {
	places = places[:0]
	for i := range outcomes {
		places = append(places, place{outcomes[i].Device, int32(i)})
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.device != b.device {
			return cmp.Compare(a.device, b.device)
		}
		return cmp.Compare(a.index, b.index)
	})
	return places
}

func recordSize(outcomes int) int { return recordHeader + outcomes*rowSize }

// encodeRecord fills value, of recordSize bytes, with the outcomes in the order of places.
func encodeRecord(value []byte, outcomes []Outcome, places []place) {
	oldest := outcomes[0].At.UnixMilli()
	row := value[recordHeader:]
	for _, p := range places {
		o := &outcomes[p.index]
		at := o.At.UnixMilli()
		oldest = min(oldest, at)
		binary.BigEndian.PutUint64(row, uint64(o.Device))
		binary.BigEndian.PutUint64(row[8:], uint64(o.Event))
		binary.BigEndian.PutUint64(row[16:], uint64(o.Kind)<<56|uint64(at)&(1<<56-1))
		row = row[rowSize:]
	}
	clear(value[5:8])
	binary.BigEndian.PutUint64(value[8:], uint64(oldest))
	seal(value)
}

// record is a checked journal record. It keeps no memory of its own.
type record []byte

func openRecord(value []byte) (record, error) {
	if err := unseal(value); err != nil {
		return nil, err
	}
	if len(value) < recordHeader || (len(value)-recordHeader)%rowSize != 0 {
		return nil, fmt.Errorf("%d bytes are no whole number of rows", len(value))
	}
	return record(value), nil
}

func (r record) len() int { return (len(r) - recordHeader) / rowSize }

// oldest is the time of the oldest outcome.
func (r record) oldest() time.Time { return time.UnixMilli(int64(binary.BigEndian.Uint64(r[8:]))) }

func (r record) device(i int) Device {
	return Device(binary.BigEndian.Uint64(r[recordHeader+i*rowSize:]))
}

// outcome returns row i.
func (r record) outcome(i int) Outcome {
	row := r[recordHeader+i*rowSize:][:rowSize]
	last := binary.BigEndian.Uint64(row[16:])
	return Outcome{
		Device: Device(binary.BigEndian.Uint64(row)),
		Event:  EventID(binary.BigEndian.Uint64(row[8:])),
		Kind:   Kind(last >> 56),
		At:     time.UnixMilli(int64(last<<8) >> 8), // the sign of 56 bits
	}
}

// find returns the first row of a device, or of the one after it.
func (r record) find(d Device) int {
	return sort.Search(r.len(), func(i int) bool { return r.device(i) >= d })
}
