package godwit

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

func TestServerMaySendAnyRateToALocalClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) { c.Handler = Handler{}; c.Limits = Limits{Messages: -1, Bytes: -1} })
		got := 0
		var why *CloseReason
		client, err := srv.Local(LocalConfig{Handler: Handler{
			Message: func(*Conn, ChannelID, []byte) { got++ },
			Close:   func(_ *Conn, r CloseReason) { why = &r },
		}})
		must(t, err)
		settle()
		sent := 0
		for range 200 {
			for range 30 {
				for c := range srv.Conns() {
					if c.Send(chat, []byte("x")) == nil {
						sent++
					}
				}
			}
			time.Sleep(16 * ms)
		}
		time.Sleep(time.Second)
		settle()
		if why != nil || got != sent {
			t.Errorf("sent %d, got %d, %v, %v", sent, got, why, client.State())
		}
	})
}

// No limit of bytes holds for what a server sends to a local client.
func TestServerMaySendAnyBytesToALocalClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) { c.Handler, c.Rate, c.Ceiling = Handler{}, 64<<20, -1 })
		got := 0
		var why *CloseReason
		_, err := srv.Local(LocalConfig{Handler: Handler{
			Message: func(_ *Conn, _ ChannelID, b []byte) { got += len(b) },
			Close:   func(_ *Conn, r CloseReason) { why = &r },
		}})
		must(t, err)
		settle()
		const size, messages = 256 << 10, 16 // in 0.8 s: a server takes 2.8 MiB in that time by default
		for range messages {
			for c := range srv.Conns() {
				must(t, c.Send(loot, make([]byte, size)))
			}
			time.Sleep(50 * ms)
		}
		time.Sleep(time.Second)
		settle()
		if got != size*messages || why != nil {
			t.Errorf("%d bytes have arrived, want %d; the session has ended with %v", got, size*messages, why)
		}
	})
}

func TestClientsEndOfALocalSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) { c.Handler = Handler{} })
		client, err := srv.Local(LocalConfig{User: "mine", Identity: Identity{Name: "ada"}})
		must(t, err)
		settle()
		for c := range srv.Conns() {
			if !c.home.Load().reliable || !client.home.Load().reliable {
				t.Error("an end does not know that its link loses nothing")
			}
			if c.Link() != session.LinkInProcess || client.Link() != session.LinkInProcess {
				t.Errorf("the link is %q at the server's end and %q at the client's, want %q", c.Link(), client.Link(), session.LinkInProcess)
			}
		}
		if rate := client.Stats().Rate; rate != 1<<20 {
			t.Errorf("the client's end sends at %v bytes a second at first, want 1 MiB", rate)
		}
		if name := client.Identity().Name; name != "ada" {
			t.Errorf("the identity at the client's end is %q, want ada", name)
		}
		if client.User != "mine" || client.Kind() != KindInProcess {
			t.Errorf("User %v, Kind %v; want what LocalConfig has, and KindInProcess", client.User, client.Kind())
		}
	})
}
