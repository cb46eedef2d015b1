package webtransport

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// A ticket is good once, for its origin. Without a good one a client gets 403, and nothing is left
// of it.
func TestTickets(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		o := w.offer()
		refused := uint64(0)
		g := w.guest("192.0.2.66")
		want := func(what string, status int, ticket string, header http.Header) {
			t.Helper()
			resp, s, _ := g.dial(w.t.Context(), o.URL+ticket, header, o.Hashes)
			if resp == nil || resp.StatusCode != status || (s != nil) != (status == 200) {
				t.Errorf("%s: %+v", what, resp)
			}
			if status != 200 {
				refused++
			}
		}
		want("no ticket", 403, "", nil)
		want("an empty one", 403, "?ticket=", nil)
		for _, guess := range []string{"AAAAAAAAAAAAAAAAAAAAAA", o.Ticket + "A", o.Ticket[1:], "%ff%00", strings.Repeat("A", 5000)} {
			want("a guess", 403, "?ticket="+guess, nil)
		}
		want("another origin", 403, "?ticket="+o.Ticket, http.Header{"Origin": {"https://evil.example"}})
		want("a good one", 200, "?ticket="+o.Ticket, nil)
		want("a used one", 403, "?ticket="+o.Ticket, nil)
		old := w.offer().Ticket
		time.Sleep(30 * time.Second)
		want("an old one", 403, "?ticket="+old, nil)
		time.Sleep(10 * time.Second)
		if st := w.game.Stats().Links; st.Refused != refused || st.Opened != 1 || w.wt.Stats() != (Stats{}) {
			t.Errorf("%d were refused: %+v, %+v", refused, st, w.wt.Stats())
		}
	})
}

// A page of another origin that Config.Origins allows opens its WebTransport, with its own ticket alone.
func TestAPageOfAnotherOrigin(t *testing.T) {
	const page, other = "https://page.example", "https://other.example"
	gc := godwit.Config{RTC: noLimits}
	gc.RTC.Origins = []string{page, other}
	inWorld(t, gc, Config{}, func(w *world) {
		o := w.offerFrom(page)
		g := w.guest("192.0.2.66")
		for _, try := range []struct {
			origin string
			status int
		}{{other, http.StatusForbidden}, {page, http.StatusOK}} {
			resp, _, err := g.dial(w.t.Context(), o.URL+"?ticket="+o.Ticket, http.Header{"Origin": {try.origin}}, o.Hashes)
			if resp == nil || resp.StatusCode != try.status {
				t.Errorf("a page of %s, with a ticket of %s: %+v, %v", try.origin, page, resp, err)
			}
		}
	})
}

// A ticket is good for a WebTransport and a WebSocket of one session, once each.
func TestATicketIsGoodForEachLink(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		links := w.ask()
		if len(links) != 2 || links[0].Type != "webtransport" || links[1].Type != "websocket" || links[0].Ticket != links[1].Ticket || len(links[0].Hashes) != 2 {
			t.Fatalf("%+v", links)
		}
		if status, _ := w.guest("192.0.2.66").with(links[0], links[0].Ticket); status != 200 {
			t.Errorf("status %d", status)
		}
		if w.upgrade(links[1].Ticket) != 101 || w.upgrade(links[1].Ticket) != 403 {
			t.Error("the WebSocket")
		}
		synctest.Wait() // the answer leaves before the link is open
		if st := w.game.Stats(); st.Links.Opened != 2 || st.Pending != 1 {
			t.Errorf("%+v, %d pending", st.Links, st.Pending)
		}
	})
}

// upgrade asks for a WebSocket, and returns the status.
func (w *world) upgrade(ticket string) int {
	w.t.Helper()
	conn := testkit.Must(w.pipes.Dial(w.t.Context(), "", ""))
	w.t.Cleanup(func() { conn.Close() })
	go conn.Write([]byte("GET /godwit/ HTTP/1.1\r\nHost: game.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: godwit.1, ticket." + ticket + "\r\n\r\n"))
	resp := testkit.Must(http.ReadResponse(bufio.NewReader(conn), nil))
	return resp.StatusCode
}

// handshake makes a connection of QUIC that shows no ticket.
func (g *guest) handshake() (*quic.Conn, error) { return g.handshakeWith(g.w.offer().Hashes) }

func (g *guest) handshakeWith(hashes []string) (*quic.Conn, error) {
	tc := pinned(hashes)
	tc.NextProtos = []string{http3.NextProtoH3}
	return g.transport.Dial(g.w.t.Context(), net.UDPAddrFromAddrPort(serverAddr), tc, &quic.Config{EnableDatagrams: true})
}

// Whoever shows no ticket is cut off after five seconds.
func TestVisitorsAreCutOff(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		c := testkit.Must(w.guest("192.0.2.66").handshake())
		time.Sleep(visitorTime - time.Second)
		if err := c.Context().Err(); err != nil || w.wt.Stats().Visitors != 1 {
			t.Errorf("before: %v, %+v", err, w.wt.Stats())
		}
		time.Sleep(2 * time.Second)
		if err := c.Context().Err(); err == nil || w.wt.Stats().Visitors != 0 {
			t.Errorf("after: %v, %+v", err, w.wt.Stats())
		}
	})
}

