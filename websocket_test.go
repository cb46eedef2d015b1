package godwit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A site is a server whose HTTP is reached over connections in memory.
type site struct {
	t     *testing.T
	srv   *Server
	pipes *testkit.Pipes
	http  *http.Client
}

// onSite runs a test with a server that echoes, in virtual time.
func onSite(t *testing.T, c Config, test func(w *site)) {
	c.Channels = table
	if c.Handler.Message == nil {
		c.Handler.Message = func(c *Conn, ch ChannelID, b []byte) { c.Send(ch, b) }
	}
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		srv := testkit.Must(Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), c))
		defer srv.Close()
		w := &site{t: t, srv: srv, pipes: testkit.ServeHTTP(t, srv)}
		w.http = w.pipes.Client()
		test(w)
	})
}

// ends returns the number of ends of links that the server has.
func (w *site) ends() int {
	w.srv.links.loop.Lock()
	defer w.srv.links.loop.Unlock()
	return len(w.srv.links.ends)
}

// pending returns the number of ends that wait for a client.
func (w *site) pending() int {
	w.srv.links.loop.Lock()
	defer w.srv.links.loop.Unlock()
	return w.srv.links.pending
}

// tickets returns the number of tickets that the server knows.
func (w *site) tickets() int {
	w.srv.directory.mu.Lock()
	defer w.srv.directory.mu.Unlock()
	return len(w.srv.directory.tickets)
}

// ask sends a request without an offer, and returns the ticket of its answer.
func (w *site) ask(header http.Header) (ticket string, status int) {
	w.t.Helper()
	url := fmt.Sprintf("http://game.example/?v=1&channels=%016x", (channel.Table{Channels: table}).Hash())
	r := testkit.Must(http.NewRequestWithContext(w.t.Context(), http.MethodPost, url, nil))
	maps.Copy(r.Header, header)
	r.Header.Set("Content-Type", "application/json")
	resp := testkit.Must(w.http.Do(r))
	defer resp.Body.Close()
	var body struct {
		Answer *struct{}
		Links  []struct{ Type, URL, Ticket string }
	}
	b := testkit.Must(io.ReadAll(resp.Body))
	if resp.StatusCode != http.StatusOK {
		return string(b), resp.StatusCode
	}
	must(w.t, json.Unmarshal(b, &body))
	if body.Answer != nil || len(body.Links) != 1 || body.Links[0].Type != session.LinkWebSocket || body.Links[0].URL != "" || len(body.Links[0].Ticket) != 22 {
		w.t.Errorf("the answer is %s", b)
	}
	return body.Links[0].Ticket, http.StatusOK
}

// ticket is ask for a request that the server admits.
func (w *site) ticket() string {
	w.t.Helper()
	t, status := w.ask(http.Header{"Sec-Fetch-Site": {"same-origin"}})
	if status != http.StatusOK {
		w.t.Fatalf("status %d: %s", status, t)
	}
	return t
}

// open asks for a WebSocket, and returns the status of a refusal.
func (w *site) open(header http.Header, protocols ...string) (*websocket.Conn, int) {
	w.t.Helper()
	ws, resp, err := websocket.Dial(w.t.Context(), "ws://game.example/", &websocket.DialOptions{HTTPClient: w.http, HTTPHeader: header, Subprotocols: protocols})
	if err != nil {
		if resp == nil {
			w.t.Fatal(err)
		}
		return nil, resp.StatusCode
	}
	if ws.Subprotocol() != "godwit.1" {
		w.t.Errorf("the subprotocol is %q", ws.Subprotocol())
	}
	return ws, resp.StatusCode
}

// with is open with a ticket.
func (w *site) with(ticket string) (*websocket.Conn, int) {
	w.t.Helper()
	return w.open(nil, "godwit.1", "ticket."+ticket)
}

// A player is a client that is a Mux on a WebSocket.
type player struct {
	w   *site
	ws  *websocket.Conn
	mux *channel.Mux
}

func (w *site) player() *player {
	w.t.Helper()
	ws, status := w.with(w.ticket())
	if status != http.StatusSwitchingProtocols {
		w.t.Fatalf("status %d", status)
	}
	p := &player{w, ws, testkit.Must(channel.New(time.Now(), channel.Config{Channels: table, ReliableLink: true}))}
	w.t.Cleanup(func() { ws.CloseNow() })
	must(w.t, p.say(0, hello))
	return p
}

