package webtransport

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// The URL has the host of the request, or is that of the Config. A certificate of a CA has no hashes.
func TestWhereClientsFindIt(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		for host, want := range map[string]string{
			"game.example":       "https://game.example:7777/",
			"game.example:8443":  "https://game.example:7777/",
			"[2001:db8::1]":      "https://[2001:db8::1]:7777/",
			"[2001:db8::1]:8443": "https://[2001:db8::1]:7777/",
			"192.0.2.1:8443":     "https://192.0.2.1:7777/",
		} {
			r := httptest.NewRequest(http.MethodPost, "/godwit/", nil)
			r.Host = host
			if url, hashes := w.wt.describe(r); url != want || len(hashes) != 2 {
				t.Errorf("%s: %s, %v", host, url, hashes)
			}
		}
	})
	own := Config{URL: "https://udp.example:7000/x", GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := newCertificate(time.Now())
		return c.tls, err
	}}
	inWorld(t, godwit.Config{}, own, func(w *world) {
		o := w.offer()
		if o.URL != own.URL || len(o.Hashes) != 0 {
			t.Errorf("%+v", o)
		}
		g := w.guest("192.0.2.66")
		if _, _, err := g.dial(w.t.Context(), o.URL+"?ticket="+o.Ticket, nil, nil); err == nil || !strings.Contains(err.Error(), "hashes") {
			t.Errorf("the server did not use the certificate of the program: %v", err)
		}
	})
}

// Serve says what is wrong, and leaves the server as it was.
func TestWhatServeRefuses(t *testing.T) {
	none, err := godwit.New(godwit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	if _, err := Serve(none, Config{}); err == nil || !strings.Contains(err.Error(), "no UDP port") {
		t.Errorf("without a port: %v", err)
	}
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		if _, err := Serve(w.game, Config{}); err == nil {
			t.Error("a second one on a port")
		}
	})
	without, err := godwit.Listen("127.0.0.1:0", godwit.Config{Links: []string{session.LinkWebRTC}})
	if err != nil {
		t.Fatal(err)
	}
	defer without.Close()
	for _, c := range []struct {
		want string
		c    Config
	}{
		{"session.LinkWebTransport", Config{}},
		{"Config.URL", Config{URL: "http://udp.example/"}},
		{"Config.URL", Config{URL: "https://udp.example/%"}},
		{"with a host", Config{URL: "https:///x"}},
		{"without a query", Config{URL: "https://udp.example/?a=b"}},
		{"MaxVisitors", Config{MaxVisitors: -1}},
	} {
		if _, err := Serve(without, c.c); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.c, err)
		}
	}
	q, err := without.RTC().QUIC()
	if err != nil {
		t.Errorf("the port is not free: %v", err)
	} else {
		q.Close()
	}
}

// When the server shuts down, a client gets the reason, and its connection ends at once.
func TestShutdownTellsTheClients(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		closed := make(chan session.CloseReason, 1)
		g := w.guest("192.0.2.66")
		s := g.join(client.SessionHandler{Close: func(_ *client.Session, r session.CloseReason) { closed <- r }})
		o := w.offer()
		other := w.guest("192.0.2.67")
		other.with(o, o.Ticket) // and says nothing
		s.Send(1, []byte("hello"))
		time.Sleep(time.Second)
		begun := time.Now()
		if err := w.game.Shutdown(w.t.Context(), "see you"); err != nil {
			t.Error(err)
		}
		if r := <-closed; r.Code != session.CloseShutdown || r.Text != "see you" {
			t.Errorf("%+v", r)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v", took)
		}
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		for _, x := range []*guest{g, other} {
			if x.conn.Context().Err() == nil {
				t.Errorf("the connection of %v is open", x.addr)
			}
		}
		if _, err := Serve(w.game, Config{}); err == nil {
			t.Error("a closed server serves")
		}
	})
}

// A client that comes with its ticket while the server shuts down finds no session, and its connection
// ends. Visitors are told the end of the server.
func TestClientsThatComeDuringShutdown(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		g := w.guest("192.0.2.66")
		g.join(client.SessionHandler{})
		o := w.offer()
		time.Sleep(time.Second)
		w.network.BlackoutFor(g.addr.Addr(), netip.Addr{}, time.Hour) // it acknowledges nothing
		for c := range w.game.Conns() {
			c.Send(1, []byte("hello"))
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 4*time.Second)
		defer cancel()
		ended := make(chan error)
		go func() { ended <- w.game.Shutdown(ctx, "") }()
		time.Sleep(time.Second)
		late, visitor := w.guest("192.0.2.67"), w.guest("192.0.2.68")
		_, s := late.with(o, o.Ticket)
		time.Sleep(2 * farewell)
		if s.Context().Err() == nil || late.conn.Context().Err() == nil {
			t.Errorf("the session has ended with %v, and the connection with %v", s.Context().Err(), late.conn.Context().Err())
		}
		c := testkit.Must(visitor.handshakeWith(o.Hashes))
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
		if c.Context().Err() == nil {
			t.Error("the connection of a visitor is open")
		}
	})
}

// A client that takes nothing holds the end of the server only for a moment.
func TestADeafClientDuringShutdown(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		g := w.guest("192.0.2.66")
		g.join(client.SessionHandler{})
		time.Sleep(time.Second)
		w.network.BlackoutFor(g.addr.Addr(), netip.Addr{}, time.Hour)
		for c := range w.game.Conns() {
			c.Send(1, make([]byte, 200_000))
		}
		begun := time.Now()
		w.game.Close()
		if took := time.Since(begun); took < 300*time.Millisecond || took > time.Second {
			t.Errorf("Close takes %v", took)
		}
	})
}
