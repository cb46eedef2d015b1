package typed_test

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/typed"
)

func TestConnectMessagesHaveAType(t *testing.T) {
	inWorld(t, godwit.Config{Handler: godwit.Handler{
		Open: func(c *godwit.Conn) { c.User.(*testkit.Notes).Note("open") },
	}}, func(w *world) []typed.ServerHandler {
		return []typed.ServerHandler{w.table.Hello.On(func(c *godwit.Conn, m hello) {
			w.Note("hello %s", m.Name)
			c.User = &w.Notes
		})}
	}, func(t *testing.T, w *world) {
		w.native(w.table.Hello.Say(hello{"ada"}))
		w.want("hello ada", "open")
		w.local("bob", w.table.Hello.Say(hello{"bob"}))
		w.want("hello bob", "open")
		w.native() // sets the bytes itself
		w.want("hello native", "open")
		w.local("cid")
		w.want("hello cid", "open")
	})
}

// A session with a bad connect message ends, and no func of the program is called with its Conn:
// the program has never seen it. A client with a good one beside it is served.
func TestBadConnectMessages(t *testing.T) {
	c := godwit.Config{MaxClientChannels: 1}
	var n *testkit.Notes
	var connect func()
	testkit.SetFuncs(&c.Handler, func(field string, args []any) {
		if args[0].(*godwit.Conn).Identity().Name != "good" {
			n.Note("%s is called", field)
		}
	})
	c.Handler.Open = nil
	inWorld(t, c, func(w *world) []typed.ServerHandler {
		n = &w.Notes
		return []typed.ServerHandler{
			w.table.Hello.On(func(_ *godwit.Conn, m hello) { w.Note("hello %s", m.Name) }),
			w.table.Input.On(func(c *godwit.Conn, m input) {
				w.Note("input of %s", c.Identity().Name)
				if connect != nil {
					connect()
					connect = nil
				}
			}),
		}
	}, func(t *testing.T, w *world) {
		good := w.local("good", w.table.Hello.Say(hello{"good"}))
		w.want("hello good")
		// The bad client connects in a handler. So the server reads its connect message
		// together with all that it sends early.
		connect = func() {
			c := testkit.Must(typed.Local(w.table, godwit.LocalConfig{Hello: []byte{}}))
			bad := typed.OverLocal(testkit.Must(w.srv.Local(c)))
			must(t, w.table.Input.Send(bad, input{}))
			must(t, w.table.Chat.Send(bad, line{"hi"}))
			_, err := w.table.Join.Ask(bad, line{"bad"}, nil)
			must(t, err)
			must(t, w.table.Input.Send(good, input{})) // arrives while the bad session ends
		}
		must(t, w.table.Input.Send(good, input{}))
		w.want("input of good", "input of good")
		time.Sleep(time.Minute)
		w.want() // not of the end of the bad session either
		if got := w.table.Hello.Bad().Other; got != 1 {
			t.Errorf("%d bad connect messages, want 1", got)
		}
	})
}

// No event of a session whose connect message is bad reaches the program, whatever comes before its end.
func TestNoEventOfABadSessionReachesTheProgram(t *testing.T) {
	inWorld(t, godwit.Config{}, func(*world) []typed.ServerHandler { return nil }, func(t *testing.T, w *world) {
		w.local("") // its connect message is empty
		var called testkit.Notes
		var c godwit.Config
		testkit.SetFuncs(&c.Handler, func(field string, _ []any) { called.Note("%s", field) })
		c = testkit.Must(typed.Server(w.table, c, w.table.Hello.On(func(*godwit.Conn, hello) { called.Note("hello") })))
		h, bad := c.Handler, w.ends[0]
		h.Open(bad)
		h.Interrupted(bad)
		h.Resumed(bad)
		h.Channel(bad, 1)
		h.Room(bad, 1)
		h.Message(bad, w.table.Chat.ID(), nil)
		h.Close(bad, godwit.CloseReason{})
		if got := called.Take(); len(got) > 0 {
			t.Errorf("the program is told %q", got)
		}
	})
}

// A client of a table with a connect message must say it, or set the bytes itself.
func TestClientMustSayHello(t *testing.T) {
	g := typed.Must[game]()
	_, err := typed.Client(g, client.SessionConfig{})
	if text(err) != "typed: the client says no game.Hello: give it the handler of Hello.Say" {
		t.Errorf("a client that says nothing: %v", err)
	}
	_, err = typed.Local(g, godwit.LocalConfig{})
	if text(err) != "typed: the client says no game.Hello: give it the handler of Hello.Say" {
		t.Errorf("a client in the process that says nothing: %v", err)
	}
}
