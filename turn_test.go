package godwit

import (
	"strings"
	"testing"
	"time"
)

// When a link is over the others of the process keep their places.
func TestLinksKeepTheirPlaces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		var servers []*Conn
		for _, name := range []string{"a", "b", "c"} {
			_, server, _ := join(t, srv, name)
			servers = append(servers, server)
		}
		for left := 2; left >= 0; left-- {
			servers[2-left].Kick("")
			time.Sleep(time.Second)
			settle()
			l := srv.links
			l.loop.Lock()
			if len(l.ends) != 2*left {
				t.Errorf("with %d sessions there are %d ends of links, want two for each", left, len(l.ends))
			}
			for i, e := range l.ends {
				if e.index != i+1 || e.closed {
					t.Errorf("end %d has the index %d, closed %v", i+1, e.index, e.closed)
				}
			}
			l.loop.Unlock()
		}
	})
}

// What a handler sends leaves when the batch is over, in as few packets as it takes, also
// to others.
func TestHandlersSendTogether(t *testing.T) {
	srv, _ := newTestServer(t, manual)
	clients := make([]*Conn, 2)
	for i := range clients {
		c, err := srv.Local(LocalConfig{})
		must(t, err)
		clients[i] = c
	}
	events(srv, nil)
	var before []uint64
	sent := false
	srv.config.Handler.Message = func(*Conn, ChannelID, []byte) {
		for c := range srv.Conns() {
			before = append(before, c.Stats().PacketsOut)
			for range 3 {
				must(t, c.Send(chat, []byte("x")))
			}
			if n := c.Stats().PacketsOut - before[len(before)-1]; n != 0 {
				t.Errorf("%d packets are sent while the handler runs, want 0", n)
			}
		}
		sent = true
	}
	must(t, clients[0].Send(chat, []byte("go")))
	for !sent {
		for range srv.Poll(0) {
		}
	}
	i := 0
	for c := range srv.Conns() {
		if n := c.Stats().PacketsOut - before[i]; n != 1 {
			t.Errorf("%d packets are sent with three messages, want 1", n)
		}
		i++
	}
}

// Also without Manual the messages of handlers leave at the end of the batch.
func TestHandlersSendTogetherWithoutManual(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		client, server, _ := join(t, srv, "ada")
		time.Sleep(time.Second)
		before := server.Stats().PacketsOut
		d.on.Message = func(c *Conn, _ ChannelID, _ []byte) {
			for range 3 {
				must(t, c.Send(chat, []byte("x")))
			}
			if n := c.Stats().PacketsOut - before; n != 0 {
				t.Errorf("%d packets are sent while the handler runs, want 0", n)
			}
		}
		must(t, client.Send(chat, []byte("go")))
		settle()
		if n := server.Stats().PacketsOut - before; n != 1 {
			t.Errorf("%d packets are sent with three messages, want 1", n)
		}
	})
}

// A link that its session has left is forgotten.
func TestLinksThatSessionsHaveLeftAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		client, server, _ := join(t, srv, "ada")
		for range 3 {
			time.Sleep(time.Second)
			cut(client)
			resume(client, server)
		}
		time.Sleep(time.Second)
		srv.links.loop.Lock()
		defer srv.links.loop.Unlock()
		if n := len(srv.links.ends); n != 2 {
			t.Errorf("%d ends of links for a session, want 2", n)
		}
	})
}

// After a panic that the program recovers from, the next Poll delivers the remaining events at
// once and unchanged, although newer datagrams have arrived.
func TestPollAfterAPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var got []string
		srv, _ := newTestServer(t, manual, func(c *Config) {
			c.Handler.Message = func(_ *Conn, _ ChannelID, b []byte) {
				if string(b) == "bad" {
					panic("bad")
				}
				got = append(got, string(b))
			}
		})
		client, err := srv.Local(LocalConfig{})
		must(t, err)
		for range 3 {
			events(srv, nil)
			time.Sleep(300 * ms)
		}
		want := strings.Repeat("two", 100)
		for _, text := range []string{"bad", want} {
			must(t, client.Send(chat, []byte(text)))
		}
		srv.Flush()
		for !survive(func() {
			for range srv.Poll(0) {
			}
		}) {
		}
		must(t, client.Send(chat, []byte(strings.Repeat("new", 100))))
		srv.Flush()
		start := time.Now()
		for range srv.Poll(time.Hour) {
		}
		if d := time.Since(start); d != 0 || len(got) == 0 || got[0] != want {
			t.Errorf("after %v the messages are %.20q, want at once the first", d, got)
		}
		events(srv, nil)
		if len(got) != 2 || got[1] != strings.Repeat("new", 100) {
			t.Errorf("the messages are %.20q, want two", got)
		}
	})
}

// Also after a panic at the last event of a session the next Poll delivers the events of other
// sessions at once.
func TestPollAfterAPanicAtTheLastEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		told := 0
		srv, _ := newTestServer(t, manual, func(c *Config) {
			c.Handler.Message = func(*Conn, ChannelID, []byte) { told++; panic("always") }
		})
		var clients []*Conn
		for range 3 {
			c, err := srv.Local(LocalConfig{})
			must(t, err)
			clients = append(clients, c)
		}
		for range 3 {
			events(srv, nil)
			time.Sleep(300 * ms)
		}
		for _, c := range clients {
			must(t, c.Send(chat, []byte("x")))
		}
		srv.Flush()
		start := time.Now()
		for n := 1; n <= 3; n++ {
			if !survive(func() {
				for range srv.Poll(time.Hour) {
				}
			}) || told != n || time.Since(start) != 0 {
				t.Errorf("turn %d: after %v %d messages are delivered, want %d at once", n, time.Since(start), told, n)
			}
		}
	})
}

// Poll waits for its d if nothing happens, and not at all if events were left.
func TestPollWaits(t *testing.T) {
	for _, port := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			srv, _ := newTestServer(t, manual)
			if port {
				srv = serve(t, Config{Channels: table, Manual: true})
			}
			client, err := srv.Local(LocalConfig{})
			must(t, err)
			rest := func() {
				for range 5 {
					events(srv, nil)
					time.Sleep(100 * ms)
				}
				events(srv, nil)
			}
			rest()
			poll := func(d time.Duration, want time.Duration) (n int) {
				t.Helper()
				start := time.Now()
				for range srv.Poll(d) {
					n++
					break
				}
				if took := time.Since(start); took != want {
					t.Errorf("port %v: Poll(%v) takes %v, want %v", port, d, took, want)
				}
				return n
			}
			poll(50*ms, 50*ms)
			for range 3 {
				must(t, client.Send(chat, []byte("x")))
			}
			srv.Flush()
			for range 3 {
				if n := poll(time.Hour, 0); n != 1 {
					t.Errorf("port %v: %d events, want 1", port, n)
				}
			}
			rest()
			poll(50*ms, 50*ms)
		})
	}
}

// A deadline that comes nearer wakes the server.
func TestANearerDeadlineWakes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		_, server, _ := join(t, srv, "ada")
		time.Sleep(time.Second)
		server.Renew(time.Now().Add(10 * ms))
		time.Sleep(10 * ms)
		settle()
		if n := srv.Len(); n != 0 {
			t.Errorf("%d sessions are open, want 0", n)
		}
	})
}
