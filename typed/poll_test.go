package typed_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

// With Config.Manual the rows that have handlers go there, and Poll yields the others, at both
// ends of a session in the process.
func TestPollYieldsRowsWithoutAHandler(t *testing.T) {
	var happened []string
	note := func(format string, args ...any) { happened = append(happened, fmt.Sprintf(format, args...)) }
	g := typed.Must[game]()
	c := testkit.Must(typed.Server(g, godwit.Config{Manual: true, MaxClientChannels: 1},
		g.Input.On(func(_ *godwit.Conn, m input) { note("input %v", m) }),
		g.Hello.On(func(_ *godwit.Conn, m hello) { note("hello %s", m.Name) }),
	))
	srv := testkit.Must(godwit.New(c))
	defer srv.Close()
	lc := testkit.Must(typed.Local(g, godwit.LocalConfig{},
		g.Hello.Say(hello{"ada"}),
		g.World.On(func(_ typed.ClientEnd, m line) { note("world %v", m) })))
	local := testkit.Must(srv.Local(lc))
	me := typed.OverLocal(local)
	wantPolled := func(want ...string) {
		t.Helper()
		for range 10 {
			for ev := range srv.Poll(0) {
				end := "server"
				if ev.Conn == local {
					end = "client"
				}
				switch ev.Type {
				case session.EventMessage:
					m, err := g.Chat.Decode(ev.Data)
					note("%s: %v %v %v", end, ev.Channel == g.Chat.ID(), m, err)
				case session.EventRequest:
					note("%s: request %s %s", end, ev.Request.Name, ev.Request.Data)
				case session.EventClose:
					note("%s: %v", end, ev.Reason)
				case session.EventChannel:
					note("%s: %v %d", end, ev.Type, ev.Channel)
				default:
					note("%s: %v", end, ev.Type)
				}
			}
		}
		if !slices.Equal(happened, want) {
			t.Errorf("what happened:\n got %q\nwant %q", happened, want)
		}
		happened = nil
	}
	wantPolled("client: open", "hello ada", "server: open")
	must(t, g.Input.Send(me, input{1, 2}))
	wantPolled("input {1 2}")
	must(t, g.Chat.Send(me, line{"hi"}))
	wantPolled("server: true {hi} <nil>")
	testkit.Must(g.Join.Ask(me, line{"ada"}, nil))
	wantPolled("server: request join ada")
	must(t, g.World.Broadcast(srv, line{"round"}))
	wantPolled("world {round}")
	must(t, g.Chat.Broadcast(srv, line{"ho"}))
	wantPolled("client: true {ho} <nil>")
	for c := range srv.Conns() {
		testkit.Must(g.Ping.Ask(c, input{}, nil))
	}
	wantPolled("client: request ping \x00\x00\x00\x00")
	id := testkit.Must(local.OpenChannel(godwit.Channel{Name: "more"}))
	wantPolled(fmt.Sprintf("server: channel %d", id))
	me.Close(session.CloseNormal, "")
	wantPolled("client: closed here: normal", "server: closed by the other end: normal")
}

// The same at a native client.
func TestPollOfANativeClient(t *testing.T) {
	inWorld(t, godwit.Config{}, func(w *world) []typed.ServerHandler {
		return []typed.ServerHandler{w.table.Input.On(func(c *godwit.Conn, _ input) {
			must(w.t, w.table.Chat.Send(c, line{"hi"}))
			testkit.Must(w.table.Ping.Ask(c, input{}, nil))
			must(w.t, w.table.Place.Send(c, input{3, 4}))
		})}
	}, func(t *testing.T, w *world) {
		socket := testkit.Listen(t, w.network, netip.MustParseAddrPort("198.51.100.1:0"))
		e := testkit.Must(client.Serve(socket, client.Config{Manual: true, HTTP: &http.Client{Transport: w}}))
		defer e.Close()
		sc := testkit.Must(typed.Client(w.table, client.SessionConfig{},
			w.table.Hello.Say(hello{"ada"}),
			w.table.Place.OnClient(func(_ typed.ClientEnd, m input) { w.Note("place %v", m) })))
		me := typed.Over(testkit.Must(e.Join(t.Context(), "http://game.example/godwit/", sc)))
		must(t, w.table.Input.Send(me, input{1, 2}))
		e.Flush()
		for range 5 {
			for ev := range e.Poll(time.Second) {
				switch ev.Type {
				case session.EventMessage:
					w.Note("%v %s", ev.Channel == w.table.Chat.ID(), ev.Data)
				case session.EventRequest:
					w.Note("request %s", ev.Request.Name)
				}
			}
		}
		got := w.Take()
		slices.Sort(got)
		if want := []string{"place {3 4}", "request ping", "true hi"}; !slices.Equal(got, want) {
			t.Errorf("what happened: %q, want %q", got, want)
		}
	})
}
