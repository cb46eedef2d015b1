package webtransport

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// Where WebRTC does not open, a native client opens the WebTransport that the server offers, and
// resumes over another one when its connection has ended. WebRTC takes the session over later.
func TestANativeClientOverWebTransport(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		quicOnly := func(p *netsim.Packet) bool { return p.Payload[0] >= 0x40 }
		w.network.SetTap(quicOnly)
		events := make(chan string, 100)
		g := w.guest("192.0.2.77")
		s := g.player(client.SessionConfig{
			Links: []string{session.LinkWebRTC, session.LinkWebTransport},
			Handler: client.SessionHandler{
				Message:     func(_ *client.Session, _ channel.ID, b []byte) { events <- string(b) },
				Interrupted: func(*client.Session) { events <- "interrupted" },
				Resumed:     func(*client.Session) { events <- "resumed" },
			},
		})
		echo := func(text, link string) {
			t.Helper()
			if err := s.Send(1, []byte(text)); err != nil {
				t.Fatal(err)
			}
			testkit.Want(w.t, "an echo", events, text)
			if s.Link() != link {
				t.Errorf("%s: the session is on %q, want %q", text, s.Link(), link)
			}
		}
		echo("first", session.LinkWebTransport)
		g.conn.CloseWithError(0, "")
		testkit.Want(w.t, "the end of the connection", events, "interrupted")
		testkit.Want(w.t, "another connection", events, "resumed")
		echo("second", session.LinkWebTransport)
		w.network.SetTap(nil)
		time.Sleep(70 * time.Second)
		echo("third", session.LinkWebRTC)
		if st := w.game.Stats().Links; st.Opened != 2 || st.Open != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// A session tries WebTransport beside a WebSocket, without being asked to, and the one that opens
// carries it. A certificate with another hash is refused.
func TestWebTransportBesideAWebSocket(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		w.network.BlackoutFor(netip.Addr{}, netip.Addr{}, time.Hour)
		s := w.guest("192.0.2.77").player(client.SessionConfig{})
		if s.Link() != session.LinkWebSocket {
			t.Errorf("without UDP the session is on %q", s.Link())
		}
		w.network.BlackoutFor(netip.Addr{}, netip.Addr{}, 0)
		o := w.offer()
		d := Dialer{QUIC: w.guest("192.0.2.78").quic}
		_, err := d.Dial(w.t.Context(), client.LinkOffer{URL: o.URL, Ticket: o.Ticket, Hashes: []string{"AAAA"}}, nil)
		if err == nil || !strings.Contains(err.Error(), "none of the hashes") {
			t.Errorf("another certificate: %v", err)
		}
	})
}

// A Dialer looks for no larger packets than the first ones, which every path carries.
func TestADialerKeepsToSmallPackets(t *testing.T) {
	var got quic.Config
	d := Dialer{QUIC: func(_ context.Context, _ string, _ *tls.Config, qc *quic.Config) (*quic.Conn, error) {
		got = *qc
		return nil, context.Canceled
	}}
	if _, err := d.Dial(t.Context(), client.LinkOffer{URL: "https://game.example/"}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial ends with %v, want the error of Dialer.QUIC", err)
	}
	if got.InitialPacketSize != 1200 || !got.DisablePathMTUDiscovery {
		t.Errorf("packets of %d bytes, and no larger ones: %v; want 1200, true", got.InitialPacketSize, got.DisablePathMTUDiscovery)
	}
}

// Without Config.WebTransport a session cannot use one, and the error says so.
func TestWebTransportNeedsADialer(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		e := testkit.Must(client.Serve(testkit.Listen(t, w.network, netip.MustParseAddrPort("192.0.2.11:0")), client.Config{HTTP: w.http}))
		defer e.Close()
		_, err := e.Join(context.Background(), "http://game.example/godwit/", client.SessionConfig{Channels: table, Links: []string{session.LinkWebTransport}})
		if err == nil || !strings.Contains(err.Error(), "needs Config.WebTransport") {
			t.Errorf("the error is %v", err)
		}
	})
}
