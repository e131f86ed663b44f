package providers

import (
	"io/fs"
	"testing"
)

func TestWhoMayReadAFileOfSecrets(t *testing.T) {
	t.Parallel()
	const root, pushd = 0, 1000
	for _, row := range []struct {
		mode        fs.FileMode
		owner, user int
		want        bool
	}{
		{0o600, pushd, pushd, true},
		{0o400, pushd, pushd, true},
		{0o700, pushd, pushd, true},
		{0o640, pushd, pushd, false},
		{0o440, pushd, pushd, false},
		{0o604, pushd, pushd, false},
		{0o644, pushd, pushd, false},
		{0o620, pushd, pushd, false},
		{0o600, root, root, true},
		{0o640, root, root, false},
		{0o440, root, pushd, true}, // as systemd and Kubernetes hand it over
		{0o640, root, pushd, true},
		{0o660, root, pushd, false},
		{0o450, root, pushd, false},
		{0o444, root, pushd, false},
		{0o644, root, pushd, false},
	} {
		if got := private(row.mode, row.owner, row.user); got != row.want {
			t.Errorf("mode %04o of user %d, read by user %d: private is %v", row.mode, row.owner, row.user, got)
		}
	}
}
