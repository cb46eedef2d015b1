package client

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// With Retry, Connect tries again with the socket that it has opened: an attempt that has
// failed does not end the endpoint. When Connect gives up, the endpoint ends.
func TestConnectTriesAgain(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		attempts := 0
		server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if attempts++; attempts < 4 {
				http.Error(w, "a proxy without a server", http.StatusBadGateway)
				return
			}
			w.WriteHeader(http.StatusForbidden)
			w.Write([]byte(`{"code":"forbidden","error":"no"}`))
		})
		socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
		e, err := Serve(socket, Config{HTTP: &http.Client{Transport: testkit.Transport{Handler: server}}})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_, err = e.join(t.Context(), "http://game.example/", SessionConfig{Retry: true}, true) // as Connect does
		if refused, ok := errors.AsType[*SignalError](err); !ok || refused.Code != "forbidden" || attempts != 4 {
			t.Errorf("after %d attempts, want 4: %v", attempts, err)
		}
		if d := time.Since(begin); d < 1750*time.Millisecond || d > 3500*time.Millisecond {
			t.Errorf("the waits took %v, want half to all of 0.5 s, 1 s and 2 s", d)
		}
		e.Close()
		if _, err := e.Dial(t.Context(), "http://game.example/", nil); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Dial after Close: %v, want ErrClosed", err)
		}
	})
}
