package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrLocked: another process has the ledger open.
var ErrLocked = errors.New("another process has it open; one directory serves one process")

// The marker is a file that says that a directory is a ledger, and of which format. It is read before Pebble touches
// anything, and written before Pebble makes anything.
const (
	markerName = "LEDGER"
	markerText = "pushd ledger, format "
)

// openDirectory makes the directory where there is none, refuses one that is not a ledger, and locks it.
func openDirectory(fs vfs.FS, dir string, logger *slog.Logger) (*pebble.Lock, error) {
	if err := makeDirectory(fs, dir); err != nil {
		return nil, fmt.Errorf("make the directory: %w", err)
	}
	marked, err := checkOurs(fs, dir)
	if err != nil {
		return nil, err
	}
	if fs == vfs.Default {
		closeDirectory(dir, logger)
	}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		if errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "lock held by current process") {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("lock it: %w", err)
	}
	if marked {
		err = checkMarker(fs, dir)
	} else {
		err = writeMarker(fs, dir)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// closeDirectory keeps others out of a directory that was made by somebody else than pushd: the ledger holds tokens.
func closeDirectory(dir string, logger *slog.Logger) {
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		logger.Warn("ledger: others may enter its directory, which holds tokens; make it mode 0700", "dir", dir, "mode", info.Mode().Perm(), "error", err)
		return
	}
	logger.Info("ledger: others may not enter its directory any more, which holds tokens", "dir", dir, "mode", info.Mode().Perm())
}

// makeDirectory makes the directory and those above it that are missing, and syncs the names of all it made: without
// that, a new ledger would vanish whole with the machine's power.
func makeDirectory(fs vfs.FS, dir string) error {
	var above []string // of the missing
	for missing := dir; ; {
		if _, err := fs.Stat(missing); err == nil {
			break
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		parent := fs.PathDir(missing)
		if parent == missing {
			break
		}
		above = append(above, parent)
		missing = parent
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, parent := range above {
		if err := syncDirectory(fs, parent); err != nil {
			return err
		}
	}
	return nil
}

func syncDirectory(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkOurs says whether the directory has a marker, and refuses one that has other things instead.
func checkOurs(fs vfs.FS, dir string) (marked bool, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return false, fmt.Errorf("list the directory: %w", err)
	}
	foreign := ""
	for _, name := range names {
		switch name {
		case markerName:
			return true, nil
		case "LOCK", markerName + ".new", "lost+found":
			// What a first start leaves that ended before the marker was there, and what a new disk has.
		default:
			foreign = name
		}
	}
	if foreign != "" {
		return false, fmt.Errorf("it is not a ledger, and not empty (it has %q); name an empty directory", foreign)
	}
	return false, nil
}

func checkMarker(fs vfs.FS, dir string) error {
	f, err := fs.Open(fs.PathJoin(dir, markerName))
	if err != nil {
		return fmt.Errorf("read %s: %w", markerName, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil {
		return fmt.Errorf("read %s: %w", markerName, err)
	}
	version, ours := strings.CutPrefix(strings.TrimSpace(string(text)), markerText)
	switch {
	case !ours:
		return fmt.Errorf("its file %s is not a ledger's; name an empty directory, or put the file back from a copy", markerName)
	case version != fmt.Sprint(formatVersion):
		return fmt.Errorf("it has format %s; this pushd reads format %d: use the pushd that wrote it, or name an empty directory",
			version, formatVersion)
	}
	return nil
}

// writeMarker writes the marker under another name first, so that it is whole where it is.
func writeMarker(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, markerName)
	f, err := fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("make %s: %w", markerName, err)
	}
	_, err = fmt.Fprintf(f, "%s%d\n", markerText, formatVersion)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", markerName, err)
	}
	if err := fs.Rename(path+".new", path); err != nil {
		return fmt.Errorf("name %s: %w", markerName, err)
	}
	if err := syncDirectory(fs, dir); err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	return nil
}
