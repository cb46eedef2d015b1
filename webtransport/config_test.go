package webtransport

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
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
	for want, c := range map[string]Config{
		"session.LinkWebTransport": {},
		"Config.URL":               {URL: "http://udp.example/"},
		"without a query":          {URL: "https://udp.example/?a=b"},
		"MaxVisitors":              {MaxVisitors: -1},
	} {
		if _, err := Serve(without, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
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
