package godwit

import (
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A program that sets no Logger still gets warnings and errors, of sessions and of their connections.
func TestWithoutALoggerWarningsGoToStandardError(t *testing.T) {
	var srv *Server
	b := testkit.StandardError(func() { srv = testkit.Must(New(Config{})) }, func() {
		srv.config.Logger.Debug("a session is open")
		srv.config.Logger.Info("listening")
		srv.config.Logger.Warn("a token was refused")
		srv.rtcConfig().Logger.Error("a shard stopped")
		srv.Close()
	})
	if strings.Count(b, "\n") != 2 || !strings.Contains(b, "refused") || !strings.Contains(b, "stopped") {
		t.Errorf("standard error got %q, want the warning and the error", b)
	}
}
