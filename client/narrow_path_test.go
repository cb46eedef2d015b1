package client_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
)

// talk sends small messages both ways, enough to fill packets, and sometimes a large message. It
// returns the number of messages each way.
func (g *game) talk(s *client.Session, d time.Duration) (n int64) {
	for i := range int(d / (20 * time.Millisecond)) {
		for k := range 20 {
			b := make([]byte, 30+k)
			if i%50 == 0 && k == 0 {
				b = make([]byte, 3000)
			}
			n++
			g.must(s.Send(chat, b))
			for c := range g.server.Conns() {
				g.must(c.Send(chat, b))
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return n
}

// On a path that takes no large packets they are made smaller, at both ends, also when
// it becomes so in the middle. README.md and docs/PROTOCOL.md name the least path.
func TestNarrowPath(t *testing.T) {
	for _, tt := range []struct {
		name        string
		first, then int // bytes of UDP payload that pass
	}{
		{"least", 1141, 1141},
		{"narrow", 1190, 1190},
		{"becomes narrow", 1300, 1141},
	} {
		var atServer, atClient atomic.Int64
		var sent int64
		c := godwit.Config{Limits: godwit.Limits{Messages: -1}, Handler: godwit.Handler{Message: func(*godwit.Conn, godwit.ChannelID, []byte) { atServer.Add(1) }}}
		inGame(t, c, func(g *game) {
			path := func(mtu int) { g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, MTU: mtu}) }
			path(tt.first)
			s, err := g.connect(client.SessionConfig{Handler: client.SessionHandler{Message: func(*client.Session, channel.ID, []byte) { atClient.Add(1) }}})
			g.must(err)
			conn := slices.Collect(g.server.Conns())[0]
			sent += g.talk(s, time.Second)
			path(tt.then)
			for i := 0; i < 30 && conn.Stats().Fallbacks*s.Stats().Fallbacks == 0; i++ {
				sent += g.talk(s, time.Second)
			}
			sent += g.talk(s, time.Second) // what was lost before is noticed
			lost := conn.Stats().PacketsLost + s.Stats().PacketsLost
			sent += g.talk(s, 5*time.Second)
			lost -= conn.Stats().PacketsLost + s.Stats().PacketsLost
			time.Sleep(time.Second)
			if atServer.Load() != sent || atClient.Load() != sent {
				t.Errorf("%s: of %d messages %d have arrived at the server and %d at the client", tt.name, sent, atServer.Load(), atClient.Load())
			}
			for _, st := range []channel.Stats{conn.Stats().Stats, s.Stats().Stats} {
				if st.PacketLimit >= channel.MinLimit || st.Fallbacks != 1 {
					t.Errorf("%s: packets of %d bytes after %d lost ones, want less than %d after one fallback", tt.name, st.PacketLimit, st.PacketsLost, channel.MinLimit)
				}
			}
			if lost != 0 {
				t.Errorf("%s: %d packets are lost after the fallback, want 0", tt.name, lost)
			}
			if n := g.server.Totals().Fallbacks; n != 1 {
				t.Errorf("%s: the server has counted %d fallbacks, want 1", tt.name, n)
			}
		})
	}
}

// On a path that does not carry fragments a session ends, and both ends get the reason.
func TestTooNarrowPath(t *testing.T) {
	var ended chan string
	c := godwit.Config{Handler: godwit.Handler{Close: func(_ *godwit.Conn, why godwit.CloseReason) { ended <- why.String() }}}
	inGame(t, c, func(g *game) {
		ended = make(chan string, 1)
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, MTU: 1000})
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.must(s.Send(move, make([]byte, 800)))
		g.must(s.Send(chat, make([]byte, 1024)))
		before := time.Now()
		reasons := []string{<-g.events, <-ended}
		took := time.Since(before)
		if took > 10*time.Second {
			t.Errorf("the session ended after %v, want at most 10 s", took)
		}
		for _, why := range reasons {
			if !strings.Contains(why, "timeout: packets of 1031 bytes do not arrive") {
				t.Errorf("the session ended with %q, want a timeout because packets of 1031 bytes do not arrive", why)
			}
		}
	})
}
