package client_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A server may give a session the number 0: Join succeeds, as Handler.Open says.
func TestJoinOfASessionWithNumberZero(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		network.SetDefault(netsim.Link{Delay: 10 * time.Millisecond})
		cores := map[*rtcserver.Conn]*sessioncore.Session{}
		pump := func(c *rtcserver.Conn) {
			for {
				b := cores[c].Append(time.Now(), nil, 1150)
				if len(b) == 0 {
					return
				}
				c.Send(0, rtcserver.Binary, b)
			}
		}
		posts := 0
		srv := testkit.Must(rtcserver.Serve(testkit.Listen(t, network, gameAddr), rtcserver.Config{Handler: rtcserver.Handler{
			Open: func(c *rtcserver.Conn) {
				cores[c] = testkit.Must(sessioncore.New(time.Now(), sessioncore.Config{Channel: channel.Config{Server: true, Channels: table}}))
				cores[c].Link(time.Now(), sessioncore.LinkInfo{})
				pump(c)
			},
			Message: func(c *rtcserver.Conn, m rtcserver.Message) { cores[c].Receive(time.Now(), m.Data); pump(c) },
		}}))
		e := testkit.Must(client.Serve(testkit.Listen(t, network, pageAddr), client.Config{HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			r.RemoteAddr = "198.51.100.7:1"
			posts++
			srv.ServeHTTP(w, r)
			return w.Result(), nil
		})}}))
		opens, closes, renewing := 0, 0, 0
		_, err := e.Join(t.Context(), "http://game.example/", client.SessionConfig{Channels: table, Renew: true, RenewAfter: []session.CloseCode{0},
			Handler: client.SessionHandler{
				Open:     func(*client.Session) { opens++ },
				Close:    func(*client.Session, session.CloseReason) { closes++ },
				Renewing: func(*client.Session, session.CloseReason) { renewing++ },
			}})
		time.Sleep(10 * time.Minute)
		if err != nil || opens != 1 || closes != 0 || renewing != 0 || posts != 1 {
			t.Errorf("Join returns %v; %d opens, %d closes, %d renewals, %d requests; want no error, 1, 0, 0, 1", err, opens, closes, renewing, posts)
		}
		e.Close()
		srv.Close()
	})
}
