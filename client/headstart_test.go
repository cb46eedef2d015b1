package client_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// inSlowGame is inLinkedGame with requests that take a time.
func inSlowGame(t *testing.T, request time.Duration, test func(g *game, e *client.Endpoint)) {
	inGame(t, godwit.Config{}, func(g *game) {
		reach := testkit.ServeHTTP(g.t, g.server).Client().Transport
		slow := roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				select {
				case <-time.After(request):
				case <-r.Context().Done():
				}
			}
			return reach.RoundTrip(r)
		})
		e := testkit.Must(client.Serve(testkit.Listen(g.t, g.network, pageAddr), client.Config{HTTP: &http.Client{Transport: slow}}))
		defer e.Close()
		test(g, e)
	})
}

// Where UDP does not arrive, the head start of WebRTC counts from the beginning of the request.
func TestTheHeadStartBeginsWithTheRequest(t *testing.T) {
	for request, want := range map[time.Duration]time.Duration{
		100 * time.Millisecond: 500 * time.Millisecond,
		400 * time.Millisecond: 1200 * time.Millisecond,
		2 * time.Second:        6 * time.Second,
	} {
		inSlowGame(t, request, func(g *game, e *client.Endpoint) {
			g.dark(time.Hour)
			start := time.Now()
			s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
			if took := time.Since(start); took != want {
				t.Errorf("with a request of %v it took %v, want %v", request, took, want)
			}
			g.wantLink(s, session.LinkWebSocket)
		})
	}
}

// Where UDP arrives no WebSocket is opened, however long the round trip is, if the request takes
// one round trip or three.
func TestALongRoundTripOpensNoWebSocket(t *testing.T) {
	for _, rtt := range []time.Duration{60, 200, 400, 1000} {
		for _, trips := range []time.Duration{1, 3} {
			rtt := rtt * time.Millisecond
			inSlowGame(t, trips*rtt, func(g *game, e *client.Endpoint) {
				g.network.SetDefault(netsim.Link{Delay: rtt / 2})
				start := time.Now()
				s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
				t.Logf("a round trip of %v, a request of %d: open after %v", rtt, trips, time.Since(start))
				time.Sleep(10 * time.Second)
				g.wantLink(s, session.LinkWebRTC)
				if n := g.server.Stats().Links.Opened; n != 0 {
					t.Errorf("with a round trip of %v and a request of %d of them, %d WebSockets were opened", rtt, trips, n)
				}
			})
		}
	}
}

// Where checks arrive and then nothing more, a WebSocket is opened after twice the head start.
func TestAHandshakeThatStaysOpenGetsTwiceTheHeadStart(t *testing.T) {
	inSlowGame(t, 200*time.Millisecond, func(g *game, e *client.Endpoint) {
		g.network.SetTap(func(p *netsim.Packet) bool { return p.Payload[0] < 20 || p.Payload[0] > 63 })
		start := time.Now()
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		if took, want := time.Since(start), 1200*time.Millisecond; took != want {
			t.Errorf("it took %v, want %v", took, want)
		}
		g.wantLink(s, session.LinkWebSocket)
	})
}
