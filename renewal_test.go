package godwit

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// Renew with a time that has passed ends a session now, with zero for no time, and with
// another at that time.
func TestRenewChangesTheEnd(t *testing.T) {
	for _, c := range []struct {
		name  string
		until time.Duration // from now; 0 stands for never
		ends  time.Duration // -1: never
	}{
		{"the past", -time.Second, 0},
		{"later", 30 * time.Second, 30 * time.Second},
		{"never", 0, -1},
	} {
		bubble(t, func(t *testing.T) {
			srv, d := newTestServer(t)
			client, server, _ := join(t, srv, "ada")
			var until time.Time
			if c.until != 0 {
				until = time.Now().Add(c.until)
			}
			server.Renew(until)
			if !server.Expires().Equal(until) {
				t.Errorf("%s: the session expires at %v, want %v", c.name, server.Expires(), until)
			}
			if err := server.Send(chat, nil); (err == session.ErrClosed) != (c.ends == 0) {
				t.Errorf("%s: Send: %v, want ErrClosed: %v", c.name, err, c.ends == 0)
			}
			if client.Renew(time.Now()); !client.Expires().IsZero() {
				t.Errorf("%s: Renew of the client's end has an effect", c.name)
			}
			settle()
			if over := srv.Len() == 0; over != (c.ends == 0) {
				t.Errorf("%s: the session is over at once: %v, want %v", c.name, over, c.ends == 0)
			}
			if c.ends > 0 {
				time.Sleep(c.ends - ms)
				if srv.Len() != 1 {
					t.Errorf("%s: the session ends too early", c.name)
				}
				time.Sleep(ms)
				settle()
			} else {
				time.Sleep(time.Hour)
			}
			if want := map[bool]int{true: 1, false: 0}[c.ends < 0]; srv.Len() != want {
				t.Errorf("%s: %d sessions are open, want %d", c.name, srv.Len(), want)
			}
			if lines := d.Take(); c.ends >= 0 && lines[len(lines)-1] != "closed here: auth: the credentials have expired" {
				t.Errorf("%s: the events are %q", c.name, lines)
			}
		})
	}
}

// While more than half of all sessions are interrupted, the session that was interrupted first
// ends early. A session whose packets arrive again does not count.
func TestServerEndsInterruptedSessionsEarly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t, func(c *Config) { c.MaxConns = 4 })
		var clients, servers []*Conn
		for _, name := range []string{"a", "b", "c", "d"} {
			client, server, _ := join(t, srv, name)
			clients, servers = append(clients, client), append(servers, server)
		}
		time.Sleep(time.Second)
		d.Take()
		cut(clients[0])
		settle()
		resume(clients[0], servers[0])
		settle()
		cut(clients[1])
		cut(clients[2])
		settle()
		if n := srv.directory.away; n != 2 {
			t.Errorf("%d are away, want 2", n)
		}
		time.Sleep(6 * time.Second)
		d.Take()
		cut(clients[3])
		settle()
		time.Sleep(ms)
		lines := d.Take()
		if n := len(lines); n != 2 || lines[n-1] != "closed here: timeout: interrupted, and more than half of all sessions were" || srv.Len() != 3 {
			t.Errorf("the events are %q, want two; %d sessions are open, want 3", lines, srv.Len())
		}
	})
}
