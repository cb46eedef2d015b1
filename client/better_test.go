package client

import (
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// A session on a WebSocket asks for WebRTC, and the answer has other links only: the session
// keeps its link.
func TestAnswerWithoutABetterLink(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		asked := 0
		server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			io.WriteString(w, `{"links":[{"type":"websocket","url":"/link","ticket":"t"}]}`)
		})
		socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
		e := testkit.Must(Serve(socket, Config{HTTP: &http.Client{Transport: testkit.Transport{Handler: server}}}))
		defer e.Close()
		sc := SessionConfig{Channels: channel.Channels{{Name: "chat"}}}
		if err := sc.setDefaults(); err != nil {
			t.Fatal(err)
		}
		s := &Session{endpoint: e, config: sc, url: "http://game.example/"}
		s.session = testkit.Must(sessioncore.New(time.Now(), sc.session()))
		if s.dialBetter(t.Context()); asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		if n := e.Stats().Conns; n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}

// A WebSocket waits for WebRTC, unless the session has lost its link, or WebRTC has not opened at the
// same URL in the last hour.
func TestHeadStarts(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
		e := testkit.Must(Serve(socket, Config{Manual: true}))
		defer e.Close()
		for _, c := range []struct {
			fell   string
			ago    time.Duration
			resume bool
			took   time.Duration
			want   time.Duration
		}{
			{"", 0, false, 0, headStart},
			{"", 0, false, headStart, raceTrips * headStart},
			{"", 0, true, headStart, 0},
			{"http://a/", 0, false, 0, 0},
			{"http://a/", fallenFor - 1, false, 0, 0},
			{"http://a/", fallenFor, false, 0, headStart},
			{"http://b/", 0, false, 0, headStart},
		} {
			s := &Session{endpoint: e, url: "http://a/"}
			e.fell = fallen{c.fell, time.Now().Add(-c.ago)}
			if got := s.headStart(&reply{took: c.took}, c.resume); got != c.want {
				t.Errorf("%+v: %v", c, got)
			}
		}
	})
}
