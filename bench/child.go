package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/prometheus/procfs"
)

// The processes that this program starts of itself. Each is told what to do as JSON on its standard input and answers in
// JSON on its standard output, so that what it uses is its own and nobody else's.
const (
	simulateProcess = "simulate-process"
	contendProcess  = "contend-process"
	brokerProcess   = "broker-process"
	publishProcess  = "publish-process"
)

// serveAs is such a process. known is false for a name that is none of them.
func serveAs(name string, in io.Reader, out io.Writer) (known bool, err error) {
	switch name {
	case simulateProcess:
		return true, simulate(in, out)
	case contendProcess:
		return true, contend(context.Background(), in, out)
	case brokerProcess:
		return true, serveBroker(in, out)
	case publishProcess:
		return true, publish(in, out)
	}
	return false, nil
}

// endsWithin is how long a process may take to end when it is told.
const endsWithin = 10 * time.Second

// child is such a process as its parent has it.
type child struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	proc procfs.Proc
}

// startChild starts this program as one of its processes, and tells it what to do. It ends when ctx does, at the latest.
func startChild(ctx context.Context, name string, task any) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	c := &child{name: name, cmd: exec.CommandContext(ctx, self, name)}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := json.NewEncoder(c.in).Encode(task); err != nil {
		return nil, errors.Join(fmt.Errorf("tell %s its task: %w", name, err), c.end())
	}
	if c.proc, err = procfs.NewProc(c.cmd.Process.Pid); err != nil {
		return nil, errors.Join(fmt.Errorf("the CPU time of %s is read from /proc: %w", name, err), c.end())
	}
	return c, nil
}

// hear reads the next thing that it says.
func (c *child) hear(v any) error {
	if err := c.out.Decode(v); err != nil {
		return fmt.Errorf("%s said nothing more (%w); what it died of stands above", c.name, err)
	}
	return nil
}

// cpu is the CPU time that it has used, to 10 ms.
func (c *child) cpu() (time.Duration, error) { return cpuOf(c.proc) }

func cpuOf(p procfs.Proc) (time.Duration, error) {
	stat, err := p.Stat()
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", p.PID, err)
	}
	return time.Duration(stat.CPUTime() * float64(time.Second)), nil
}

// end closes its input, upon which it ends, and waits for that.
func (c *child) end() error {
	c.in.Close()
	kill := time.AfterFunc(endsWithin, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}
