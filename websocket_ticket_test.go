package godwit

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
)

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
