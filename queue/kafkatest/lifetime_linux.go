package kafkatest

import (
	"os/exec"
	"syscall"
)

// bindLifetime has the kernel kill the process when the thread that started it ends, and with it this process, however
// it ends. An interrupt from the terminal goes to this process alone, which stops the other.
func bindLifetime(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
