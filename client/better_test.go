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
		if err := s.dialBetter(t.Context()); err != nil || asked != 1 {
			t.Errorf("asked %d times: %v", asked, err)
		}
		if n := e.Stats().Conns; n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}