// Whoever begins a handshake and says nothing more keeps his place for three seconds.
func TestAHandshakeThatGoesNoFurther(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		g := w.guest("192.0.2.66")
		w.network.SetTap(func(p *netsim.Packet) bool { return p.To != g.addr })
		ctx, cancel := context.WithTimeout(w.t.Context(), 100*time.Millisecond)
		defer cancel()
		if c, err := g.transport.Dial(ctx, net.UDPAddrFromAddrPort(serverAddr), &tls13, nil); err == nil {
			t.Errorf("without an answer there is %v", c)
		}
		time.Sleep(2800 * time.Millisecond)
		before := w.wt.Stats().Visitors
		time.Sleep(300 * time.Millisecond)
		if after := w.wt.Stats().Visitors; before != 1 || after != 0 {
			t.Errorf("%d visitors, then %d, want 1 and 0", before, after)
		}
	})
}

// One address gets an eighth of the places of visitors, and must prove itself first. All addresses
// together get all places, and further ones are refused until the others are cut off.
func TestVisitorsAreLimited(t *testing.T) {
	inWorld(t, godwit.Config{RTC: noLimits}, Config{MaxVisitors: 16}, func(w *world) {
		try := func(ip string, want bool) {
			t.Helper()
			if _, err := w.guest(ip).handshake(); (err == nil) != want {
				t.Errorf("%s: %v", ip, err)
			}
		}
		for i := range 8 {
			ip := netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}).String()
			try(ip, true)
			try(ip, true)
			try(ip, false)
		}
		try("192.0.2.200", false)
		if st := w.wt.Stats(); st.Visitors != 16 || st.Refused < 9 || st.Retried < 8 {
			t.Errorf("%+v", st)
		}
		time.Sleep(visitorTime + time.Second)
		try("192.0.2.200", true)
	})
}

// An address that is not proved gets at most three times what came from there, at any time, though
// its handshake is never completed.
func TestAmplification(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		victim := w.guest("192.0.2.66")
		var in, out, worst atomic.Int64
		w.network.SetTap(func(p *netsim.Packet) bool {
			switch {
			case p.From == victim.addr:
				in.Add(int64(len(p.Payload)))
			case p.To == victim.addr:
				worst.Store(max(worst.Load(), out.Add(int64(len(p.Payload)))-3*in.Load()))
				return false
			}
			return true
		})
		ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
		defer cancel()
		victim.transport.Dial(ctx, net.UDPAddrFromAddrPort(serverAddr), &tls13, nil)
		if in.Load() < 1200 || out.Load() == 0 || worst.Load() > 0 {
			t.Errorf("%d bytes in, %d out, at worst %d more than three times as many", in.Load(), out.Load(), worst.Load())
		}
		t.Logf("%d bytes in, %d out", in.Load(), out.Load())
		time.Sleep(10 * time.Second)
		if n := w.wt.Stats().Visitors; n != 0 {
			t.Errorf("%d visitors are left", n)
		}
	})
}

// longHeader returns the beginning of a QUIC packet with a long header and connection IDs of 8
// bytes, padded with random bytes.
func longHeader(first byte, version uint32, size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	b[0] = first
	binary.BigEndian.PutUint32(b[1:], version)
	b[5], b[14] = 8, 8
	return b
}

// Strangers send what they like: packets of other versions, Version Negotiation, packets of no
// connection, noise. The server sends at most a tenth of what it gets, nothing of it lasts, and players
// over WebRTC and WebTransport do not notice.
func TestNoiseDisturbsNobody(t *testing.T) {
	echoes := make(chan string, 100)
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		echoes = make(chan string, 100)
		h := client.SessionHandler{Message: func(s *client.Session, _ channel.ID, _ []byte) { echoes <- s.Link() }}
		over := w.guest("192.0.2.10").join(h)
		e := testkit.Must(client.Serve(testkit.Listen(t, w.network, netip.MustParseAddrPort("192.0.2.11:0")), client.Config{HTTP: w.http}))
		defer e.Close()
		rtc := testkit.Must(e.Join(w.t.Context(), "http://game.example/godwit/", client.SessionConfig{Channels: table, Handler: h}))
		stranger := netip.MustParseAddrPort("192.0.2.66:6666")
		for name, kind := range map[string]struct {
			packet  func(i int) []byte
			answers bool
		}{
			"another version":        {func(int) []byte { return longHeader(0xc0, 0x1a2a3a4a, 1200) }, true},
			"another version, small": {func(int) []byte { return longHeader(0xc0, 0x1a2a3a4a, 1199) }, false},
			"Version Negotiation":    {func(int) []byte { return longHeader(0xc0, 0, 1200) }, false},
			"0-RTT":                  {func(int) []byte { return longHeader(0xd0, 1, 1200) }, false},
			"handshake":              {func(int) []byte { return longHeader(0xe0, 1, 1200) }, false},
			"retry":                  {func(int) []byte { return longHeader(0xf0, 1, 1200) }, false},
			"broken Initial":         {func(int) []byte { return longHeader(0xc0, 1, 1200) }, true},
			"short header":           {func(i int) []byte { return append([]byte{0x40, byte(i)}, make([]byte, 1100)...) }, false},
			"tiny":                   {func(i int) []byte { return []byte{0xc0, 0, 0, 0, 1, 255}[:1+i%6] }, false},
		} {
			var out atomic.Int64
			w.network.SetTap(func(p *netsim.Packet) bool {
				if p.To == stranger {
					out.Add(int64(len(p.Payload)))
				}
				return true
			})
			for i := range 2000 {
				w.network.Inject(stranger, serverAddr, kind.packet(i))
				if i%20 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			for _, s := range []*client.Session{over, rtc} {
				if err := s.Send(1, []byte(name)); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if link := <-echoes; link != s.Link() {
					t.Errorf("%s: an echo over %s, want %s", name, link, s.Link())
				}
			}
			time.Sleep(20 * time.Second) // what may have begun has ended
			if (out.Load() > 0) != kind.answers || out.Load() > 2000*1200/10 || w.wt.Stats().Visitors != 0 {
				t.Errorf("%s: %d bytes of answers, %+v", name, out.Load(), w.wt.Stats())
			}
		}
		if over.Link() != "webtransport" || rtc.Link() != "webrtc" {
			t.Errorf("the sessions are on %s and %s", over.Link(), rtc.Link())
		}
	})
}