func (p *player) say(ch ChannelID, text string) error {
	p.mux.Send(time.Now(), ch, []byte(text), Options{})
	return p.flush()
}

func (p *player) flush() error {
	for b := p.mux.Append(time.Now(), nil, channel.MaxPacket); len(b) > 0; b = p.mux.Append(time.Now(), nil, channel.MaxPacket) {
		if err := p.ws.Write(p.w.t.Context(), websocket.MessageBinary, b); err != nil {
			return err
		}
	}
	return nil
}

// echo sends a message and waits for its echo.
func (p *player) echo(text string) {
	p.w.t.Helper()
	if err := p.say(chat, text); err != nil {
		p.w.t.Fatal(err)
	}
	for {
		_, b, err := p.ws.Read(p.w.t.Context())
		if err != nil {
			p.w.t.Fatal(err)
		}
		p.mux.Receive(time.Now(), b)
		for _, ev := range p.mux.Events(nil) {
			if ev.Type == channel.EventMessage && ev.Channel == chat && string(ev.Payload) == text {
				return
			}
		}
		must(p.w.t, p.flush())
	}
}

// wantStatus reads until the server closes the WebSocket, and checks with which status.
func (p *player) wantStatus(want websocket.StatusCode) {
	p.w.t.Helper()
	for {
		_, _, err := p.ws.Read(p.w.t.Context())
		if err == nil {
			continue
		}
		if got := websocket.CloseStatus(err); got != want {
			p.w.t.Errorf("closed with %d, want %d: %v", got, want, err)
		}
		return
	}
}

// A session opens over a WebSocket and echoes. Conn and Stats say what it uses.
func TestASessionOverAWebSocket(t *testing.T) {
	var seen *Conn
	onSite(t, Config{Handler: Handler{Open: func(c *Conn) { seen = c }}}, func(w *site) {
		p := w.player()
		p.echo("hello")
		st := w.srv.Stats()
		if w.pending() != 0 {
			t.Errorf("%d ends wait for a client", w.pending())
		}
		if seen.Link() != session.LinkWebSocket || seen.RemoteAddr().Addr().IsValid() || st.Open != 1 || st.Links != (LinkStats{Open: 1, Opened: 1, Tickets: 1}) {
			t.Errorf("%q %v %+v", seen.Link(), seen.RemoteAddr(), st.Links)
		}
		seen.Kick("enough")
		p.wantStatus(websocket.StatusNormalClosure)
		settle()
		if st := w.srv.Stats(); st.Open != 0 || st.Links.Open != 0 || w.ends() != 0 {
			t.Errorf("%d sessions, %+v, %d ends of links", st.Open, st.Links, w.ends())
		}
	})
}

// A ticket is good once, for 30 s, for its session and for its page's origin. A page of another
// origin does not use it up.
func TestTickets(t *testing.T) {
	onSite(t, Config{RTC: rtcserver.Settings{MaxOffers: -1, MaxPerIP: -1, Origins: []string{"https://game.example", "https://other.example"}}}, func(w *site) {
		refused := uint64(0)
		want := func(what string, header http.Header, status int, protocols ...string) {
			t.Helper()
			ws, got := w.open(header, protocols...)
			if got != status {
				t.Errorf("%s: status %d, want %d", what, got, status)
			}
			if ws != nil {
				ws.CloseNow()
			} else {
				refused++
			}
		}
		good := w.ticket()
		if good == w.ticket() {
			t.Error("two clients get the same ticket")
		}
		want("no subprotocol", nil, 403)
		want("no ticket", nil, 403, "godwit.1")
		want("another version", nil, 403, "godwit.2", "ticket."+good)
		want("an empty ticket", nil, 403, "godwit.1", "ticket.")
		for i := range 100 {
			want("a guess", nil, 403, "godwit.1", fmt.Sprintf("ticket.%022d", i))
		}
		want("too long", nil, 403, "godwit.1", "ticket."+good+"A")
		want("very long", nil, 403, "godwit.1", "ticket."+strings.Repeat("A", 5000))
		want("another origin", http.Header{"Origin": {"https://other.example"}}, 403, "godwit.1", "ticket."+good)
		want("good", nil, 101, "godwit.1", "ticket."+good)
		want("used", nil, 403, "godwit.1", "ticket."+good)

		page := http.Header{"Origin": {"https://game.example"}}
		of, _ := w.ask(page)
		want("no origin", nil, 403, "godwit.1", "ticket."+of)
		want("its origin", page, 101, "godwit.1", "ticket."+of)
		elsewhere := http.Header{"Origin": {"https://other.example"}} // whose host is not that of the request
		of, _ = w.ask(elsewhere)
		want("another page's origin", page, 403, "godwit.1", "ticket."+of)
		want("its origin, of another host", elsewhere, 101, "godwit.1", "ticket."+of)
		if b, status := w.ask(http.Header{"Origin": {"https://evil.example"}}); status != 403 || !strings.Contains(b, `"origin"`) {
			t.Errorf("a foreign page: %d %s", status, b)
		}

		old := w.ticket()
		time.Sleep(31 * time.Second)
		want("too old", nil, 403, "godwit.1", "ticket."+old)
		if n := w.srv.directory.count(); n != 0 || w.tickets() != 0 || w.ends() != 0 || w.pending() != 0 {
			t.Errorf("%d sessions, %d tickets, %d ends of links, %d pending", n, w.tickets(), w.ends(), w.pending())
		}
		if st := w.srv.Stats().Links; st.Refused != refused || st.Opened != 3 || st.Open != 0 {
			t.Errorf("%+v, want %d refused", st, refused)
		}
	})
}

