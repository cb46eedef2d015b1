package godwit

import (
	"sync"
	"testing"

	"github.com/godwit-rtc/godwit/session"
)

// Every method of a Server, a Conn and a Group may be called from any goroutine at the same time
// as all others: the race detector finds errors.
func TestMethodsFromManyGoroutines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) {
			c.Limits.Messages, c.Limits.Bytes, c.Limits.Requests, c.MaxClientChannels = -1, -1, -1, 1
		})
		client, server, _ := join(t, srv, "ada")
		group := srv.NewGroup()
		calls := []func(){
			func() { srv.Broadcast(loot, []byte("b")) },
			func() { srv.BroadcastExcept(server, loot, []byte("b")) },
			func() { srv.Stats(); srv.Totals(); srv.Len(); srv.RTC() },
			func() {
				for range srv.Conns() {
				}
			},
			func() { srv.Flush() },
			func() { group.Join(server); group.Leave(server) },
			func() { group.Send(loot, []byte("g")); group.SendExcept(server, loot, []byte("g")) },
			func() { srv.BroadcastNamed(nil, "more", nil); group.SendNamed(server, "more", nil) },
			func() {
				if c, err := srv.Local(LocalConfig{}); err == nil {
					c.Kick("")
				}
			},
		}
		for _, c := range []*Conn{client, server} {
			calls = append(calls,
				func() { c.Send(move, []byte("m")); c.SendWith(chat, []byte("c"), Options{Receipt: true}) },
				func() { c.Ask("q", []byte("q"), func(Result) {}) },
				func() { c.Stats(); c.ChannelStats(chat); c.Free(chat); c.Channels() },
				func() { c.ID(); c.Identity(); c.Kind(); c.Hello(); c.RemoteAddr() },
				func() {
					c.OpenChannel(Channel{Name: "more"})
					c.Channels().ID("more")
					c.SendNamed("more", []byte("n"), Options{})
				},
				func() { c.CloseChannel(4); c.CloseChannel(5) },
			)
		}
		var all sync.WaitGroup
		for _, call := range calls {
			for range 2 {
				all.Go(func() {
					for range 50 {
						call()
					}
				})
			}
		}
		all.Wait()
		all.Go(func() { client.Close(session.CloseNormal, "") })
		all.Go(func() { server.Kick("") })
		all.Wait()
		srv.Close()
		if _, err := srv.Local(LocalConfig{}); err != session.ErrClosed {
			t.Errorf("Local after Close: %v, want ErrClosed", err)
		}
	})
}
