package queue

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// What is done beyond a committed offset is stored with it, as the metadata that Kafka keeps for each. Whoever owns the
// partition next does not handle those records again. The metadata is this, in base64 without padding; integers are
// big-endian:
//
//	0       4         5          21             25       33                       2081
//	"pshd"  version   topic id   leader epoch   offset   bit 0, 1, 2 ... 16383    crc32c of all before
//
// Bit i is the i%8-th lowest of byte i/8, and says that offset+i is done. The size never changes: there is no codec to
// choose, and none that overflows. Where nothing beyond the offset is done the metadata is empty.
//
// A bit is about a record, and a record is an offset of one log. So whatever is not certain to be about this offset of this
// log means that nothing is known beyond it: that costs duplicates, a window of them at most, and never a wake.
const (
	metadataMagic   = "pshd"
	metadataVersion = 1
	metadataHeader  = len(metadataMagic) + 1 + 16 + 4 + 8
	metadataSize    = metadataHeader + WindowSize/8 + 4

	// maxMetadata is what brokers take by default (offset.metadata.max.bytes).
	maxMetadata = 4096
)

// A window that does not fit is a fault of the program; this does not compile then.
const _ = uint(maxMetadata - (metadataSize*4+2)/3)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Metadata is what a commit of this progress has beside its offset, in a log that has this topic id and leader epoch.
func (p *Progress) Metadata(topic TopicID, epoch int32) string {
	return encodeMetadata(p, lineage{topic, epoch})
}

// Resume is the progress at a committed offset of that log, by the metadata beside it. Where it says nothing that can be
// relied on, the error says why, and nothing beyond the offset is known to be done.
func Resume(offset int64, metadata string, topic TopicID, epoch int32) (Progress, error) {
	if metadata == "" {
		return At(offset), nil
	}
	return decodeMetadata(metadata, offset, lineage{topic, epoch})
}

// encodeMetadata is the metadata of a committed progress.
func encodeMetadata(p *Progress, of lineage) string {
	if p.Beyond() == 0 || of.topic == (TopicID{}) {
		return ""
	}
	b := make([]byte, 0, metadataSize)
	b = append(b, metadataMagic...)
	b = append(b, metadataVersion)
	b = append(b, of.topic[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(of.epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(p.Watermark))
	for _, word := range p.done {
		b = binary.LittleEndian.AppendUint64(b, word) // so that bit i is in byte i/8
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return base64.RawStdEncoding.EncodeToString(b)
}

// errForeign: the metadata is whole, but about another log or offset.
var errForeign = errors.New("it is about another log")

// decodeMetadata is the progress at a committed offset of a log. Of anything that encodeMetadata has not made for just that
// it says why not; then nothing beyond the offset is known to be done.
func decodeMetadata(text string, offset int64, of lineage) (Progress, error) {
	p := At(offset)
	if len(text) != base64.RawStdEncoding.EncodedLen(metadataSize) {
		return p, fmt.Errorf("it has %d characters, not %d", len(text), base64.RawStdEncoding.EncodedLen(metadataSize))
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != metadataSize { // line ends are left out by the decoder
		return p, errors.New("it is not base64")
	}
	sum := b[metadataSize-4:]
	switch {
	case string(b[:4]) != metadataMagic:
		return p, fmt.Errorf("it begins with %x, not with %q", b[:4], metadataMagic)
	case b[4] != metadataVersion:
		return p, fmt.Errorf("its version is %d; this pushd reads %d", b[4], metadataVersion)
	case binary.BigEndian.Uint32(sum) != crc32.Checksum(b[:metadataSize-4], castagnoli):
		return p, errors.New("its checksum is wrong")
	}
	wrote := lineage{topic: TopicID(b[5:21]), epoch: int32(binary.BigEndian.Uint32(b[21:]))}
	switch at := int64(binary.BigEndian.Uint64(b[25:])); {
	case wrote.topic != of.topic:
		return p, fmt.Errorf("%w: topic id %v, and this is %v", errForeign, wrote.topic, of.topic)
	case wrote.epoch != of.epoch:
		return p, fmt.Errorf("%w: leader epoch %d, and this is %d", errForeign, wrote.epoch, of.epoch)
	case at != offset:
		return p, fmt.Errorf("%w: offset %d, and committed is %d", errForeign, at, offset)
	}
	for i := range p.done {
		p.done[i] = binary.LittleEndian.Uint64(b[metadataHeader+8*i:])
	}
	return p, nil
}
