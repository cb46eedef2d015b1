package load

import (
	"os"
	"testing"
)

func TestReadProcess(t *testing.T) {
	p, err := readProcess(os.Getpid())
	if err != nil || p.cpu <= 0 || p.rss < 1<<20 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := readProcess(1 << 30); err == nil {
		t.Error("a process that does not exist is read")
	}
	if p, err := readProcess(0); err != nil || p != (process{}) {
		t.Errorf("no process: %+v, %v", p, err)
	}
}