// A client that opens a stream loses its link.
func TestStreamsAreRefused(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		o := w.offer()
		_, s := w.guest("192.0.2.66").with(o, o.Ticket)
		if _, err := s.OpenStream(); err == nil {
			t.Error("a stream with two directions has opened")
		}
		str := testkit.Must(s.OpenUniStream())
		str.Write(make([]byte, 100))
		time.Sleep(5 * time.Second)
		if s.Context().Err() == nil || w.game.Stats().Links.Open != 0 {
			t.Errorf("the link is open: %+v", w.game.Stats().Links)
		}
	})
}

// request sends a request with a good ticket over HTTP/3, and keeps the connection, whatever comes of it.
func (g *guest) request(method, proto string) *http.Response {
	o := g.w.offer()
	h3 := &http3.Transport{TLSClientConfig: pinned(o.Hashes), EnableDatagrams: true, QUICConfig: &quic.Config{EnableDatagrams: true}, Dial: func(ctx context.Context, _ string, tc *tlsConfig, qc *quic.Config) (*quic.Conn, error) {
		c, err := g.transport.DialEarly(ctx, net.UDPAddrFromAddrPort(serverAddr), tc, qc)
		g.conn = c
		return c, err
	}}
	body, end := io.Pipe() // which stays open
	g.w.t.Cleanup(func() { end.Close(); h3.Close() })
	r := testkit.Must(http.NewRequestWithContext(g.w.t.Context(), method, "https://game.example/?ticket="+o.Ticket, body))
	if proto != "" {
		r.Proto = proto
	}
	return testkit.Must(h3.RoundTrip(r))
}

// Requests that open no WebTransport are refused, also with a good ticket. Their connection remains one of
// a visitor, and is cut off.
func TestOtherRequestsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		method, proto string
		status        int
	}{
		"a page":    {http.MethodGet, "", http.StatusMethodNotAllowed},
		"WebSocket": {http.MethodConnect, "websocket", http.StatusBadRequest},
	} {
		inWorld(t, godwit.Config{}, Config{}, func(w *world) {
			g := w.guest("192.0.2.66")
			resp := g.request(c.method, c.proto)
			resp.Body.Close()
			if resp.StatusCode != c.status || w.wt.Stats().Visitors != 1 {
				t.Errorf("%s: status %d, %+v", name, resp.StatusCode, w.wt.Stats())
			}
			time.Sleep(visitorTime + time.Second)
			if g.conn.Context().Err() == nil || w.wt.Stats().Visitors != 0 {
				t.Errorf("%s: the connection is open: %v, %+v", name, g.conn.Context().Err(), w.wt.Stats())
			}
		})
	}
}

// A client that disappears leaves nothing behind.
func TestAClientThatDisappears(t *testing.T) {
	inWorld(t, godwit.Config{Grace: -1}, Config{}, func(w *world) {
		before := testkit.BubbleGoroutines()
		g := w.guest("192.0.2.66")
		g.join(client.SessionHandler{})
		time.Sleep(time.Second)
		for c := range w.game.Conns() {
			c.Send(1, make([]byte, 200_000))
		}
		w.network.BlackoutFor(netip.Addr{}, netip.Addr{}, time.Hour)
		g.transport.Close()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if st := w.game.Stats(); st.Open != 0 || st.Links.Open != 0 || w.wt.Stats().Visitors != 0 {
			t.Errorf("%+v, %+v", st.Links, w.wt.Stats())
		}
		if n := testkit.BubbleGoroutines(); n > before+10 { // the client's socket and endpoint have some
			t.Errorf("%d goroutines, %d before", n, before)
		}
	})
}
