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
	mode, more := info.Mode().Perm(), ""
	switch {
	case private(mode, owner):
		return nil
	case owner == 0:
		more = ", or 640 where pushd reads it by its group"
	}
	return fmt.Errorf("%s can be read by others (mode %04o): chmod 600 %s%s", path, mode, path, more)
}

// private: nobody but the owner may read it. Where the owner is root the group may read it too, for that is how systemd
// (LoadCredential=, or a group of the unit's) and Kubernetes (fsGroup) hand a file to a service. Who asks does not matter: what
// is right for the service is right for root, who checks it before.
func private(mode fs.FileMode, owner int) bool {
	if owner == 0 {
		return mode&0o037 == 0
	}
	return mode&0o077 == 0
}
