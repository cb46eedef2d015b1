package godwit

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A program that sets no Logger still gets warnings and errors, of sessions and of their connections.
func TestWithoutALoggerWarningsGoToStandardError(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	srv := func() *Server {
		defer func(stderr *os.File) { os.Stderr = stderr }(os.Stderr)
		os.Stderr = w
		return testkit.Must(New(Config{}))
	}()
	srv.config.Logger.Debug("a session is open")
	srv.config.Logger.Info("listening")
	srv.config.Logger.Warn("a token was refused")
	srv.rtcConfig().Logger.Error("a shard stopped")
	srv.Close()
	w.Close()
	b := string(testkit.Must(io.ReadAll(r)))
	if strings.Count(b, "\n") != 2 || !strings.Contains(b, "refused") || !strings.Contains(b, "stopped") {
		t.Errorf("standard error got %q, want the warning and the error", b)
	}
}
