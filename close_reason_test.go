package godwit

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// TestCloseReasons provokes reasons for the end of a session. Other tests provoke timeouts,
// duplicates, replacement and shutdown; TestStrangers provokes those that no correct client
// causes.
func TestCloseReasons(t *testing.T) {
	for _, c := range []struct {
		name   string
		config func(*Config)
		do     func(client, server *Conn)
		want   string // what the client hears
	}{
		{"normal", nil, func(_, server *Conn) { server.Close(session.CloseNormal, "") }, "closed by the other end: normal"},
		{"kicked", nil, func(_, server *Conn) { server.Kick("cheating") }, "closed by the other end: kicked: cheating"},
		{"auth", nil, func(_, server *Conn) { server.Close(session.CloseAuth, "banned") }, "closed by the other end: auth: banned"},
		{"program", nil, func(_, server *Conn) { server.Close(session.CloseProgram, "x") }, "closed by the other end: code 256: x"},
		{"messages", func(c *Config) { c.Limits.Messages = 1 }, func(client, _ *Conn) {
			for range 3 {
				client.Send(chat, nil)
			}
		}, "closed by the other end: limit: messages: more than 1 messages per second"},
		{"bytes", func(c *Config) { c.Limits.Bytes = 10 }, func(client, _ *Conn) {
			client.Send(chat, make([]byte, 21))
			client.Send(chat, []byte("x"))
		}, "closed by the other end: limit: bytes: more than 10 bytes per second"},
		{"protocol", nil, func(client, _ *Conn) {
			e := client.home.Load().link.(*linkEnd)
			e.links.loop.Lock()
			put(e.peer, []byte{0x10, 5, 0xc0 | 9, 1, 'x'}) // a message of a channel that is not there
			e.links.loop.Unlock()
		}, "closed by the other end: protocol error: a frame does not fit the table: unknown-channel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				if c.config == nil {
					c.config = func(*Config) {}
				}
				srv, _ := newTestServer(t, c.config)
				client, server, d := join(t, srv, "ada")
				d.want(t, "open ")
				c.do(client, server)
				time.Sleep(time.Second)
				d.want(t, c.want)
				n := uint64(0)
				for _, v := range srv.Stats().Closed {
					n += v
				}
				if n != 1 {
					t.Errorf("%d ends are counted, want 1: %v", n, srv.Stats().Closed)
				}
			})
		})
	}
}

func TestUnreliableMessagesBeyondTheLimitAreDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t, func(c *Config) { c.Limits.Messages = 5 })
		client, server, _ := join(t, srv, "ada")
		d.Take()
		for range 15 {
			client.Send(move, []byte("x"))
			settle()
		}
		if got, dropped := len(d.Take()), server.Stats().Limited; got != 10 || dropped != 5 {
			t.Errorf("%d messages have arrived, want 10; %d were dropped, want 5", got, dropped)
		}
	})
}

func TestTooManyRequestsAreRejected(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t, func(c *Config) { c.Limits.Requests = 1 })
		d.on.Request = func(_ *Conn, r *Request) { r.Keep(); time.AfterFunc(time.Hour, func() { r.Ack() }) }
		client, server, _ := join(t, srv, "ada")
		d.Take()
		for range 2 {
			client.Ask("x", nil, func(r Result) { d.Note("%v %s", r.Status, r.Text) })
		}
		time.Sleep(time.Second)
		d.want(t, "request x: ", "rejected too many requests in flight")
		if server.Stats().Rejected != 1 {
			t.Errorf("%d rejections are counted, want 1", server.Stats().Rejected)
		}
		client.Close(session.CloseNormal, "")
		settle()
	})
}

// A session that is being closed stays for DrainTimeout, and then gives up what is not delivered.
func TestCloseDrainsForDrainTimeout(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{-1: 0, time.Second: time.Second, 3 * time.Second: 3 * time.Second, 0: 10 * time.Second} {
		bubble(t, func(t *testing.T) {
			var ended time.Time
			var lost uint64
			srv, _ := newTestServer(t, func(c *Config) {
				c.DrainTimeout, c.Floor, c.Ceiling = timeout, 10_000, 10_000 // 18 s for all
				c.Handler.Close = func(_ *Conn, why CloseReason) { ended, lost = time.Now(), why.LostOut }
			})
			_, server, _ := join(t, srv, "ada")
			for range 18 {
				must(t, server.Send(chat, make([]byte, 10_000)))
			}
			began := time.Now()
			server.Close(session.CloseNormal, "")
			time.Sleep(20 * time.Second)
			settle()
			took := ended.Sub(began)
			if most := 180_000 - uint64(7_000*want.Seconds()); took != want || lost < 60_000 || lost > most {
				t.Errorf("DrainTimeout %v: the session ended after %v, want %v; %d bytes were given up, want 60,000 to %d", timeout, took, want, lost, most)
			}
		})
	}
}
