//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// group makes cmd the first of a group of processes, which killGroup ends. A test may start
// programs, and a changed program may never end.
func group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { killGroup(cmd); return nil }
}

func killGroup(cmd *exec.Cmd) {
	if cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}
