package load

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// process is what the kernel says of a process.
type process struct {
	cpu time.Duration
	rss int64 // bytes
}

// readProcess reads the scheduler's own account of every thread, which knows
// nanoseconds: the figures in stat are ticks of 10 ms. A thread that ends takes its
// time with it, which threads of Go programs hardly ever do.
func readProcess(pid int) (p process, err error) {
	if pid == 0 {
		return p, nil
	}
	dir := "/proc/" + strconv.Itoa(pid)
	stats, _ := filepath.Glob(dir + "/task/*/schedstat")
	if len(stats) == 0 {
		return p, fmt.Errorf("load: no process %d to be read", pid)
	}
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		running, _, _ := bytes.Cut(b, []byte{' '})
		ns, _ := strconv.ParseInt(string(running), 10, 64)
		p.cpu += time.Duration(ns)
	}
	p.rss, err = readRSS(dir)
	return p, err
}

// readRSS reads the resident memory: smaps_rollup is exact, status an estimate of
// the kernel's.
func readRSS(dir string) (int64, error) {
	for _, file := range [][2]string{{"smaps_rollup", "Rss:"}, {"status", "VmRSS:"}} {
		b, err := os.ReadFile(filepath.Join(dir, file[0]))
		if err != nil {
			continue
		}
		for line := range bytes.Lines(b) {
			if f := bytes.Fields(line); len(f) >= 2 && string(f[0]) == file[1] {
				kb, err := strconv.ParseInt(string(f[1]), 10, 64)
				return kb << 10, err
			}
		}
	}
	return 0, fmt.Errorf("load: the memory of %s cannot be read", dir)
}

// ownCPU returns the CPU time of this process.
func ownCPU() time.Duration {
	p, _ := readProcess(os.Getpid())
	return p.cpu
}
