package main

import (
	"log/slog"
	"os"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// folderWatch tells when something changes in folders. It is a hint: what changed, whoever reads the files finds out, and
// where the system tells nothing, the poll does. Folders are watched, not files: a file that is replaced by another of its
// name is not the file that was watched.
type folderWatch struct {
	watcher *fsnotify.Watcher // nil where the system gives none
	watched map[string]inode  // which folder had the name when it was watched
	missed  map[string]bool   // folders that cannot be watched: said once
	log     *slog.Logger
}

func newFolderWatch(log *slog.Logger) *folderWatch {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("the system tells of no changed files: they are only looked at every tenants.poll", "error", err)
	}
	return &folderWatch{watcher: watcher, watched: make(map[string]inode), missed: make(map[string]bool), log: log}
}

// on watches these folders, and no others. It says whether one of them was not watched until now. A folder is watched once,
// by whichever of its names; and anew, where another one has taken its name.
func (w *folderWatch) on(folders []string) (fresh bool) {
	if w.watcher == nil {
		return false
	}
	want, named := make(map[string]inode), make(map[inode]bool)
	for _, folder := range folders {
		id, err := inodeOf(folder)
		if err != nil {
			w.miss(folder, err)
			continue
		}
		if !named[id] {
			named[id], want[folder] = true, id
		}
	}
	for _, folder := range w.watcher.WatchList() { // a folder that is gone is not in it any more
		if id, wanted := want[folder]; wanted && id == w.watched[folder] {
			delete(want, folder)
			continue
		}
		_ = w.watcher.Remove(folder) // it may have ended by itself, with the folder
	}
	for folder, id := range want {
		if err := w.watcher.Add(folder); err != nil {
			w.miss(folder, err)
			continue
		}
		w.watched[folder], fresh = id, true
		delete(w.missed, folder)
	}
	return fresh
}

func (w *folderWatch) miss(folder string, err error) {
	if !w.missed[folder] {
		w.log.Warn("a folder cannot be watched: its files are only looked at every tenants.poll", "folder", folder, "error", err)
	}
	w.missed[folder] = true
}

// inode is which folder it is, whatever it is called.
type inode struct{ device, number uint64 }

func inodeOf(folder string) (inode, error) {
	var stat syscall.Stat_t
	if err := syscall.Stat(folder, &stat); err != nil {
		return inode{}, &os.PathError{Op: "stat", Path: folder, Err: err}
	}
	return inode{uint64(stat.Dev), stat.Ino}, nil
}

// changes is a channel of changes; nil, which never tells any, where the system does not.
func (w *folderWatch) changes() <-chan fsnotify.Event {
	if w.watcher == nil {
		return nil
	}
	return w.watcher.Events
}

// errors is a channel of times when changes may have been missed.
func (w *folderWatch) errors() <-chan error {
	if w.watcher == nil {
		return nil
	}
	return w.watcher.Errors
}

func (w *folderWatch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close() // nothing of it is needed any more
	}
}
