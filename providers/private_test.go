package providers

import (
	"io/fs"
	"testing"
)

func TestWhoMayReadAFileOfSecrets(t *testing.T) {
	t.Parallel()
	const root, pushd = 0, 1000
	for _, row := range []struct {
		mode  fs.FileMode
		owner int
		want  bool
	}{
		{0o600, pushd, true},
		{0o400, pushd, true},
		{0o700, pushd, true},
		{0o640, pushd, false},
		{0o440, pushd, false},
		{0o604, pushd, false},
		{0o644, pushd, false},
		{0o620, pushd, false},
		{0o600, root, true},
		{0o440, root, true}, // as systemd and Kubernetes hand it over
		{0o640, root, true},
		{0o660, root, false},
		{0o450, root, false},
		{0o604, root, false},
		{0o444, root, false},
		{0o644, root, false},
	} {
		if got := private(row.mode, row.owner); got != row.want {
			t.Errorf("mode %04o of user %d: private is %v", row.mode, row.owner, got)
		}
	}
}
