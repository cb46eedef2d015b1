package typed_test

import (
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

// A sink is an end that drops what it sends.
type sink struct{ session.End }

func (sink) SendWith(channel.ID, []byte, channel.Options) (channel.MessageID, error) { return 0, nil }

// Sending allocates nothing, to one, to a group and to all, and so does receiving: the codec of
// input allocates nothing, and what the session allocates for bytes is nothing, too.
func TestMessagesAreNotAllocated(t *testing.T) {
	g := typed.Must[game]()
	handled := 0
	c := testkit.Must(typed.Server(g, godwit.Config{Manual: true}, g.Input.On(func(*godwit.Conn, input) { handled++ })))
	srv := testkit.Must(godwit.New(c))
	defer srv.Close()
	lc := testkit.Must(typed.Local(g, godwit.LocalConfig{Hello: []byte{}}))
	local := testkit.Must(srv.Local(lc))
	var conn *godwit.Conn
	for conn == nil {
		for range srv.Poll(0) {
		}
		for c := range srv.Conns() {
			conn = c
		}
	}
	group := srv.NewGroup()
	group.Join(conn)
	me, own := typed.ClientEnd{End: &sink{}}, typed.OverLocal(local)
	four := []byte("abcd")
	scratch := make([]byte, 0, 100)
	for _, tt := range []struct {
		what string
		f    func() error
	}{
		{"to the server", func() error { return g.Input.Send(me, input{1, 2}) }},
		{"of both to the server", func() error { return g.Place.Send(me.End, input{1, 2}) }},
		{"to a client", func() error { return g.Where.Send(conn, input{1, 2}) }},
		{"of both to a client", func() error { return g.Place.Send(conn, input{1, 2}) }},
		{"to all", func() error { return g.Where.Broadcast(srv, input{1, 2}) }},
		{"to a group", func() error { return g.Where.SendGroup(group, input{1, 2}) }},
		{"into memory", func() error { _, err := g.Input.Encode(scratch, input{1, 2}); return err }},
		{"from memory", func() error { _, err := g.Input.Decode(four); return err }},
	} {
		if n := testing.AllocsPerRun(100, func() {
			if err := tt.f(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", tt.what, n)
		}
	}
	poll := func() {
		for range srv.Poll(0) {
		}
	}
	for range 100 {
		poll() // empties the queues
	}
	rest := testing.AllocsPerRun(100, poll) // the range itself allocates
	handled = 0
	if n := testing.AllocsPerRun(100, func() {
		g.Input.Send(own, input{1, 2})
		poll()
	}); n != rest || handled < 100 {
		t.Errorf("%v allocations for each of %d messages that arrive, want %v, as without", n, handled, rest)
	}
}