// A session ends, and its ticket with it.
func TestATicketEndsWithItsSession(t *testing.T) {
	onSite(t, Config{Handler: Handler{Message: func(c *Conn, ch ChannelID, b []byte) { c.Send(ch, b) }}}, func(w *site) {
		p := w.player()
		p.echo("hello")
		var c *Conn
		for c = range w.srv.Conns() {
		}
		token := testkit.Must(w.resumeTicket(p))
		c.Kick("")
		time.Sleep(time.Second)
		if ws, status := w.with(token); ws != nil || status != 403 {
			t.Errorf("the ticket of a session that is over: status %d", status)
		}
		if n := w.tickets(); n != 0 {
			t.Errorf("%d tickets are kept", n)
		}
	})
}

// A newer ticket of a session takes the place of the older one. A session that is over gets none.
func TestATicketReplacesTheOlderOne(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		p := w.player()
		p.echo("hello")
		older, newer := testkit.Must(w.resumeTicket(p)), testkit.Must(w.resumeTicket(p))
		if n := w.tickets(); n != 1 {
			t.Errorf("%d tickets are kept", n)
		}
		if _, status := w.with(older); status != 403 {
			t.Errorf("the older one: status %d", status)
		}
		if ws, status := w.with(newer); status != 101 {
			t.Errorf("the newer one: status %d", status)
		} else {
			ws.CloseNow()
		}
		var c *Conn
		for c = range w.srv.Conns() {
		}
		c.Kick("")
		time.Sleep(time.Second)
		r := httptest.NewRequest(http.MethodPost, "http://game.example/", nil)
		r = r.WithContext(context.WithValue(r.Context(), admissionKey{}, &admission{resume: c}))
		if links, err := w.srv.offerLinks(r, netip.Addr{}, false); status(err) != 410 || links != nil {
			t.Errorf("a session that is over: %v, %v", links, err)
		}
	})
}

// A server that is full, or that gets no word of this protocol, gives no ticket.
func TestRequestsThatGetNoTicket(t *testing.T) {
	onSite(t, Config{MaxConns: 1, RTCHandler: rtcserver.Handler{Message: func(*rtcserver.Conn, rtcserver.Message) {}}}, func(w *site) {
		w.ticket()
		if b, status := w.ask(nil); status != 503 {
			t.Errorf("a second session: %d %s", status, b)
		}
		r := httptest.NewRequest(http.MethodPost, "http://game.example/", nil)
		r.Header.Set("Content-Type", "application/json")
		if resp := testkit.Serve(w.srv, r); resp.Code != 400 || !strings.Contains(resp.Body.String(), "no offer") {
			t.Errorf("a page without the script and without an offer: %d %s", resp.Code, resp.Body)
		}
	})
}

// A token that is good once is used up by a request without an offer.
func TestATokenIsGoodForOneTicket(t *testing.T) {
	signer, verifier := newTokens(t)
	onSite(t, Config{Tokens: verifier}, func(w *site) {
		text := testkit.Must(signer.Sign(time.Now(), auth.Claims{Subject: "ada", Audience: "eu-1", ID: "1", Expires: time.Now().Add(time.Minute)}))
		for _, want := range []int{200, 401} {
			if b, status := w.ask(http.Header{"Authorization": {"Bearer " + text}}); status != want {
				t.Errorf("status %d, want %d: %s", status, want, b)
			}
		}
	})
}

