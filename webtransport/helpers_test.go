package webtransport

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	wt "github.com/quic-go/webtransport-go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

var table = channel.Channels{
	{Name: "chat", Mode: channel.ReliableOrdered},
	{Name: "move", Mode: channel.Sequenced},
}

var serverAddr = netip.MustParseAddrPort("192.0.2.1:7777")

// TestMain fails if a goroutine of quic-go or of a server is left behind.
func TestMain(m *testing.M) {
	testkit.Main(m, "/quic-go", "/webtransport.", "/godwit.", "/rtcserver.", "/client.")
}

// A world is a server that echoes, with WebTransport, on a network in memory and in virtual time.
type world struct {
	t       *testing.T
	network *netsim.Network
	game    *godwit.Server
	wt      *Server
	pipes   *testkit.Pipes
	http    *http.Client
	table   channel.Channels
}

func inWorld(t *testing.T, gc godwit.Config, c Config, test func(w *world)) {
	t.Helper()
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		if gc.Channels == nil {
			gc.Channels = table
		}
		if gc.Handler.Message == nil {
			gc.Handler.Message = func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) }
		}
		gc.RTC.TrustUnixSocket = true // the pipes have no address
		network.SetDefault(netsim.Link{Delay: 10 * time.Millisecond})
		w := &world{t: t, network: network, table: gc.Channels}
		w.game = testkit.Must(godwit.Serve(testkit.Listen(t, network, serverAddr), gc))
		defer w.game.Close()
		w.wt = testkit.Must(Serve(w.game, c))
		w.pipes = testkit.ServeHTTP(t, w.game)
		w.http = w.pipes.Client()
		test(w)
	})
}

// An offered is a link of an answer.
type offered struct {
	Type, URL, Ticket string
	Hashes            []string
}

// ask asks for links as a client without WebRTC, and returns those that the server offers.
func (w *world) ask() []offered { return w.askFrom("") }

// askFrom asks for links as a page of an origin does, or as the server's own for "".
func (w *world) askFrom(origin string) []offered {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, fmt.Sprintf("http://game.example/godwit/?v=1&channels=%016x", channel.Table{Channels: w.table}.Hash()), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if r.Header.Set("Sec-Fetch-Site", "same-origin"); origin != "" {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", origin)
	}
	resp, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%d %s %v", resp.StatusCode, b, err)
	}
	var body struct{ Links []offered }
	if err := json.Unmarshal(b, &body); err != nil {
		w.t.Fatal(err)
	}
	return body.Links
}

// offer returns the WebTransport that the server offers to a new client.
func (w *world) offer() offered { return w.offerFrom("") }

func (w *world) offerFrom(origin string) offered {
	w.t.Helper()
	for _, l := range w.askFrom(origin) {
		if l.Type == session.LinkWebTransport {
			return l
		}
	}
	w.t.Fatal("the server offers no WebTransport")
	return offered{}
}

// noLimits lets one address do anything.
var noLimits = rtcserver.Settings{MaxPerIP: -1, MaxOffers: -1}

var tls13 = tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}}

type tlsConfig = tls.Config

// A guest is a client of QUIC with an address of its own.
type guest struct {
	w         *world
	addr      netip.AddrPort
	transport *quic.Transport
	conn      *quic.Conn // of the last dial
}

// guest opens a socket for a client.
func (w *world) guest(ip string) *guest {
	w.t.Helper()
	conn := testkit.Listen(w.t, w.network, netip.AddrPortFrom(netip.MustParseAddr(ip), 0))
	g := &guest{w: w, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), transport: &quic.Transport{Conn: quiet{conn}}}
	w.t.Cleanup(func() {
		g.transport.Close()
		conn.Close()
	})
	return g
}

// quiet is a socket whose buffers quic-go believes that it has set: otherwise it complains.
type quiet struct{ net.PacketConn }

func (quiet) SetReadBuffer(int) error  { return nil }
func (quiet) SetWriteBuffer(int) error { return nil }

// dial opens a WebTransport as a browser does: it accepts only the certificates of the hashes.
func (g *guest) dial(ctx context.Context, url string, header http.Header, hashes []string) (*http.Response, *wt.Session, error) {
	d := wt.Transport{
		TLSClientConfig: pinned(hashes),
		QUICConfig:      &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true},
		DialAddr:        g.quic,
	}
	return d.Dial(ctx, url, header)
}

// quic opens a connection of QUIC from the guest's socket.
func (g *guest) quic(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
	tc.ServerName = "game.example"
	c, err := g.transport.DialEarly(ctx, net.UDPAddrFromAddrPort(serverAddr), tc, qc)
	g.conn = c
	return c, err
}

// player begins a session of package client, whose WebTransports are opened from the guest's socket.
func (g *guest) player(sc client.SessionConfig) *client.Session {
	w := g.w
	w.t.Helper()
	e := testkit.Must(client.Serve(testkit.Listen(w.t, w.network, netip.AddrPortFrom(g.addr.Addr(), 0)), client.Config{
		HTTP: w.http, WebTransport: (&Dialer{QUIC: g.quic}).Dial,
	}))
	w.t.Cleanup(func() { e.Close() })
	sc.Channels = w.table
	return testkit.Must(e.Join(w.t.Context(), "http://game.example/godwit/", sc))
}

// with opens a WebTransport with a ticket.
func (g *guest) with(o offered, ticket string) (status int, s *wt.Session) {
	g.w.t.Helper()
	resp, s, err := g.dial(g.w.t.Context(), o.URL+"?ticket="+ticket, nil, o.Hashes)
	if resp == nil {
		g.w.t.Fatal(err)
	}
	return resp.StatusCode, s
}

// join begins a session over WebTransport.
func (g *guest) join(h client.SessionHandler) *client.Session {
	w := g.w
	w.t.Helper()
	e := testkit.Must(client.Serve(testkit.Listen(w.t, w.network, netip.AddrPortFrom(g.addr.Addr(), 0)), client.Config{}))
	w.t.Cleanup(func() { e.Close() })
	return testkit.Must(e.JoinOver(w.t.Context(), client.LinkConfig{
		Name: session.LinkWebTransport,
		Dial: func(ctx context.Context, l *client.Link) (client.Carrier, error) {
			o := w.offer()
			return (&Dialer{QUIC: g.quic}).Dial(ctx, client.LinkOffer{URL: o.URL, Ticket: o.Ticket, Hashes: o.Hashes}, l)
		},
	}, client.SessionConfig{Channels: table, Handler: h}))
}
