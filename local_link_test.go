package godwit

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"
)

// newIdle returns a server with n clients in the process that send nothing, and one more client
// with its server's end.
func newIdle(t testing.TB, n int) (srv *Server, client, server *Conn) {
	t.Helper()
	opened := make(chan *Conn, n+1)
	srv, err := New(Config{Channels: table, Manual: true, Handler: Handler{
		Open:    func(c *Conn) { opened <- c },
		Message: func(*Conn, ChannelID, []byte) {},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	for range n + 1 {
		if client, err = srv.Local(LocalConfig{}); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			events(srv, nil)
		}
	}
	for range n + 1 {
		server = <-opened
	}
	return srv, client, server
}

// A turn looks at the links that have something to do, and at no others.
func TestATurnLooksAtWhoIsBusy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		looks := func(idle int) int {
			srv, client, _ := newIdle(t, idle)
			before := srv.links.looked
			for range 100 {
				if err := client.Send(chat, []byte("hello")); err != nil {
					t.Fatal(err)
				}
				events(srv, nil)
				srv.Flush()
			}
			return srv.links.looked - before
		}
		if few, many := looks(0), looks(300); many > few+10 || few < 100 {
			t.Errorf("100 messages cost %d looks at links beside 300 idle ones, and %d alone", many, few)
		}
	})
}

// Poll waits no longer than a deadline that a call has set since the last turn, also on a link
// that was idle for a long time.
func TestPollHeedsDeadlinesOfCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for rest := range 20 {
			srv, _, server := newIdle(t, 0)
			for range rest {
				for range srv.Poll(time.Second) {
				}
			}
			start := time.Now()
			server.Renew(start.Add(50 * time.Millisecond))
			for srv.Len() > 0 {
				for range srv.Poll(3 * time.Second) {
				}
			}
			if late := time.Since(start) - 50*time.Millisecond; late != 0 {
				t.Errorf("after %d s: the session ended %v too late", rest, late)
			}
		}
	})
}

// A closed server has no links. A client gets the datagrams that had arrived on a new link
// before the close.
func TestAClosedServerHoldsNoLinks(t *testing.T) {
	srv, _ := newTestServer(t, manual)
	d := &recorder{}
	_, err := srv.Local(LocalConfig{})
	must(t, err)
	client, err := srv.Local(LocalConfig{Handler: d.handler()})
	must(t, err)
	events(srv, nil)
	server := slices.Collect(srv.Conns())[1]
	d.Take()
	l := srv.links
	l.connect(server, client)
	ours, theirs := l.ends[len(l.ends)-2].anchor, l.ends[len(l.ends)-1]
	server.move(ours)
	must(t, server.Send(loot, []byte("gold")))
	srv.Flush()
	client.home.Store(theirs.anchor)
	for _, d := range l.inbox.Take() {
		if d.to == theirs {
			theirs.anchor.early = append(theirs.anchor.early, bytes.Clone(d.b))
		}
	}
	l.stop()
	if len(l.ends) != 0 || !l.loop.State().Timer.IsZero() {
		t.Errorf("%d ends of links are left, want 0; the timer is %v", len(l.ends), l.loop.State().Timer)
	}
	d.want(t, "interrupted", "resumed", "loot: gold", "closed here: shutdown: the server is closed")
}

// BenchmarkLocal measures an echo within the process, with other links that are idle.
func BenchmarkLocal(b *testing.B) {
	for _, idle := range []int{0, 100, 10000} {
		b.Run(fmt.Sprintf("%d", idle), func(b *testing.B) {
			srv, client, server := newIdle(b, idle)
			msg := make([]byte, 200)
			b.ReportAllocs()
			for b.Loop() {
				if client.Send(move, msg) != nil || server.Send(move, msg) != nil {
					b.Fatal("Send returns an error")
				}
				for range srv.Poll(0) {
				}
			}
		})
	}
}
