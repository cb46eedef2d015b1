package client_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// A world is a real server and clients on a network in memory.
type world struct {
	t       *testing.T
	network *netsim.Network
	server  *rtcserver.Server
	events  chan string // what handlers were told, on either side
	edit    func(offer string) string
}

// inWorld runs a test in a world whose server echoes.
func inWorld(t *testing.T, test func(w *world)) {
	inWorldOf(t, test, func(w *world) rtcserver.Config {
		return rtcserver.Config{Handler: rtcserver.Handler{
			Message: func(c *rtcserver.Conn, m rtcserver.Message) { c.Send(m.Stream, m.Kind, m.Data) },
			Close:   func(_ *rtcserver.Conn, err *rtcserver.CloseError) { w.events <- "server: " + err.Code.String() },
		}}
	})
}

// inWorldOf is inWorld for a server with the configuration that config returns.
func inWorldOf(t *testing.T, test func(w *world), config func(w *world) rtcserver.Config) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		w := &world{t: t, network: network, events: make(chan string, 1000)}
		w.server = testkit.Must(rtcserver.Serve(testkit.Listen(t, network, gameAddr), config(w)))
		defer w.server.Close()
		test(w)
	})
}

// endpoint opens an endpoint whose handlers report to events.
func (w *world) endpoint(c client.Config) *client.Endpoint {
	w.t.Helper()
	c.Handler = client.Handler{
		Open:    func(*client.Conn) { w.events <- "open" },
		Message: func(_ *client.Conn, m client.Message) { w.events <- fmt.Sprintf("%d %d %s", m.Stream, m.Kind, m.Data) },
		Close:   func(_ *client.Conn, err *client.CloseError) { w.events <- "close: " + err.Code.String() },
	}
	e := testkit.Must(client.Serve(testkit.Listen(w.t, w.network, pageAddr), c))
	w.t.Cleanup(func() { e.Close() })
	return e
}

// signal is the server's signaling without HTTP.
func (w *world) signal(_ context.Context, offer []byte) ([]byte, error) {
	if w.edit != nil {
		offer = []byte(w.edit(string(offer)))
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(offer))
	resp := testkit.Serve(w.server, r)
	if resp.Code != http.StatusOK {
		return nil, &client.SignalError{Status: resp.Code, Text: resp.Body.String()}
	}
	return resp.Body.Bytes(), nil
}

// connect connects e to the server. It returns when the server has opened the connection, too:
// with SNAP the client is faster.
func (w *world) connect(e *client.Endpoint) *client.Conn {
	w.t.Helper()
	before := w.server.Stats().Opened
	c, err := e.Connect(w.t.Context(), w.signal, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.want("open")
	for d := 8 * time.Microsecond; w.server.Stats().Opened == before && d < time.Second; d += d / 8 {
		time.Sleep(d) // in the bubble: it passes when everybody waits
	}
	return c
}

// want waits for the next event.
func (w *world) want(event string) {
	w.t.Helper()
	testkit.Want(w.t, "the world", w.events, event)
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
	return testkit.Next(w.t, "the world", w.events)
}

// wantQuiet expects that nothing else has happened.
func (w *world) wantQuiet() {
	w.t.Helper()
	testkit.WantNone(w.t, "nothing else", w.events)
}

func (w *world) send(c *client.Conn, text string) {
	w.t.Helper()
	if err := c.Send(3, client.Text, []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}
