package godwit

import (
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// Open sessions are found by their number and by the name of their client, at the server's
// end, and no longer when they are over.
func TestSessionsAreFoundByNumberAndName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		_, ada, _ := join(t, srv, "ada")
		_, again, _ := join(t, srv, "ada")
		_, nobody, _ := join(t, srv, "")
		for _, c := range []*Conn{ada, again, nobody} {
			if got, ok := srv.Conn(c.ID()); got != c || !ok {
				t.Errorf("Conn(%v) = %v, %v", c.ID(), got, ok)
			}
		}
		if got := srv.Named("ada"); !slices.Equal(got, []*Conn{ada, again}) {
			t.Errorf("Named(\"ada\") has %d sessions, want 2", len(got))
		}
		if got := srv.Named(""); len(got) != 0 {
			t.Errorf("Named(\"\") has %d sessions, want 0", len(got))
		}
		id := ada.ID()
		ada.Kick("")
		settle()
		if got, ok := srv.Conn(id); got != nil || ok {
			t.Error("Conn finds a session that is over")
		}
		if got, ok := srv.Conn(0); got != nil || ok {
			t.Error("Conn(0) finds a session")
		}
		if got := srv.Named("ada"); !slices.Equal(got, []*Conn{again}) {
			t.Errorf("Named(\"ada\") has %d sessions, want the other one", len(got))
		}
	})
}

// Both ends return the state of a session.
func TestStatesOfASession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		client, server, _ := join(t, srv, "ada")
		want := func(what string, theirs, ours session.State) {
			t.Helper()
			if client.State() != theirs || server.State() != ours {
				t.Errorf("%s: the client's end is %v, the server's %v, want %v and %v", what, client.State(), server.State(), theirs, ours)
			}
		}
		want("at first", session.StateOpen, session.StateOpen)
		cut(client)
		want("the link is gone", session.StateInterrupted, session.StateInterrupted)
		resume(client, server)
		settle()
		want("resumed", session.StateOpen, session.StateOpen)
		must(t, server.Send(loot, []byte("gold")))
		server.Close(session.CloseNormal, "")
		want("it drains", session.StateOpen, session.StateClosing)
		time.Sleep(time.Second)
		want("over", session.StateClosed, session.StateClosed)
	})
}

func isDone(c session.End) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// Done is closed when the Close handler has returned, whenever it was asked for.
func TestDone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, early := range []bool{true, false} {
			handled := 0
			srv, _ := newTestServer(t, func(c *Config) {
				c.Handler.Close = func(c *Conn, _ CloseReason) {
					if isDone(c) {
						t.Error("Done is closed before the last handler returns")
					}
					handled++
				}
			})
			client, server, _ := join(t, srv, "ada")
			if early && (isDone(client) || isDone(server)) {
				t.Error("Done is closed at first")
			}
			server.Kick("")
			settle()
			if !isDone(client) || !isDone(server) || handled != 1 {
				t.Errorf("asked early %v: Done is closed %v and %v, want true; %d handlers, want 1", early, isDone(client), isDone(server), handled)
			}
		}
	})
}

// A session whose handler has panicked is done when the handlers of the other events have
// returned.
func TestDoneAfterAPanic(t *testing.T) {
	srv, _ := newTestServer(t, manual, func(c *Config) {
		c.Handler.Interrupted = func(*Conn) { panic("an interruption") }
		c.Handler.Close = func(*Conn, CloseReason) {}
	})
	client, err := srv.Local(LocalConfig{})
	must(t, err)
	events(srv, nil)
	var server *Conn
	for server = range srv.Conns() {
	}
	cut(client)
	server.Kick("")
	if !survive(func() {
		for range srv.Poll(0) {
		}
	}) || isDone(server) {
		t.Error("no handler has panicked before the last one, or Done is closed")
	}
	for range 3 {
		for range srv.Poll(0) {
		}
	}
	if !isDone(server) {
		t.Error("Done is not closed after a panic")
	}
	must(t, srv.Close())
	if !isDone(client) {
		t.Error("Done of the client's end is not closed")
	}
}
