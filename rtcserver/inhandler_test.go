package rtcserver

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// Each call that waits for the loop returns ErrInHandler in each func that the loop calls,
// whether the server has a goroutine or the program polls it.
func TestCallsThatWaitReturnErrInHandler(t *testing.T) {
	for name, manual := range map[string]bool{"looping": false, "polled": true} {
		t.Run(name, func(t *testing.T) {
			var w *world
			calls := map[string]func() error{
				"Server.Close":    func() error { return w.server.Close() },
				"Server.Shutdown": func() error { return w.server.Shutdown(context.Background()) },
				"Server.Poll":     func() error { return w.server.Poll(time.Second) },
			}
			all := slices.DeleteFunc(testkit.CallsThatMayWait(t), func(name string) bool {
				return name == "Server.Answer" || // waits for nothing: its ctx is that of the request which Engine gets
					name == "QUICConn.Close" // waits for nothing
			})
			if got := slices.Sorted(maps.Keys(calls)); !slices.Equal(got, all) {
				t.Errorf("the calls are %v, want %v", got, all)
			}
			if !manual {
				delete(calls, "Server.Poll") // an error in any case
			}
			var ran testkit.Notes
			check := func(where string) {
				ran.Note("%s", where)
				for name, call := range calls {
					if err := call(); !errors.Is(err, ErrInHandler) {
						t.Errorf("%s in %s: %v, want ErrInHandler", name, where, err)
					}
				}
			}
			tap := newWiretap()
			c := Config{
				Settings: Settings{KeyLog: tap, HandshakeTimeout: time.Second, PendingTimeout: time.Second},
				Manual:   manual,
				Logger: slog.New(lineHandler{slog.DiscardHandler, func(line string) {
					if line == "rtcserver: open" {
						check("Logger")
					}
				}}),
			}
			want := testkit.SetFuncs(&c.Handler, func(field string, _ []any) { check(field) })
			inWorld(t, c, func(made *world) {
				w = made
				w.network.SetTap(tap.see)
				var polling sync.WaitGroup
				end := make(chan struct{})
				if manual {
					polling.Go(func() {
						for {
							select {
							case <-end:
								return
							default:
								w.server.Poll(time.Millisecond)
							}
						}
					})
				}
				w.offer("") // fails: nobody comes
				h := w.control(tap)
				h.packet(data(3, h.tsn, 1, 0, 50, openUnordered("chat")))
				synctest.Wait()
				reset := binary.BigEndian.AppendUint32([]byte{0, 13, 0, 18}, h.tsn-1)
				reset = binary.BigEndian.AppendUint32(append(reset, 0, 0, 0, 0), h.tsn)
				h.packet(chunk(130, 0, append(reset, 0, 1)))
				time.Sleep(5 * time.Second)
				close(end)
				polling.Wait()
				w.server.Close() // Handler.Close runs in the last turns
			})
			testkit.WantCalled(t, &ran, append(want, "Logger"))
		})
	}
}

// A lineHandler passes the message of each line to a func.
type lineHandler struct {
	slog.Handler
	line func(string)
}

func (lineHandler) Enabled(context.Context, slog.Level) bool { return true }

func (l lineHandler) Handle(_ context.Context, r slog.Record) error {
	l.line(r.Message)
	return nil
}
