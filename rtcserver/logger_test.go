package rtcserver

import (
	"io"
	"os"
	"strings"
	"testing"
)

// A program that sets no Logger still gets warnings and errors.
func TestWithoutALoggerWarningsGoToStandardError(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var c Config
	func() {
		defer func(stderr *os.File) { os.Stderr = stderr }(os.Stderr)
		os.Stderr = w
		if err := c.setDefaults(); err != nil {
			t.Fatal(err)
		}
	}()
	c.Logger.Debug("a page came")
	c.Logger.Info("listening")
	c.Logger.Warn("a channel was refused")
	c.Logger.Error("a shard stopped")
	w.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(b), "\n"); got != 2 || !strings.Contains(string(b), "refused") || !strings.Contains(string(b), "stopped") {
		t.Errorf("standard error got %q, want the warning and the error", b)
	}
}
