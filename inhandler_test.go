package godwit

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// Each call that waits for the other end or for the loop returns ErrInHandler in each func
// that the loop calls, and in the body of a loop over Poll. The loop is a goroutine of the
// server, or the program that polls it.
func TestCallsThatWaitReturnErrInHandler(t *testing.T) {
	for _, test := range []struct {
		name           string
		polled, yields bool
	}{{"looping", false, false}, {"polled", true, false}, {"polled, without handlers", true, true}} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { callsThatWait(t, test.polled, test.yields) })
		})
	}
}

func callsThatWait(t *testing.T, polled, yields bool) {
	var srv *Server
	var asked atomic.Pointer[Conn] // a session that is open
	calls := map[string]func() error{
		"Server.Close":    func() error { return srv.Close() },
		"Server.Drain":    func() error { return srv.Drain(t.Context(), "", nil) },
		"Server.Shutdown": func() error { return srv.Shutdown(t.Context(), "") },
		"Server.Poll": func() error {
			for ev := range srv.Poll(time.Second) {
				return ev.Err
			}
			return nil
		},
		"Conn.Request": func() error { _, err := asked.Load().Request(context.Background(), "wait", nil); return err },
	}
	if got, all := slices.Sorted(maps.Keys(calls)), testkit.CallsThatMayWait(t); !slices.Equal(got, all) {
		t.Errorf("the calls are %v, want %v", got, all)
	}
	if yields {
		delete(calls, "Server.Drain") // waits beside a Poll of another goroutine, and cannot tell it from this one
	}
	if !polled {
		delete(calls, "Server.Poll") // yields ErrManual anywhere
	}
	var ran testkit.Notes
	check := func(where string) {
		if asked.Load() == nil {
			return // it opens
		}
		ran.Note("%s", where)
		for name, call := range calls {
			if err := call(); err != session.ErrInHandler {
				t.Errorf("%s in %s: %v, want ErrInHandler", name, where, err)
			}
		}
	}
	var want []string
	handler := func(end string) (h Handler) {
		fields := testkit.SetFuncs(&h, func(field string, args []any) {
			check(end + field)
			if r, ok := args[len(args)-1].(*Request); ok {
				r.Ack()
			}
		})
		for _, field := range fields {
			want = append(want, end+field)
		}
		if yields {
			return Handler{}
		}
		return h
	}
	atServer, atClient := handler("server: "), handler("client: ")
	srv, _ = newTestServer(t, func(c *Config) {
		c.MaxClientChannels = 1
		c.Manual, c.Handler = polled, atServer
		c.Logger = slog.New(lineHandler{slog.DiscardHandler, func(line string) { check("log: " + line) }})
	})
	events := map[session.EventType]string{
		session.EventOpen: "Open", session.EventMessage: "Message", session.EventRequest: "Request", session.EventReceipt: "Receipt", session.EventChannel: "Channel",
		session.EventChannelClosed: "ChannelClosed", session.EventRoom: "Room", session.EventInterrupted: "Interrupted", session.EventResumed: "Resumed", session.EventClose: "Close",
	}
	wait := func() {
		for begin := time.Now(); time.Since(begin) < time.Second; {
			if !polled {
				time.Sleep(time.Second)
				continue
			}
			for ev := range srv.Poll(10 * ms) {
				end := "client: "
				if ev.Conn.atServer {
					end = "server: "
				}
				check(end + events[ev.Type])
				if ev.Request != nil {
					ev.Request.Ack()
				}
			}
			srv.Flush()
		}
	}
	local := func() (client, server *Conn) {
		client, err := srv.Local(LocalConfig{Handler: atClient})
		must(t, err)
		wait()
		for c := range srv.Conns() {
			server = c // the last one
		}
		return client, server
	}
	_, first := local()
	asked.Store(first)
	client, server := local()
	for _, c := range []*Conn{client, server} {
		_, err := c.SendWith(chat, []byte("x"), Options{Receipt: true})
		must(t, err)
		_, err = c.Ask("x", nil, func(Result) { check("func of Ask") })
		must(t, err)
	}
	more, err := server.OpenChannel(Channel{Name: "more"})
	must(t, err)
	_, err = client.OpenChannel(Channel{Name: "another"})
	must(t, err)
	wait()
	for _, c := range []*Conn{client, server} {
		for err = nil; err == nil; err = c.Send(chat, make([]byte, 10<<10)) {
		}
		if err != session.ErrBudget {
			t.Fatal(err)
		}
	}
	wait()
	must(t, server.CloseChannel(more))
	wait()
	cut(client)
	wait()
	resume(client, server)
	wait()
	server.Kick("")
	wait()
	asked.Store(server)
	must(t, srv.Shutdown(t.Context(), "")) // ends the first session
	asked.Store(nil)
	testkit.WantCalled(t, &ran, append(want, "func of Ask", "log: godwit: open", "log: godwit: interrupted",
		"log: godwit: moved to another connection", "log: godwit: resumed", "log: godwit: close"))
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
