package providers

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// CheckPrivate says what is wrong with who may read a file of secrets, and how to mend it.
func CheckPrivate(path string, info fs.FileInfo) error {
	owner := os.Geteuid()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(stat.Uid)
	}
	if mode := info.Mode().Perm(); !private(mode, owner, os.Geteuid()) {
		return fmt.Errorf("%s can be read by others (mode %04o): chmod 600 %s", path, mode, path)
	}
	return nil
}

// private: nobody but the owner may read it. Where the owner is root and this process another user, the group may read it
// too, for that is how systemd (LoadCredential=) and Kubernetes (fsGroup) hand a file to a service.
func private(mode fs.FileMode, owner, user int) bool {
	if owner == 0 && user != 0 {
		return mode&0o037 == 0
	}
	return mode&0o077 == 0
}
