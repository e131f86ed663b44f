package store

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

func TestASecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Dir = filepath.Join(t.TempDir(), "below", "ledger")
	l := open(t, cfg)
	if info, err := os.Stat(cfg.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v; want 0700", info.Mode(), err)
	}
	if _, err := Open(cfg, nil, quiet); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), cfg.Dir) {
		t.Errorf("opened twice in one process: %v", err)
	}
	child := func() (string, error) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command(self)
		c.Env = append(os.Environ(), openInChild+"="+cfg.Dir)
		out, err := c.Output()
		return string(out), err
	}
	if out, err := child(); err == nil || !strings.Contains(out, ErrLocked.Error()) {
		t.Errorf("a second process: %q, %v", out, err)
	}
	write(t, l, Flush{Watermark: 5})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := child(); err != nil {
		t.Errorf("after the first process ended: %q, %v", out, err)
	}
	l = open(t, cfg)
	if w := partition(t, l, 0).Watermark; w != 5 {
		t.Errorf("watermark %d", w)
	}
}

func TestADirectoryThatIsNotALedgerIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	put := func(t *testing.T, dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, says string
		prepare    func(t *testing.T, dir string)
	}{
		{"someone's files", "not a ledger, and not empty", func(t *testing.T, dir string) { put(t, dir, "thesis.txt", "chapter 1") }},
		{"another's Pebble", "not a ledger, and not empty", func(t *testing.T, dir string) {
			db, err := pebble.Open(dir, &pebble.Options{Logger: pebbleLogger{quiet}})
			if err != nil {
				t.Fatal(err)
			}
			db.Close()
		}},
		{"another marker", "is not a ledger's", func(t *testing.T, dir string) { put(t, dir, markerName, "general ledger, 1998") }},
		{"an empty marker", "is not a ledger's", func(t *testing.T, dir string) { put(t, dir, markerName, "") }},
		{"a later format", "format 2; this pushd reads format 1", func(t *testing.T, dir string) { put(t, dir, markerName, markerText+"2\n") }},
		{"no seed", `"seed" is missing`, func(t *testing.T, dir string) {
			cfg := DefaultConfig()
			cfg.Dir = dir
			l := open(t, cfg)
			write(t, l, Flush{Watermark: 3})
			if err := errors.Join(l.db.Delete(seedKey, pebble.Sync), l.Close()); err != nil {
				t.Fatal(err)
			}
		}},
		{"a broken manifest", "damaged", func(t *testing.T, dir string) {
			cfg := DefaultConfig()
			cfg.Dir = dir
			l := open(t, cfg)
			write(t, l, Flush{Watermark: 3})
			l.Close()
			manifests, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
			if err != nil || len(manifests) == 0 {
				t.Fatal("no manifest", err)
			}
			for _, m := range manifests {
				put(t, dir, filepath.Base(m), strings.Repeat("\xff", 200))
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := DefaultConfig()
			cfg.Dir = t.TempDir()
			test.prepare(t, cfg.Dir)
			before := content(t, cfg.Dir)
			_, err := Open(cfg, prometheus.NewRegistry(), quiet)
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), cfg.Dir) {
				t.Errorf("error %v; want one that says %q and names %s", err, test.says, cfg.Dir)
			}
			after := content(t, cfg.Dir)
			for name, text := range before {
				if after[name] != text {
					t.Errorf("file %s was changed or deleted", name)
				}
			}
		})
	}
}

// content are the files of a directory, but for Pebble's logs and options, and what was written: it replays the ones into
// tables and writes the others anew whenever it opens.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, ".log") && !strings.Contains(name, "OPTIONS-") && filepath.Base(name) != writtenName {
			files[name] = string(text)
		}
	}
	return files
}

func TestOthersMayNotEnterTheDirectory(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]os.FileMode{"made by pushd": 0, "made by others": 0o755, "closed": 0o700} {
		cfg := memConfig()
		cfg.FS, cfg.Dir = nil, filepath.Join(t.TempDir(), "ledger")
		if mode != 0 {
			if err := os.Mkdir(cfg.Dir, mode); err != nil {
				t.Fatal(err)
			}
		}
		open(t, cfg)
		if info, err := os.Stat(cfg.Dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	foreign := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(foreign, "letter"), nil, 0o600), os.Chmod(foreign, 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := openDirectory(vfs.Default, foreign, quiet); err == nil {
		t.Fatal("a directory that is not a ledger's was taken")
	}
	if info, err := os.Stat(foreign); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("a directory that is not a ledger's has mode %v, %v", info.Mode(), err)
	}
}

func TestAFreshDiskAndAFirstStartThatWasCutShortAreNotForeign(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(cfg.Dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"LOCK", markerName + ".new"} {
		if err := os.WriteFile(filepath.Join(cfg.Dir, name), []byte("pus"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, open(t, cfg), Flush{Watermark: 1})
}
