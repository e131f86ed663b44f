package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// patience is how long something may take that is to happen; only a test that fails waits that long.
	patience = 60 * time.Second
	// stopsWithin is how long a daemon may take to end when told.
	stopsWithin = 10 * time.Second
	// poll is how often it is looked whether something has happened.
	poll = 50 * time.Millisecond
)

// child is pushd as a process of its own. It is ended with the test at the latest, and with the test's process.
type child struct {
	name  string
	cmd   *exec.Cmd
	input io.Closer
	ended chan struct{} // closed when the process has ended and its log is read

	mu   sync.Mutex // guards what stands below
	log  []string
	told bool // to end
}

// startChild starts pushd with a command line.
func startChild(t *testing.T, name string, args ...string) *child {
	t.Helper()
	c := &child{name: name, cmd: exec.Command(os.Args[0], args...), ended: make(chan struct{})}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PUSHD_") {
			c.cmd.Env = append(c.cmd.Env, variable)
		}
	}
	c.cmd.Env = append(c.cmd.Env, asPushd+"=1")
	input, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.input = input
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go c.read(output)
	t.Cleanup(func() {
		c.tell(syscall.SIGKILL)
		<-c.ended
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", c.name, strings.Join(c.lines(30), "\n"))
		}
	})
	return c
}

// read reads the log until the process ends.
func (c *child) read(output io.Reader) {
	defer close(c.ended)
	for scan := bufio.NewScanner(output); scan.Scan(); {
		c.mu.Lock()
		c.log = append(c.log, scan.Text())
		c.mu.Unlock()
	}
	_ = c.cmd.Wait() // how it ended stands in its ProcessState
	c.input.Close()
}

// lines are the last lines of the log.
func (c *child) lines(n int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.log[max(0, len(c.log)-n):]...)
}

// said is the last line of the log that says something; empty where none does.
func (c *child) said(says string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.log) - 1; i >= 0; i-- {
		if strings.Contains(c.log[i], says) {
			return c.log[i]
		}
	}
	return ""
}

// tell sends a signal that ends the process.
func (c *child) tell(how syscall.Signal) {
	c.mu.Lock()
	c.told = true
	c.mu.Unlock()
	_ = c.cmd.Process.Signal(how) // where it is gone already there is nothing to tell
}

// hangUp tells the process to read its files again.
func (c *child) hangUp(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// fell says whether the process ended without being told.
func (c *child) fell() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.ended:
		return !c.told
	default:
		return false
	}
}

// runs says whether the process neither ended nor was told to.
func (c *child) runs() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.ended:
		return false
	default:
		return !c.told
	}
}

// kill ends the process as a crash would.
func (c *child) kill() {
	c.tell(syscall.SIGKILL)
	<-c.ended
}

// stop ends the process as an operator would: it has to end with exit code 0 and in time.
func (c *child) stop(t *testing.T) {
	t.Helper()
	began := time.Now()
	c.tell(syscall.SIGTERM)
	if code := c.exit(t); code != exitOK {
		t.Errorf("%s ended with exit code %d", c.name, code)
	}
	if took := time.Since(began); took > stopsWithin {
		t.Errorf("%s took %v to end", c.name, took)
	} else {
		t.Logf("%s ended %v after SIGTERM", c.name, took.Round(time.Millisecond))
	}
}

// exit waits for the end and returns the exit code.
func (c *child) exit(t *testing.T) int {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.ended:
		return c.cmd.ProcessState.ExitCode()
	case <-timer.C:
		t.Fatalf("%s does not end", c.name)
		return 0
	}
}

var adminAddress = regexp.MustCompile(`msg=running .*admin=(\S+)`)

// ask gets a path of the admin listener, once there is one.
func (c *child) ask(t *testing.T, path string) (int, string) {
	t.Helper()
	eventually(t, c.name+" runs", func() bool { return c.said("msg=running") != "" }, c)
	status, body, _ := get(t, "http://"+adminAddress.FindStringSubmatch(c.said("msg=running"))[1]+path)
	return status, body
}

// ready waits until the daemon is ready.
func (c *child) ready(t *testing.T) {
	t.Helper()
	eventually(t, c.name+" is ready", func() bool { status, _ := c.ask(t, "/readyz"); return status == 200 }, c)
}

// metric is the value of a metric without labels.
func (c *child) metric(t *testing.T, name string) float64 {
	t.Helper()
	_, body := c.ask(t, "/metrics")
	for line := range strings.Lines(body) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("%s has no metric %s", c.name, name)
	return 0
}

// eventually waits until something has happened. The processes must not end meanwhile, unless they were told.
func eventually(t *testing.T, what string, happened func() bool, running ...*child) {
	t.Helper()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for began := time.Now(); !happened(); <-tick.C {
		for _, c := range running {
			if c.fell() {
				t.Fatalf("%s ended by itself, before this: %s", c.name, what)
			}
		}
		if time.Since(began) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// A core dump would carry tokens and keys to the disk.
func TestADaemonLeavesNoCoreDump(t *testing.T) {
	t.Parallel()
	p := playOf(t, newLoad(1, 22))
	daemon := p.daemon("daemon")
	daemon.ready(t)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", daemon.cmd.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("there is no /proc here")
	}
	if err != nil || !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
		t.Errorf("%v\n%s", err, limits)
	}
	daemon.stop(t)
}

func TestADaemonOfAFaultyConfigurationIsNotStarted(t *testing.T) {
	t.Parallel()
	config := file(t, "kafka:\n  brokers: nowhere\nmerge:\n  intervall: 30s\n")
	c := startChild(t, "the daemon", "run", "--config", config)
	if code := c.exit(t); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	for _, fault := range []string{`"nowhere" is not host:port`, "intervall", "nothing was started: 2 faults"} {
		if c.said(fault) == "" {
			t.Errorf("it does not say %q", fault)
		}
	}
	none := t.TempDir()
	c = startChild(t, "the daemon", "run", "--admin.listen=127.0.0.1:0", "--tenants.dir="+none, "--store.dir="+filepath.Join(none, "ledger"))
	if code := c.exit(t); code != exitUsage || c.said(fmt.Sprintf("tenants.dir: %s", none)) == "" {
		t.Errorf("without tenants: exit code %d, want %d, and the directory's name", code, exitUsage)
	}
}
