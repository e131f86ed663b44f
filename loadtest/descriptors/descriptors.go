// Package descriptors fails a package's tests that leave files, sockets or pipes open, as goleak does for goroutines:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }
//
// It looks into /proc; where there is none, it sees nothing.
package descriptors

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Tests are the tests of a package: *testing.M.
type Tests interface{ Run() int }

// Checked are tests that fail when one of them left a descriptor open.
func Checked(t Tests) Tests { return checked{t, os.Stderr} }

type checked struct {
	tests Tests
	out   io.Writer
}

const (
	// patience is how long what the tests closed may take to be closed: goroutines that do so may be about to.
	patience = 2 * time.Second
	pause    = 10 * time.Millisecond
)

// Run runs the tests, and returns their exit code, or 1.
func (c checked) Run() int {
	before := open()
	code := c.tests.Run()
	left := since(before)
	for began := time.Now(); len(left) > 0 && time.Since(began) < patience; left = since(before) {
		time.Sleep(pause)
	}
	if len(left) == 0 {
		return code
	}
	fmt.Fprintf(c.out, "descriptors: %d were open before the tests, and these are open since: %s\n", len(before), strings.Join(left, ", "))
	return max(code, 1)
}

// since are the descriptors that are open now and were not before.
func since(before map[string]string) []string {
	var left []string
	for number, what := range open() {
		if before[number] != what {
			left = append(left, number+" "+what)
		}
	}
	slices.Sort(left)
	return left
}

// open are the process's descriptors by number, and what they are of. The runtime opens some of its own when it needs them,
// and keeps them.
func open() map[string]string {
	const of = "/proc/self/fd"
	all := make(map[string]string)
	entries, err := os.ReadDir(of)
	if err != nil {
		return all
	}
	for _, entry := range entries {
		what, err := os.Readlink(filepath.Join(of, entry.Name()))
		if err != nil || strings.HasPrefix(what, "/proc/") || what == "anon_inode:[eventpoll]" || what == "anon_inode:[eventfd]" {
			continue // it was the one for reading the directory, or is of the runtime's poller
		}
		all[entry.Name()] = what
	}
	return all
}
