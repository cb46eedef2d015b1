//go:build unix

package fleet

import (
	"syscall"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// The NATS server of a process leaves signals to the program: SIGTERM does what it does without the server.
func TestTheNATSServerTakesNoSignals(t *testing.T) {
	c, _ := startNATSProcess(t)
	must(t, c.Process.Signal(syscall.SIGTERM))
	defer time.AfterFunc(testkit.Patience, func() { c.Process.Kill() }).Stop()
	c.Wait()
	if s := c.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGTERM {
		t.Errorf("the process ended with %v, want the signal itself", c.ProcessState)
	}
}
