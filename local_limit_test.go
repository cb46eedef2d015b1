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

func TestClientsEndOfALocalSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) { c.Handler = Handler{} })
		client, err := srv.Local(LocalConfig{User: "mine"})
		must(t, err)
		settle()
		for c := range srv.Conns() {
			if c.Link() != session.LinkInProcess || client.Link() != session.LinkInProcess {
				t.Errorf("the link is %q at the server's end and %q at the client's, want %q", c.Link(), client.Link(), session.LinkInProcess)
			}
		}
		if rate := client.Stats().Rate; rate != 1<<20 {
			t.Errorf("the client's end sends at %v bytes a second at first, want 1 MiB", rate)
		}
		if client.User != "mine" || client.Kind() != KindInProcess {
			t.Errorf("User %v, Kind %v; want what LocalConfig has, and KindInProcess", client.User, client.Kind())
		}
	})
}
