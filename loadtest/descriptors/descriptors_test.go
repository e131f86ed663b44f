package descriptors

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(Checked(m)) }

// tests are some that end with an exit code.
type tests func() int

func (t tests) Run() int { return t() }

func TestWhatTestsLeaveOpenIsNamed(t *testing.T) {
	if len(open()) == 0 {
		t.Skip("there is no /proc here")
	}
	path := filepath.Join(t.TempDir(), "left")
	var file *os.File
	var socket net.Listener
	var out strings.Builder
	code := checked{tests(func() (code int) {
		var err error
		if file, err = os.Create(path); err != nil {
			t.Fatal(err)
		}
		if socket, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		return 0
	}), &out}.Run()
	if code != 1 || !strings.Contains(out.String(), path) || !strings.Contains(out.String(), "socket:") {
		t.Errorf("exit code %d, and it says %q", code, out.String())
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	if err := socket.Close(); err != nil {
		t.Error(err)
	}
	out.Reset()
	for _, want := range []int{0, 3} {
		if code := (checked{tests(func() int { return want }), &out}).Run(); code != want || out.Len() > 0 {
			t.Errorf("tests that end with %d and leave nothing: %d, %q", want, code, out.String())
		}
	}
}
