//go:build !linux

package kafkatest

import "os/exec"

// bindLifetime can do nothing here: a broker outlives a starter that was killed.
func bindLifetime(*exec.Cmd) {}
