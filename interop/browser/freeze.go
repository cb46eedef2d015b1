package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// FreezeFor stops every process of a browser that Own has started, as the sleep of a machine does, and continues them
// after d. The kernel keeps running: datagrams for the browser wait in its sockets. FreezeFor returns the time when the
// last process had stopped, and the time when the first was continued.
func (b *Browser) FreezeFor(t testing.TB, d time.Duration) (from, to time.Time) {
	t.Helper()
	node := b.driver.cmd.Process.Pid
	var stopped []int
	defer func() {
		for _, pid := range slices.Backward(stopped) {
			syscall.Kill(pid, syscall.SIGCONT)
		}
	}()
	// Parents first: a stopped process starts no other.
	for below := children(node); len(below) > 0; below = below[1:] {
		if err := syscall.Kill(below[0], syscall.SIGSTOP); err != nil {
			continue // it has ended
		}
		stopped = append(stopped, below[0])
		below = append(below, children(below[0])...)
	}
	if len(stopped) == 0 {
		t.Fatalf("browser: %s has no processes", b.Kind)
	}
	t.Logf("stopped %d processes for %v", len(stopped), d)
	return time.Now(), <-time.After(d)
}

// children returns the running processes that a process has started.
func children(pid int) []int {
	var pids []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for s := range strings.FieldsSeq(string(b)) {
			if n, err := strconv.Atoi(s); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}