// Behind a proxy, the address of the client is the one that the proxy says.
func TestTheAddressOfAWebSocketBehindAProxy(t *testing.T) {
	onSite(t, Config{RTC: rtcserver.Settings{TrustUnixSocket: true}}, func(w *site) {
		from := http.Header{"X-Forwarded-For": {"203.0.113.7"}}
		ticket, _ := w.ask(from)
		ws, _ := w.open(from, "godwit.1", "ticket."+ticket)
		defer ws.CloseNow()
		p := &player{w, ws, testkit.Must(channel.New(time.Now(), channel.Config{Channels: table, ReliableLink: true}))}
		must(t, p.say(0, hello))
		p.echo("hello")
		for c := range w.srv.Conns() {
			if got := c.RemoteAddr().String(); got != "203.0.113.7:0" {
				t.Errorf("the client is at %v", got)
			}
		}
	})
}

// A client that comes with its ticket while the server shuts down gets no link that stays.
func TestAWebSocketDuringShutdown(t *testing.T) {
	onSite(t, Config{Handler: Handler{Open: func(c *Conn) { c.Send(chat, []byte("never acknowledged")) }}}, func(w *site) {
		w.player()
		settle()
		ticket := w.ticket()
		ctx, cancel := context.WithTimeout(w.t.Context(), 4*time.Second)
		defer cancel()
		ended := make(chan error)
		go func() { ended <- w.srv.Shutdown(ctx, "") }()
		time.Sleep(time.Second)
		if ws, _ := w.with(ticket); ws != nil {
			if _, _, err := ws.Read(w.t.Context()); err == nil {
				t.Error("a client that came during Shutdown gets a datagram")
			}
		}
		if n := w.srv.Stats().Links.Opened; n != 1 || len(ended) > 0 {
			t.Errorf("%d links have opened", n)
		}
		if err := <-ended; err == nil {
			t.Error("the client has acknowledged everything")
		}
	})
}

// resumeTicket enters a ticket as a request to resume does.
func (w *site) resumeTicket(*player) (string, error) {
	var c *Conn
	for c = range w.srv.Conns() {
	}
	r, err := http.NewRequest(http.MethodPost, "http://game.example/", nil)
	if err != nil {
		return "", err
	}
	r = r.WithContext(context.WithValue(r.Context(), admissionKey{}, &admission{resume: c}))
	links, err := w.srv.offerLinks(r, netip.Addr{}, true)
	if err != nil {
		return "", err
	}
	return links[0].Ticket, nil
}

// A link that the session does not use ends after 10 s, and when the client opens another one.
func TestUnusedLinksEnd(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		p := w.player()
		p.echo("hello")
		var last *websocket.Conn
		for range 5 {
			ws, status := w.with(testkit.Must(w.resumeTicket(p)))
			if status != 101 {
				t.Fatalf("status %d", status)
			}
			if last != nil {
				last.Read(w.t.Context()) // until the server has closed it
			}
			settle()
			if n := w.srv.Stats().Links.Open; n != 2 {
				t.Errorf("%d links are open", n)
			}
			last = ws
		}
		start := time.Now()
		last.Read(w.t.Context())
		if took := time.Since(start); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("an unused link ends after %v", took)
		}
		p.echo("still here")
	})
}

// Requests without an offer that are followed by nothing are bounded by MaxPending, and forgotten.
func TestSessionsWithoutALinkAreBounded(t *testing.T) {
	onSite(t, Config{RTC: rtcserver.Settings{MaxOffers: -1, MaxPerIP: -1, MaxPending: 10}}, func(w *site) {
		for i := range 20 {
			if _, status := w.ask(nil); (status == 200) != (i < 10) {
				t.Errorf("request %d: status %d", i, status)
			}
		}
		if n := w.srv.directory.count(); n != 10 || w.srv.Stats().Refused != 10 {
			t.Errorf("%d sessions, %d requests are counted as refused", n, w.srv.Stats().Refused)
		}
		time.Sleep(31 * time.Second)
		if n := w.srv.directory.count(); n != 0 || w.pending() != 0 || w.ends() != 0 {
			t.Errorf("%d sessions, %d pending", n, w.pending())
		}
	})
}

