package client_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// A world is a real server and clients on a network in memory.
type world struct {
	t       *testing.T
	network *netsim.Network
	server  *rtcserver.Server
	events  chan string // what handlers were told, on either side
	edit    func(offer []byte) []byte
}

// inWorld runs a test in a world whose server echoes.
func inWorld(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, network: netsim.New(1), events: make(chan string, 1000)}
		defer w.network.Close()
		pc, err := w.network.Listen(netip.MustParseAddrPort("192.0.2.1:7777"))
		if err != nil {
			t.Fatal(err)
		}
		w.server, err = rtcserver.Serve(pc, rtcserver.Config{Handler: rtcserver.Handler{
			Message: func(c *rtcserver.Conn, m rtcserver.Message) { c.Send(m.Stream, m.Kind, m.Data) },
			Close:   func(_ *rtcserver.Conn, err *rtcserver.CloseError) { w.events <- "server: " + err.Code.String() },
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer w.server.Close()
		test(w)
	})
}

// endpoint opens an endpoint whose handlers report to events.
func (w *world) endpoint(c client.Config) *client.Endpoint {
	w.t.Helper()
	pc, err := w.network.Listen(netip.MustParseAddrPort("198.51.100.7:0"))
	if err != nil {
		w.t.Fatal(err)
	}
	c.Handler = client.Handler{
		Open:    func(*client.Conn) { w.events <- "open" },
		Message: func(_ *client.Conn, m client.Message) { w.events <- fmt.Sprintf("%d %d %s", m.Stream, m.Kind, m.Data) },
		Close:   func(_ *client.Conn, err *client.CloseError) { w.events <- "close: " + err.Code.String() },
	}
	e, err := client.New(pc, c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { e.Close() })
	return e
}

// signal is the server's signaling without HTTP.
func (w *world) signal(_ context.Context, offer []byte) ([]byte, error) {
	if w.edit != nil {
		offer = w.edit(offer)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(offer))
	resp := httptest.NewRecorder()
	w.server.ServeHTTP(resp, r)
	if resp.Code != http.StatusOK {
		return nil, &client.SignalError{Status: resp.Code, Text: resp.Body.String()}
	}
	return resp.Body.Bytes(), nil
}

// connect connects e to the server.
func (w *world) connect(e *client.Endpoint) *client.Conn {
	w.t.Helper()
	c, err := e.Connect(w.t.Context(), w.signal, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.want("open")
	return c
}

// want waits for the next event.
func (w *world) want(event string) {
	w.t.Helper()
	if got := w.next(); got != event {
		w.t.Fatalf("%q happened, want %q", got, event)
	}
}

// wantBoth waits for two events, in either order.
func (w *world) wantBoth(a, b string) {
	w.t.Helper()
	switch first, second := w.next(), w.next(); {
	case first == a && second == b, first == b && second == a:
	default:
		w.t.Fatalf("%q and %q happened, want %q and %q", first, second, a, b)
	}
}

func (w *world) next() string {
	w.t.Helper()
	select {
	case got := <-w.events:
		return got
	case <-time.After(time.Minute):
		w.t.Fatal("nothing happens")
		return ""
	}
}

// wantQuiet expects that nothing else has happened.
func (w *world) wantQuiet() {
	w.t.Helper()
	select {
	case got := <-w.events:
		w.t.Fatalf("%q happened", got)
	default:
	}
}

func (w *world) send(c *client.Conn, text string) {
	w.t.Helper()
	if err := c.Send(3, client.Text, []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

// replace is an edit of the offer.
func replace(from, to string) func([]byte) []byte {
	return func(b []byte) []byte {
		if !strings.Contains(string(b), from) {
			panic("the offer has no " + from)
		}
		return []byte(strings.Replace(string(b), from, to, 1))
	}
}
