package client_test

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
)

// inPolledGame runs a test in a game whose server is polled until a client has joined.
func inPolledGame(t *testing.T, test func(g *game, player *godwit.Conn)) {
	inGame(t, godwit.Config{Manual: true}, func(g *game) {
		var player *godwit.Conn
		opened := make(chan struct{})
		go func() {
			defer close(opened)
			for player == nil {
				for ev := range g.server.Poll(16 * time.Millisecond) {
					if ev.Type == session.EventOpen {
						player = ev.Conn
					}
				}
			}
			g.server.Flush()
		}()
		_, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		<-opened
		g.want("open")
		test(g, player)
	})
}

// With Manual a message to a client over the network leaves at Flush, and not before.
func TestFlushSendsWhatIsQueued(t *testing.T) {
	inPolledGame(t, func(g *game, player *godwit.Conn) {
		g.must(player.Send(chat, []byte("now")))
		time.Sleep(time.Second)
		select {
		case got := <-g.events:
			t.Errorf("the event %q before Flush", got)
		default:
		}
		g.server.Flush()
		g.want("chat: now")
	})
}

// A server with Manual that closes at once also sends the reason.
func TestCloseOfAPolledServerSaysWhy(t *testing.T) {
	inPolledGame(t, func(g *game, _ *godwit.Conn) {
		g.must(g.server.Close())
		g.want("closed by the other end: shutdown")
	})
}

// Without Manual a broadcast leaves at once.
func TestBroadcastsLeaveAtOnce(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		_, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		for range 5 {
			time.Sleep(time.Second)
			start := time.Now()
			g.must(g.server.Broadcast(chat, []byte("now")))
			g.want("chat: now")
			if d := time.Since(start); d != 20*time.Millisecond {
				t.Errorf("the message took %v over a link of 20 ms", d)
			}
		}
	})
}
