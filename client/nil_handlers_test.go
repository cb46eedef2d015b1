package client_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// Connect without a Signal is an error, and holds no source address.
func TestConnectWithoutASignal(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{})
		for range 2 {
			if _, err := e.Connect(w.t.Context(), nil, nil); err != client.ErrNoSignal {
				t.Errorf("Connect without a Signal: %v, want ErrNoSignal", err)
			}
		}
		w.connect(e).Close()
	})
}

// Every func of level one may be nil, at both ends, and an Engine func may return no engine.
func TestHandlersMayBeNil(t *testing.T) {
	inWorld(t, func(w *world) {
		w.server.Close()
		pc := testkit.Listen(w.t, w.network, netip.MustParseAddrPort("192.0.2.1:7778"))
		w.server = testkit.Must(rtcserver.Serve(pc, rtcserver.Config{
			Engine: func(*rtcserver.Conn, *http.Request) (rtcserver.Engine, error) { return nil, nil },
		}))
		defer w.server.Close()
		pc = testkit.Listen(w.t, w.network, pageAddr)
		e, err := client.Serve(pc, client.Config{})
		if err != nil {
			w.t.Fatal(err)
		}
		defer e.Close()
		c, err := e.Connect(w.t.Context(), w.signal, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := c.Send(3, client.Text, []byte("up")); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		for s := range w.server.Conns() {
			if err := s.Send(3, rtcserver.Text, []byte("down")); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			s.Close("")
		}
		time.Sleep(10 * time.Second)
		for range w.server.Conns() {
			t.Error("a connection is open")
		}
	})
}
