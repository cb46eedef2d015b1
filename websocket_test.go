package godwit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

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
