package client_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
)

// A link that was to resume a session, and has never spoken, ends with the session: else
// one address could hold any number of connections that nothing counts.
func TestLinksOfEndedSessionsEnd(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		var ends []*client.Endpoint
		endpoint := func(got func([]byte)) *client.Endpoint {
			pc, err := g.network.Listen(netip.MustParseAddrPort(clientAddr + ":0"))
			g.must(err)
			e, err := client.New(pc, client.Config{Handler: client.Handler{
				Message: func(_ *client.Conn, m client.Message) { got(bytes.Clone(m.Data)) },
			}})
			g.must(err)
			ends = append(ends, e)
			return e
		}
		signal := func(auth string) client.Signal {
			return func(_ context.Context, offer []byte) ([]byte, error) {
				r := httptest.NewRequest(http.MethodPost, fmt.Sprintf("/?v=1&kind=native&channels=%016x", table.Hash()), bytes.NewReader(offer))
				r.RemoteAddr = "198.51.100.7:1"
				r.Header.Set("Accept", "application/sdp")
				if auth != "" {
					r.Header.Set("Authorization", auth)
				}
				w := httptest.NewRecorder()
				g.server.ServeHTTP(w, r)
				if w.Code != 200 {
					return nil, fmt.Errorf("%d %s", w.Code, w.Body)
				}
				return w.Body.Bytes(), nil
			}
		}
		leaked := 0
		for i := range 70 {
			var mu sync.Mutex
			mux, err := channel.New(time.Now(), channel.Config{Channels: table})
			g.must(err)
			e := endpoint(func(b []byte) { mu.Lock(); mux.Receive(time.Now(), b); mu.Unlock() })
			c, err := e.Connect(g.t.Context(), signal(""), nil)
			if err != nil {
				t.Fatalf("session %d: %v", i, err)
			}
			mux.Send(time.Now(), 0, []byte("\x01\x00\x00"), channel.Options{})
			token := ""
			for range 60 {
				mu.Lock()
				mux.Advance(time.Now())
				for b := mux.Append(time.Now(), nil, channel.MaxPacket); len(b) > 0; b = mux.Append(time.Now(), nil, channel.MaxPacket) {
					c.Send(0, client.Binary, b)
				}
				for _, ev := range mux.Events(nil) {
					if ev.Type == channel.EventMessage && len(ev.Payload) >= 25 && token == "" {
						token = base64.RawURLEncoding.EncodeToString(ev.Payload[9:25])
					}
				}
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
			}
			if token == "" {
				t.Fatal("no token")
			}
			e2 := endpoint(func([]byte) {})
			if _, err := e2.Connect(g.t.Context(), signal("Godwit-Resume "+token), nil); err != nil {
				t.Fatal(err)
			}
			leaked++
			// close the session (CLOSE of the mux), then its link
			mu.Lock()
			mux.Close(time.Now(), 300, "")
			for b := mux.Append(time.Now(), nil, channel.MaxPacket); len(b) > 0; b = mux.Append(time.Now(), nil, channel.MaxPacket) {
				c.Send(0, client.Binary, b)
			}
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			c.Close()
		}
		time.Sleep(3 * time.Second)
		if n := g.server.RTC().Stats().Conns; n != 0 || leaked < 70 {
			t.Errorf("%d connections are left of %d sessions that have ended", n, leaked)
		}
		for _, e := range ends {
			e.Close()
		}
	})
}
