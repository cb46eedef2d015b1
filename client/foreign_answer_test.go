package client_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
)

// silence has the server unheard until the client has asked for a new link for 8 s.
func (g *game) silence() {
	g.network.SetDefault(netsim.Link{Loss: 1})
	g.want("interrupted")
	time.Sleep(8 * time.Second)
	g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
}

// A gate, an ingress or a proxy answers in place of the server while a session looks for a link.
// The session continues when the server answers again.
func TestForeignAnswers(t *testing.T) {
	for _, status := range []int32{401, 403, 404, 200, 502} {
		t.Run(strconv.Itoa(int(status)), func(t *testing.T) {
			inGame(t, godwit.Config{}, func(g *game) {
				s, err := g.connect(client.SessionConfig{Handler: g.handler()})
				g.must(err)
				g.want("open")
				g.foreign.Store(status)
				g.silence()
				g.foreign.Store(0)
				g.want("resumed")
				s.Close(0, "")
				g.want("closed here: normal")
			})
		})
	}
	t.Run("renewing", func(t *testing.T) {
		inGame(t, godwit.Config{}, func(g *game) {
			sc := g.renewing()
			var fail atomic.Bool
			sc.Token = func(ctx context.Context) (string, error) {
				if fail.Load() {
					return "", errors.New("no route to host")
				}
				return "x", nil
			}
			s, err := g.connect(sc)
			g.must(err)
			fail.Store(true)
			for c := range g.server.Conns() {
				c.Close(2, "update")
			}
			g.want("open", "renewing, closed by the other end: shutdown: update")
			time.Sleep(10 * time.Second)
			fail.Store(false)
			g.foreign.Store(http.StatusNotFound)
			time.Sleep(30 * time.Second)
			g.foreign.Store(0)
			g.want("open")
			s.Close(0, "")
			g.want("closed here: normal")
		})
	})
}

// Servers that do not have the session answer that it is unknown. The client gives up when only
// one such server answers.
func TestResumeAtAnotherServer(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		_, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.unknown.Store(5)
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted", "closed here: timeout: not here")
	})
	inGame(t, godwit.Config{}, func(g *game) {
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.unknown.Store(4)
		g.silence()
		g.want("resumed")
		s.Close(0, "")
		g.want("closed here: normal")
	})
}