// A server that offers no WebSocket gives no ticket and refuses upgrades; one that offers only
// WebSocket makes no WebRTC connection.
func TestWhatLinksDoesNotListIsNotOffered(t *testing.T) {
	onSite(t, Config{Links: []string{session.LinkWebRTC}}, func(w *site) {
		if b, status := w.ask(nil); status != 400 || !strings.Contains(b, "only WebRTC") {
			t.Errorf("%d %s", status, b)
		}
		if _, status := w.with("AAAAAAAAAAAAAAAAAAAAAA"); status != 403 {
			t.Errorf("status %d", status)
		}
		if status, body := post(w.srv, "v=1", ""); status != 200 || w.srv.Stats().Links.Tickets != 0 {
			t.Errorf("%d %v", status, body)
		}
	})
	onSite(t, Config{Links: []string{session.LinkWebSocket}}, func(w *site) {
		if status, _ := post(w.srv, "v=1", ""); status != 200 || w.srv.Stats().RTC.Conns+w.srv.Stats().RTC.Pending != 0 || w.srv.Stats().Links.Tickets != 1 {
			t.Errorf("%d %+v", status, w.srv.Stats())
		}
	})
	for _, links := range [][]string{{}, {"carrier pigeon"}, {session.LinkInProcess}} {
		if _, err := New(Config{Links: links}); err == nil || !strings.Contains(err.Error(), "Config.Links") {
			t.Errorf("%q: %v", links, err)
		}
	}
}

// What breaks the protocol ends the WebSocket, with a status that says why, and nobody else's
// session. The session goes on where its client resumes it.
func TestBrokenWebSockets(t *testing.T) {
	for name, c := range map[string]struct {
		send   func(p *player) error
		status websocket.StatusCode
	}{
		"text":      {func(p *player) error { return p.ws.Write(p.w.t.Context(), websocket.MessageText, []byte("hello")) }, 1003},
		"too large": {func(p *player) error { return p.ws.Write(p.w.t.Context(), websocket.MessageBinary, make([]byte, 1151)) }, 1009},
		"much too large": {func(p *player) error {
			return p.ws.Write(p.w.t.Context(), websocket.MessageBinary, make([]byte, 1<<20))
		}, 1009},
		"too large in fragments": {func(p *player) error {
			m, err := p.ws.Writer(p.w.t.Context(), websocket.MessageBinary)
			for range 2000 {
				if err == nil {
					_, err = m.Write([]byte{1})
				}
			}
			return err
		}, 1009},
	} {
		t.Run(name, func(t *testing.T) {
			onSite(t, Config{}, func(w *site) {
				other, p := w.player(), w.player()
				p.echo("hello")
				other.echo("hello")
				go c.send(p) // the server may not read all of it
				p.wantStatus(c.status)
				settle()
				if st := w.srv.Stats(); st.Links.Broken != 1 || st.Links.Open != 1 || st.Open != 2 {
					t.Errorf("%+v", st.Links)
				}
				other.echo("undisturbed")
			})
		})
	}
}

// A client may send a ping now and then. One that floods is sent away.
func TestPings(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		p := w.player()
		p.echo("hello")
		go func() {
			for {
				if _, _, err := p.ws.Read(w.t.Context()); err != nil {
					return
				}
			}
		}()
		for range 30 {
			must(t, p.ws.Ping(w.t.Context()))
			time.Sleep(time.Second)
		}
		settle()
		if n := w.srv.Stats().Links.Broken; n != 0 {
			t.Errorf("a ping a second breaks %d WebSockets", n)
		}
		for i := range 1000 {
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
			err := p.ws.Ping(ctx)
			cancel()
			if err != nil {
				if i < 16 || i > 20 {
					t.Errorf("the server ends it after %d pings", i)
				}
				break
			}
		}
		settle()
		if n := w.srv.Stats().Links; n.Broken != 1 || n.Open != 0 {
			t.Errorf("%+v", n)
		}
	})
}

// upgraded opens a WebSocket by hand, for what the library does not send.
func (w *site) upgraded() (net.Conn, *bufio.Reader) {
	w.t.Helper()
	ticket := w.ticket()
	conn := testkit.Must(w.pipes.Dial(w.t.Context(), "", ""))
	w.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: game.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: godwit.1, ticket.%s\r\n\r\n", ticket)
	r := bufio.NewReader(conn)
	if resp := testkit.Must(http.ReadResponse(r, nil)); resp.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatalf("status %d", resp.StatusCode)
	}
	return conn, r
}

