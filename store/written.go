package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The file WRITTEN says how far the ledger was written. Pebble takes a log that was cut for one whose end was never written,
// and a manifest with a wrong byte for one that ends before it: what came after would be gone without a word. It is written
// in place behind each sync, and not synced itself: after a power loss it may say too little, never too much.
//
//	0        4         5     8          16         24                  32
//	crc32c   version   0     sequence   manifest   length of it that   crc32c of that (4)
//	of the rest              (see       (its       was synced
//	                         mlast)     number)
const (
	writtenName = "WRITTEN"
	writtenSize = 36
)

const manifestPrefix = "MANIFEST-"

// written is that file. A damaged or missing one says nothing.
type written struct {
	file vfs.File

	mu       sync.Mutex // guards what is below, and writing it
	sequence uint64
	manifest uint64
	length   uint64
	sum      uint32
}

// openWritten reads the file, and checks the manifest that it names. Nothing has touched the ledger before.
func openWritten(fs vfs.FS, dir string) (*written, error) {
	f, err := fs.OpenReadWrite(fs.PathJoin(dir, writtenName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", writtenName, err)
	}
	w := &written{file: f}
	if err := w.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", writtenName, err), f.Close())
	}
	if err := w.checkManifest(fs, dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

func (w *written) read() error {
	value := make([]byte, writtenSize)
	switch n, err := w.file.ReadAt(value, 0); {
	case n < writtenSize && (err == nil || errors.Is(err, io.EOF)):
		return nil
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	if unseal(value) == nil {
		w.sequence = binary.BigEndian.Uint64(value[8:])
		w.manifest = binary.BigEndian.Uint64(value[16:])
		w.length = binary.BigEndian.Uint64(value[24:])
		w.sum = binary.BigEndian.Uint32(value[32:])
	}
	return nil
}

// checkManifest reads what was synced of the manifest. One that is gone was replaced by another.
func (w *written) checkManifest(fs vfs.FS, dir string) error {
	name := fmt.Sprintf("%s%06d", manifestPrefix, w.manifest)
	if _, err := fs.Stat(fs.PathJoin(dir, name)); w.length == 0 || err != nil {
		return nil
	}
	f, err := fs.Open(fs.PathJoin(dir, name))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, io.LimitReader(f, int64(w.length)))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if uint64(n) < w.length || sum.Sum32() != w.sum {
		return damaged("its file %s is not what was written: %d bytes with the checksum %08x, not %d with %08x", name, n, sum.Sum32(), w.length, w.sum)
	}
	return nil
}

// reached notes that all flushes before a sequence are durable.
func (w *written) reached(sequence uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sequence = sequence
	return w.save()
}

// manifested notes how much of a manifest is durable.
func (w *written) manifested(number, length uint64, sum uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.manifest, w.length, w.sum = number, length, sum
	return w.save()
}

func (w *written) save() error {
	var value [writtenSize]byte
	binary.BigEndian.PutUint64(value[8:], w.sequence)
	binary.BigEndian.PutUint64(value[16:], w.manifest)
	binary.BigEndian.PutUint64(value[24:], w.length)
	binary.BigEndian.PutUint32(value[32:], w.sum)
	seal(value[:])
	_, err := w.file.WriteAt(value[:], 0)
	return err
}

func (w *written) close() error { return errors.Join(w.file.Sync(), w.file.Close()) }

// manifest is a file of the disk that is a manifest: it notes what is synced of it.
type manifest struct {
	diskFile
	written *written
	number  uint64
	length  uint64
	sum     uint32
}

// asManifest makes a manifest of a file that has the name of one.
func asManifest(f diskFile, w *written, name string) vfs.File {
	m := &manifest{diskFile: f, written: w}
	if number, is := strings.CutPrefix(f.disk.PathBase(name), manifestPrefix); !is || w == nil {
		return &f
	} else if _, err := fmt.Sscan(strings.TrimLeft(number, "0"), &m.number); err != nil {
		return &f
	}
	return m
}

func (m *manifest) Write(p []byte) (int, error) {
	m.length += uint64(len(p))
	m.sum = crc32.Update(m.sum, castagnoli, p)
	return m.diskFile.Write(p)
}

func (m *manifest) Sync() error     { return m.synced(m.diskFile.Sync) }
func (m *manifest) SyncData() error { return m.synced(m.diskFile.SyncData) }

func (m *manifest) synced(sync func() error) error {
	length, sum := m.length, m.sum
	if err := sync(); err != nil || m.disk.frozen() {
		return err
	}
	return m.written.manifested(m.number, length, sum)
}
