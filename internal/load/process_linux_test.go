package load

import (
	"os"
	"testing"
)

func TestReadProcess(t *testing.T) {
	p, err := readProcess(os.Getpid())
	if err != nil || p.cpu <= 0 || p.rss < 1<<20 {
		t.Errorf("this process: %+v, %v; want CPU time and a megabyte of memory at least", p, err)
	}
	if _, err := readProcess(1 << 30); err == nil {
		t.Error("a process that does not exist is read without an error")
	}
	if p, err := readProcess(0); err != nil || p != (process{}) {
		t.Errorf("process 0: %+v, %v; want zero, nil", p, err)
	}
}