// frame returns a frame of a client. The masking key is zero.
func frame(first byte, payload []byte) []byte {
	b := []byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}
	if len(payload) < 126 {
		b = []byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}
	}
	return append(b, payload...)
}

// Frames that no client of ours sends end the WebSocket, within seconds, and leave nothing behind.
func TestFramesThatBreakTheProtocol(t *testing.T) {
	huge := binary.BigEndian.AppendUint64([]byte{0x82, 0x80 | 127}, 1<<62)
	for name, b := range map[string][]byte{
		"not masked":             {0x82, 1, 0},
		"reserved bits":          frame(0xf2, []byte{1}),
		"an unknown opcode":      frame(0x83, []byte{1}),
		"a continuation":         frame(0x80, []byte{1}),
		"a ping in fragments":    frame(0x09, []byte{1}),
		"a long ping":            frame(0x89, make([]byte, 126)),
		"a message in a message": append(frame(0x02, []byte{1}), frame(0x82, []byte{1})...),
		"a huge length":          append(append(huge, 0, 0, 0, 0), make([]byte, 4000)...),
		"a bad close":            frame(0x88, []byte{1}),
		"noise":                  bytes.Repeat([]byte{0xff}, 3000),
	} {
		t.Run(name, func(t *testing.T) {
			onSite(t, Config{}, func(w *site) {
				conn, r := w.upgraded()
				go conn.Write(b)
				start := time.Now()
				io.Copy(io.Discard, r)
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("the server ends it after %v", took)
				}
				time.Sleep(10 * time.Second)
				if st := w.srv.Stats(); st.Links.Open != 0 || st.Links.Broken != 1 || w.srv.directory.count() != 0 || w.ends() != 0 {
					t.Errorf("%+v, %d sessions", st.Links, w.srv.directory.count())
				}
			})
		})
	}
}

// A client that sends a byte a second, and one that says nothing, are sent away after OpenTimeout.
func TestSlowClients(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		slow, r := w.upgraded()
		w.upgraded()
		go func() {
			for _, b := range frame(0x82, make([]byte, 1000)) {
				if _, err := slow.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		go io.Copy(io.Discard, r)
		time.Sleep(8 * time.Second)
		if st := w.srv.Stats(); st.Links.Open != 0 || w.srv.directory.count() != 0 {
			t.Errorf("%+v, %d sessions", st.Links, w.srv.directory.count())
		}
	})
}

// A client that never reads makes the server hold no more than the queues of its channels, and
// is sent away after 10 s. Others are not disturbed.
func TestAClientThatNeverReads(t *testing.T) {
	var deaf *Conn
	onSite(t, Config{Handler: Handler{Open: func(c *Conn) {
		if deaf == nil {
			deaf = c
		}
	}}}, func(w *site) {
		p := w.player()
		settle()
		other := w.player()
		other.echo("hello")
		for range 1000 {
			deaf.Send(chat, make([]byte, 1000))
			deaf.Send(move, make([]byte, 1000))
		}
		if st := deaf.Stats(); st.PacketsOut > 12 {
			t.Errorf("%d packets have left for a client that reads none", st.PacketsOut)
		}
		start := time.Now()
		for w.srv.Stats().Links.Open == 2 && time.Since(start) < time.Minute {
			time.Sleep(500 * time.Millisecond)
			other.echo("undisturbed")
			p.say(move, "I talk") // until the server closes it
		}
		if took := time.Since(start); took > 14*time.Second {
			t.Errorf("it is sent away after %v", took)
		}
	})
}

// Upgrades without a ticket cost nothing that stays, and are limited by address.
func TestUpgradesWithoutATicket(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		p := w.player()
		codes := map[int]int{}
		for range 10_000 {
			r := testkit.Must(http.NewRequest(http.MethodGet, "http://game.example/", nil))
			r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Protocol": {"godwit.1, ticket.AAAAAAAAAAAAAAAAAAAAAA"}}
			r.RemoteAddr = "203.0.113.9:1"
			codes[testkit.Serve(w.srv, r).Code]++
		}
		if codes[403] != 80 || codes[429] != 9920 {
			t.Errorf("%v", codes)
		}
		if st := w.srv.Stats().Links; st.Refused != 10_000 || st.Open != 1 || w.tickets() != 0 {
			t.Errorf("%+v", st)
		}
		p.echo("undisturbed")
	})
}
