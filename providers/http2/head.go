package http2

import (
	"bytes"

	"golang.org/x/net/http2/hpack"
)

// maxHeads bounds how many heads' encodings a connection keeps. A credential has one or two.
const maxHeads = 64

// heads encodes heads for one connection and keeps the encodings. They are made of indexes into the dynamic table, so
// each is good until something is put into the table after it. Client.mu guards it.
type heads struct {
	encoder *hpack.Encoder
	block   bytes.Buffer
	table   int // counts the changes of the dynamic table
	known   map[*Head]*encodedHead
}

type encodedHead struct {
	pseudo, fields []byte
	table          int // heads.table when it was made
}

func newHeads() *heads {
	h := &heads{known: make(map[*Head]*encodedHead)}
	h.encoder = hpack.NewEncoder(&h.block)
	return h
}

// resize obeys the server's SETTINGS_HEADER_TABLE_SIZE: the next head that is encoded begins with the change. (The encoder
// takes no more than 4096 bytes, whatever the server offers.)
func (h *heads) resize(size uint32) {
	h.encoder.SetMaxDynamicTableSize(size)
	h.table++
}

// encode gives the encoding of a head: the pseudo-header fields before :path, and the fields after it. It is good until
// the next call.
func (h *heads) encode(head *Head) (pseudo, fields []byte) {
	if e := h.known[head]; e != nil && e.table == h.table {
		return e.pseudo, e.fields
	}
	h.block.Reset()
	before := h.table
	h.write(head.pseudo)
	n := h.block.Len()
	h.write(head.fields)
	pseudo, fields = h.block.Bytes()[:n:n], h.block.Bytes()[n:]
	if h.table == before { // made of what was in the table already: the next time it is the same
		if len(h.known) >= maxHeads {
			clear(h.known)
		}
		h.known[head] = &encodedHead{bytes.Clone(pseudo), bytes.Clone(fields), h.table}
	}
	return pseudo, fields
}

// write encodes fields, and notes whether that changed the table: a field is put into it (01xxxxxx), or its size changes
// (001xxxxx; RFC 7541, section 6).
func (h *heads) write(fields []hpack.HeaderField) {
	for _, f := range fields {
		n := h.block.Len()
		if err := h.encoder.WriteField(f); err != nil {
			panic("http2: a buffer takes no bytes: " + err.Error())
		}
		if first := h.block.Bytes()[n]; first&0xc0 == 0x40 || first&0xe0 == 0x20 {
			h.table++
		}
	}
}
