package rtcserver

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A peer that can only be the DTLS client, although its offer leaves the choice to the server,
// answers no ClientHello, or sends a ClientHello itself. The log and the error say what to do.
func TestAPeerThatCanOnlyBeTheDTLSClient(t *testing.T) {
	// type(1) length(3) message_seq(2) fragment_offset(3) fragment_length(3) version(2) random(32)
	hello := append([]byte{1, 0, 0, 34, 0, 0, 0, 0, 0, 0, 0, 34, 0xfe, 0xfd}, make([]byte, 32)...)
	for name, test := range map[string]struct {
		sends []byte
		want  error
		after time.Duration
	}{
		"silent":            {nil, dtls.ErrNoAnswer, 10 * time.Second},
		"with a hello":      {record(22, 0, 0, hello), dtls.ErrRoles, 0},
		"with another word": {record(22, 0, 0, append([]byte{2}, hello[1:]...)), dtls.ErrMessage, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var log testkit.Log
			var failed chan error
			inWorld(t, Config{
				Logger:  log.Logger(slog.LevelInfo),
				Handler: Handler{Fail: func(_ *Conn, why *CloseError) { failed <- why }},
			}, func(w *world) {
				failed = make(chan error, 1)
				o := w.offer("")
				o.check(attackerAddr, "")
				start := time.Now()
				if synctest.Wait(); test.sends != nil {
					w.network.Inject(attackerAddr, serverAddr, test.sends)
				}
				err := <-failed
				if !errors.Is(err, test.want) || time.Since(start) != test.after {
					t.Errorf("after %v: %v, want %v after %v", time.Since(start), err, test.want, test.after)
				}
				w.server.Shutdown(context.Background())
				if said := strings.Contains(log.String(), "a=setup:active"); said != (test.want != dtls.ErrMessage) {
					t.Errorf("the log is %q, want the warning about a=setup:active: %v", log.String(), test.want != dtls.ErrMessage)
				}
			})
		})
	}
}

// The Logger may ask the server for its Stats, or panic: no lock is held then.
func TestWarningsOfRolesAreWrittenUnderNoLock(t *testing.T) {
	j := new(lineLog)
	inWorld(t, Config{Logger: slog.New(j)}, func(w *world) {
		j.shard = w.server.shards[0]
		w.offer("").check(attackerAddr, "")
		w.want("nobody answers", "fail 1: the DTLS handshake failed")
		w.server.Shutdown(context.Background())
		if n := len(j.with("WARN", "offer left the choice")); n != 1 || j.locked > 0 {
			t.Errorf("%d warnings, want 1; the lock was held at %d lines, want 0", n, j.locked)
		}
	})
}
