package store

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// errDamaged: what is in the ledger's directory is not what was written.
var errDamaged = errors.New("it is damaged")

// damaged says what is, and how to go on.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s; put back a copy of the directory, or move it away: without it pushd begins anew where Kafka was "+
		"committed, and the wakes that waited in it are lost", errDamaged, fmt.Sprintf(format, args...))
}

// judged says of an error at opening whether the ledger is damaged. All that Pebble refuses is damage, but for what its
// disk refuses and what a newer Pebble wrote.
func judged(err error) error {
	var errno syscall.Errno
	disk := errors.As(err, &errno) && errno != syscall.ENOENT
	if err == nil || disk || errors.Is(err, ErrBroken) || errors.Is(err, errDamaged) || strings.Contains(err.Error(), "format major version") {
		return err
	}
	return damaged("%s", firstLine(err))
}

// found is judged for what is found out later, when something is read. The ledger may be set aside at the next start only.
func (l *Ledger) found(err error) error {
	if err != nil && !errors.Is(err, errDamaged) && pebble.IsCorruptionError(err) {
		err = damaged("%s", firstLine(err))
	}
	if errors.Is(err, errDamaged) && l.cfg.SetAside {
		l.condemn(err)
	}
	return err
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// damagedName is a file that says that the directory is to be set aside at the next start, and why.
const damagedName = "DAMAGED"

// condemn leaves word that the ledger is to be set aside when it is opened again.
func (l *Ledger) condemn(reason error) {
	fs := l.cfg.FS
	f, err := fs.Create(fs.PathJoin(l.cfg.Dir, damagedName), vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = io.WriteString(f, firstLine(reason)+"\n")
		err = errors.Join(err, f.Sync(), f.Close(), syncDirectory(fs, l.cfg.Dir))
	}
	if err != nil {
		l.logger.Error("ledger: it cannot be marked as damaged; move it away", "dir", l.cfg.Dir, "error", err)
	}
}

// checkCondemned fails where condemn left word.
func checkCondemned(fs vfs.FS, dir string) error {
	f, err := fs.Open(fs.PathJoin(dir, damagedName))
	if err != nil {
		return nil
	}
	defer f.Close()
	reason, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return fmt.Errorf("read %s: %w", damagedName, err)
	}
	return damaged("its file %s says: %s", damagedName, strings.TrimSpace(string(reason)))
}

// setAside gives a damaged ledger another name, which is free, and returns it.
func setAside(fs vfs.FS, dir string) (string, error) {
	for i := 1; ; i++ {
		to := fmt.Sprintf("%s.damaged.%d", strings.TrimRight(dir, "/"), i)
		if _, err := fs.Stat(to); err == nil {
			continue
		}
		if err := fs.Rename(dir, to); err != nil {
			return "", fmt.Errorf("set it aside as %s: %w; move it away yourself", to, err)
		}
		return to, syncDirectory(fs, fs.PathDir(to))
	}
}
