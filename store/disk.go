package store

import (
	"errors"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the file system that Pebble is given. With the first write that the real one does not take the ledger is broken,
// and its files stay as they are from then on: what Pebble still writes goes into memory, and is thrown away.
//
// Pebble would not survive the error. Where it cannot rotate its log it ends the process in the middle of a lock, where it
// cannot write its manifest it asks for the same, and a table it tries again without end and without a pause. It is not told,
// so it ends in order when the ledger is closed; fault.call is what tells the ledger's callers. And nothing is
// written behind a write that failed, so that what is on the disk is what a crash at that moment would have left.
type disk struct {
	vfs.FS
	fault   *fault
	written *written
	scratch *vfs.MemFS // what is written after the fault
}

func newDisk(fs vfs.FS, f *fault) *disk { return &disk{FS: fs, fault: f, scratch: vfs.NewMem()} }

func (d *disk) frozen() bool { return d.fault.err() != nil }

// failed says whether a write failed, or comes after one that did.
func (d *disk) failed(err error) bool {
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrExist) {
		d.fault.happen(err)
		return true
	}
	return false
}

// change does what changes the disk, unless it is frozen.
func (d *disk) change(do func() error) error {
	if d.frozen() {
		return nil
	}
	if err := do(); !d.failed(err) {
		return err
	}
	return nil
}

// create makes a file, on the disk or where it is frozen in memory.
func (d *disk) create(name string, do func() (vfs.File, error)) (vfs.File, error) {
	if !d.frozen() {
		f, err := do()
		if !d.failed(err) {
			return d.opened(name, f, err)
		}
	}
	if err := d.scratch.MkdirAll(d.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	return d.scratch.Create(name, vfs.WriteCategoryUnspecified)
}

func (d *disk) opened(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return asManifest(diskFile{f, d}, d.written, name), nil
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.create(name, func() (vfs.File, error) { return d.FS.Create(name, c) })
}

func (d *disk) ReuseForWrite(from, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.create(name, func() (vfs.File, error) { return d.FS.ReuseForWrite(from, name, c) })
}

func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return d.create(name, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, c, o...) })
}

func (d *disk) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	if d.frozen() {
		if f, err := d.scratch.Open(name, o...); err == nil {
			return f, nil
		}
	}
	return d.FS.Open(name, o...)
}

func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	return d.opened(name, f, err)
}

func (d *disk) Stat(name string) (vfs.FileInfo, error) {
	if d.frozen() {
		if info, err := d.scratch.Stat(name); err == nil {
			return info, nil
		}
	}
	return d.FS.Stat(name)
}

func (d *disk) Remove(name string) error {
	return d.change(func() error { return d.FS.Remove(name) })
}

func (d *disk) RemoveAll(name string) error {
	return d.change(func() error { return d.FS.RemoveAll(name) })
}

func (d *disk) Rename(from, to string) error {
	return d.change(func() error { return d.FS.Rename(from, to) })
}

func (d *disk) Link(from, to string) error {
	return d.change(func() error { return d.FS.Link(from, to) })
}

func (d *disk) MkdirAll(name string, mode os.FileMode) error {
	return d.change(func() error { return d.FS.MkdirAll(name, mode) })
}

func (d *disk) Unwrap() vfs.FS { return d.FS }

// diskFile is a file of the disk, whose writes go nowhere when it is frozen.
type diskFile struct {
	vfs.File
	disk *disk
}

func (f *diskFile) Write(p []byte) (int, error) {
	return len(p), f.disk.change(func() error {
		n, err := f.File.Write(p)
		return short(n, p, err)
	})
}

func (f *diskFile) WriteAt(p []byte, at int64) (int, error) {
	return len(p), f.disk.change(func() error {
		n, err := f.File.WriteAt(p, at)
		return short(n, p, err)
	})
}

func short(n int, p []byte, err error) error {
	if err == nil && n < len(p) {
		return io.ErrShortWrite
	}
	return err
}

// Preallocate only spares time later: that it fails means nothing.
func (f *diskFile) Preallocate(at, n int64) error {
	if f.disk.frozen() {
		return nil
	}
	return f.File.Preallocate(at, n)
}

func (f *diskFile) Sync() error     { return f.disk.change(f.File.Sync) }
func (f *diskFile) SyncData() error { return f.disk.change(f.File.SyncData) }

func (f *diskFile) SyncTo(n int64) (full bool, err error) {
	err = f.disk.change(func() (err error) {
		full, err = f.File.SyncTo(n)
		return err
	})
	return full, err
}

// Close closes the file in any case: it is a descriptor.
func (f *diskFile) Close() error {
	if err := f.File.Close(); !f.disk.failed(err) {
		return err
	}
	return nil
}
