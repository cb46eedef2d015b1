package rtcserver

import (
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A program that sets no Logger still gets warnings and errors.
func TestWithoutALoggerWarningsGoToStandardError(t *testing.T) {
	var c Config
	var err error
	b := testkit.StandardError(func() { err = c.setDefaults() }, func() {
		c.Logger.Debug("a page came")
		c.Logger.Info("listening")
		c.Logger.Warn("a channel was refused")
		c.Logger.Error("a shard stopped")
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(b, "\n"); got != 2 || !strings.Contains(b, "refused") || !strings.Contains(b, "stopped") {
		t.Errorf("standard error got %q, want the warning and the error", b)
	}
}
