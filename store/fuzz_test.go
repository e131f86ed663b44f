package store

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FuzzWritten: the file WRITTEN says what was written into it, and nothing where its checksum is wrong.
func FuzzWritten(f *testing.F) {
	fs := vfs.NewMem()
	good := func(w *written) []byte {
		var err error
		if w.file, err = fs.OpenReadWrite(writtenName, vfs.WriteCategoryUnspecified); err != nil {
			f.Fatal(err)
		}
		if err := w.save(); err != nil {
			f.Fatal(err)
		}
		value := make([]byte, writtenSize)
		if _, err := w.file.ReadAt(value, 0); err != nil {
			f.Fatal(err)
		}
		return value
	}
	f.Add(good(&written{sequence: 7, manifest: 12, length: 350, sum: 0xdeadbeef}), false)
	f.Add(good(&written{sequence: 1 << 63}), false)
	f.Add(make([]byte, writtenSize), true)
	f.Add([]byte("short"), false)
	f.Fuzz(func(t *testing.T, value []byte, sealed bool) {
		value = bytes.Clone(value)
		if sealed && len(value) >= sealSize {
			seal(value)
		}
		file := vfs.NewMemFile(value)
		w := &written{file: file}
		if err := w.read(); err != nil {
			t.Fatal(err)
		}
		if len(value) < writtenSize || unseal(value[:writtenSize]) != nil {
			if w.sequence != 0 || w.manifest != 0 || w.length != 0 || w.sum != 0 {
				t.Errorf("%x says %+v", value, w)
			}
			return
		}
		if again := good(&written{sequence: w.sequence, manifest: w.manifest, length: w.length, sum: w.sum}); !bytes.Equal(again[8:], value[8:writtenSize]) {
			t.Errorf("%x is written again as %x", value, again)
		}
	})
}

// FuzzKeys: bytes that are taken for a key are exactly those that the key is written as.
func FuzzKeys(f *testing.F) {
	f.Add(appendJournalKey(nil, 1, 2, 3))
	f.Add(appendWaitingKey(nil, 1, 2))
	f.Add(appendTombstoneKey(nil, 1<<32-1, 1<<31-1, 1<<64-1))
	f.Add([]byte("mseed"))
	f.Fuzz(func(t *testing.T, key []byte) {
		taken := 0
		check := func(err error, again []byte) {
			if err != nil {
				return
			}
			if taken++; taken > 1 || !bytes.Equal(again, key) {
				t.Errorf("%x is taken for the key %x", key, again)
			}
		}
		minute, partition, sequence, err := decodeJournalKey(key)
		check(err, appendJournalKey(nil, minute, partition, sequence))
		partition, device, err := decodeWaitingKey(key)
		check(err, appendWaitingKey(nil, partition, device))
		day, partition, token, err := decodeTombstoneKey(key)
		check(err, appendTombstoneKey(nil, day, partition, token))
	})
}
