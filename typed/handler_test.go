package typed_test

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

// Messages and requests of rows without a handler go to the funcs of the config, at the server, at a
// native client and at a client in the process.
func TestRowsWithoutAHandlerGoToTheConfig(t *testing.T) {
	var n *testkit.Notes
	funcs := func(end string) godwit.Handler {
		return godwit.Handler{
			Open:    func(*godwit.Conn) {},
			Message: func(_ *godwit.Conn, _ godwit.ChannelID, b []byte) { n.Note("%s: %s", end, b) },
			Request: func(_ *godwit.Conn, r *godwit.Request) { n.Note("%s: %s %s", end, r.Name, r.Data) },
		}
	}
	inWorld(t, godwit.Config{Handler: funcs("server")}, func(w *world) []typed.ServerHandler {
		n = &w.Notes
		return []typed.ServerHandler{w.table.Hello.On(func(*godwit.Conn, hello) {})}
	}, func(t *testing.T, w *world) {
		lc := testkit.Must(typed.Local(w.table, godwit.LocalConfig{Handler: funcs("local")}, w.table.Hello.Say(hello{"ada"})))
		sc := testkit.Must(typed.Client(w.table, client.SessionConfig{Handler: client.SessionHandler{
			Message: func(_ *client.Session, _ channel.ID, b []byte) { n.Note("native: %s", b) },
			Request: func(_ *client.Session, r *session.Request) { n.Note("native: %s %s", r.Name, r.Data) },
		}}, w.table.Hello.Say(hello{"bob"})))
		for end, me := range map[string]typed.ClientEnd{
			"local": typed.OverLocal(testkit.Must(w.srv.Local(lc))), "native": w.join(sc),
		} {
			must(t, w.table.Chat.Send(me, line{"hi"}))
			testkit.Must(w.table.Join.Ask(me, line{"ada"}, nil))
			w.wantInAnyOrder("server: hi", "server: join ada")
			for c := range w.srv.Conns() {
				if (c.Kind() == godwit.KindInProcess) == (end == "local") {
					must(t, w.table.World.Send(c, line{"round"}))
					testkit.Must(w.table.Ping.Ask(c, input{}, nil))
				}
			}
			w.wantInAnyOrder(end+": round", end+": ping \x00\x00\x00\x00")
		}
	})
}

// All events of a session whose connect message is good reach the program, which has a func for each of them
// or none.
func TestEventsBehindAConnectMessage(t *testing.T) {
	for _, polls := range []bool{false, true} {
		testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
			w := &world{t: t, network: network, table: typed.Must[game]()}
			c := godwit.Config{MaxClientChannels: 1, Manual: polls}
			if !polls {
				testkit.SetFuncs(&c.Handler, func(field string, _ []any) { w.Note("%s", strings.ToLower(field)) })
			}
			c = testkit.Must(typed.Server(w.table, c, w.table.Hello.On(func(*godwit.Conn, hello) { w.Note("hello") })))
			w.srv = testkit.Must(godwit.Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), c))
			over := make(chan struct{})
			var polling sync.WaitGroup
			polling.Go(func() {
				for polls {
					select {
					case <-over:
						return
					default:
					}
					for ev := range w.srv.Poll(time.Second) {
						w.Note("%v", ev.Type)
					}
				}
			})
			want := func(lines ...string) {
				t.Helper()
				time.Sleep(time.Minute)
				got := slices.Compact(w.Take())
				w.compare(got, lines)
			}
			me := w.join(testkit.Must(typed.Client(w.table, client.SessionConfig{}, w.table.Hello.Say(hello{"ada"}))))
			want("hello", "open")
			must(t, w.table.Chat.Send(me, line{"hi"}))
			want("message")
			testkit.Must(w.table.Join.Ask(me, line{"ada"}, nil))
			want("request")
			more := testkit.Must(me.End.(*client.Session).OpenChannel(channel.Channel{Name: "more"}))
			want("channel")
			must(t, me.Send(more, []byte("on no row")))
			want("message")
			for c := range w.srv.Conns() {
				for c.Send(w.table.Chat.ID(), make([]byte, 100_000)) == nil {
				}
			}
			want("room")
			network.BlackoutFor(netip.Addr{}, netip.Addr{}, 20*time.Second)
			want("interrupted", "resumed")
			me.Close(session.CloseNormal, "")
			want("close")
			close(over)
			polling.Wait()
			w.srv.Close()
		})
	}
}
