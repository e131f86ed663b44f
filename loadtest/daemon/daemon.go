// Package daemon runs "pushd run" as a process of its own, so that its CPU and memory are seen alone.
package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

const (
	// startsWithin is how long the daemon may take to be ready: with thousands of tenants it reads as many certificates.
	startsWithin = 2 * time.Minute
	// stopsWithin is how long it may take to end when told; what is under way is answered by then.
	stopsWithin = 30 * time.Second
	// tail is how many lines of its log are kept for the case that it ends by itself.
	tail = 15
)

// Daemon is a running one. It is its starter's to stop.
type Daemon struct {
	Proc  procfs.Proc   // what it uses
	Ended chan struct{} // closed when the process has ended
	Addr  string        // of the admin listener, once it is ready

	cmd   *exec.Cmd
	admin chan string // gets the address of the admin listener once

	mu  sync.Mutex // guards log
	log []string   // the last lines
}

// Build builds pushd below dir, from the module that the working directory is in.
func Build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "pushd")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "pushd/cmd/pushd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build pushd: %w; call this in its checkout, or name a binary with --pushd\n%s", err, out)
	}
	return path, nil
}

var runningLine = regexp.MustCompile(`msg=running .*admin=(\S+)`)

// Start starts pushd with flags; its log goes to w too. It is ready when Ready returns.
func Start(path string, flags []string, w io.Writer) (*Daemon, error) {
	d := &Daemon{cmd: exec.Command(path, append([]string{"run", "--log.format=text"}, flags...)...), admin: make(chan string, 1), Ended: make(chan struct{})}
	for _, variable := range os.Environ() { // settings come from here only
		if !strings.HasPrefix(variable, "PUSHD_") {
			d.cmd.Env = append(d.cmd.Env, variable)
		}
	}
	output, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start pushd: %w", err)
	}
	go d.read(output, w)
	if d.Proc, err = procfs.NewProc(d.cmd.Process.Pid); err != nil {
		return nil, errors.Join(fmt.Errorf("CPU and memory of the daemon are read from /proc: %w", err), d.Stop())
	}
	return d, nil
}

// read reads the log until the process ends.
func (d *Daemon) read(output io.Reader, w io.Writer) {
	defer close(d.Ended)
	for scan := bufio.NewScanner(output); scan.Scan(); {
		line := scan.Text()
		fmt.Fprintln(w, line)
		if m := runningLine.FindStringSubmatch(line); m != nil {
			d.admin <- m[1]
		}
		d.mu.Lock()
		d.log = append(d.log[max(0, len(d.log)-tail+1):], line)
		d.mu.Unlock()
	}
	_ = d.cmd.Wait() // how it ended stands in its ProcessState
}

// Ready waits until the daemon does its work.
func (d *Daemon) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startsWithin)
	defer cancel()
	select {
	case <-ctx.Done():
		return fmt.Errorf("pushd does not run: %w", ctx.Err())
	case <-d.Ended:
		return d.Fell()
	case d.Addr = <-d.admin:
	}
	for ticker := time.NewTicker(50 * time.Millisecond); ; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.Addr+"/readyz", nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				ticker.Stop()
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pushd is not ready: %w", ctx.Err())
		case <-d.Ended:
			return d.Fell()
		case <-ticker.C:
		}
	}
}

// Fell is the error of a daemon that ended by itself, with the end of its log.
func (d *Daemon) Fell() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Errorf("pushd ended by itself: %v; the end of its log:\n%s", d.cmd.ProcessState, strings.Join(d.log, "\n"))
}

// Kill ends the daemon as a crash would.
func (d *Daemon) Kill() {
	_ = d.cmd.Process.Kill() // where it is gone already, its end says so
	<-d.Ended
}

// Freeze keeps the daemon from doing anything, as a virtual machine is that was paused, until Thaw.
func (d *Daemon) Freeze() error { return d.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw has a daemon go on that was frozen. It does not know that time has passed.
func (d *Daemon) Thaw() error { return d.cmd.Process.Signal(syscall.SIGCONT) }

// Stop ends the daemon as an operator would. It must end in order and in time.
func (d *Daemon) Stop() error {
	select {
	case <-d.Ended:
		return d.Fell()
	default:
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // where it is gone already, its end says so
	select {
	case <-d.Ended:
	case <-time.After(stopsWithin):
		_ = d.cmd.Process.Kill()
		<-d.Ended
		return fmt.Errorf("pushd did not end within %v after SIGTERM", stopsWithin)
	}
	if !d.cmd.ProcessState.Success() {
		return d.Fell()
	}
	return nil
}
