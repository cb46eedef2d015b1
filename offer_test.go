package godwit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// offerWebTransport makes the server offer a WebTransport, which the test opens itself.
func (w *site) offerWebTransport() {
	w.t.Helper()
	must(w.t, w.srv.OfferLink(LinkOffer{
		Describe: func(*http.Request) (string, []string) { return "https://udp.example/", []string{"hash"} },
		Shutdown: func(context.Context) {},
	}))
}

// links returns the links that the server offers to a new client.
func (w *site) links() (all []struct {
	Type, URL, Ticket string
	Hashes            []string
}) {
	w.t.Helper()
	url := fmt.Sprintf("http://game.example/?v=1&channels=%016x", (channel.Table{Channels: table}).Hash())
	r := testkit.Must(http.NewRequestWithContext(w.t.Context(), http.MethodPost, url, nil))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	resp := testkit.Must(w.http.Do(r))
	defer resp.Body.Close()
	must(w.t, json.NewDecoder(resp.Body).Decode(&struct{ Links any }{&all}))
	return all
}

// Two links of a session open at the same time: the server has one of them first, and the client the
// other. The session goes to the one that the client uses, and the other stays open for a while, so
// that the client may prefer it when it has opened there, too.
func TestALinkThatTheClientHasNotUsedYetStaysOpen(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		w.offerWebTransport()
		offered := w.links()
		if len(offered) != 2 || offered[0].Type != session.LinkWebTransport || offered[0].URL != "https://udp.example/" ||
			len(offered[0].Hashes) != 1 || offered[1].Type != session.LinkWebSocket || offered[0].Ticket != offered[1].Ticket {
			w.t.Fatalf("%+v", offered)
		}
		first := testkit.Must(testkit.Must(w.srv.TakeTicket(offered[0].Ticket, "")).Open(LinkConfig{Name: session.LinkWebTransport, Carrier: new(slot)}))
		ws, _ := w.with(offered[1].Ticket)
		w.t.Cleanup(func() { ws.CloseNow() })
		p := &player{w, ws, testkit.Must(channel.New(time.Now(), channel.Config{Channels: table, ReliableLink: true}))}
		must(w.t, p.say(0, hello))
		p.echo("hello")
		c := first.Conn()
		if st := w.srv.Stats().Links; c.Link() != session.LinkWebSocket || st.Open != 2 || w.srv.Len() != 1 {
			w.t.Errorf("the session is on %q, %+v, %d sessions", c.Link(), st, w.srv.Len())
		}
		must(w.t, p.flush())
		b := packetOf(w.t, p.mux)
		if !first.Receive(b) {
			w.t.Error("the other link is closed")
		}
		time.Sleep(time.Second)
		if st := w.srv.Stats().Links; c.Link() != session.LinkWebTransport || st.Open != 1 {
			w.t.Errorf("then the session is on %q, %+v", c.Link(), st)
		}
	})
}

// packetOf returns the next packet of a mux, which has a message.
func packetOf(t *testing.T, m *channel.Mux) []byte {
	t.Helper()
	m.Send(time.Now(), chat, []byte("over the other link"), Options{})
	b := m.Append(time.Now(), nil, channel.MaxPacket)
	if len(b) == 0 {
		t.Fatal("no packet")
	}
	return b
}

// A link on which the client never comes ends after 10 s, as before.
func TestALinkThatTheClientNeverUsesEnds(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		w.offerWebTransport()
		offered := w.links()
		testkit.Must(testkit.Must(w.srv.TakeTicket(offered[0].Ticket, "")).Open(LinkConfig{Name: session.LinkWebTransport, Carrier: new(slot)}))
		ws, _ := w.with(offered[1].Ticket)
		w.t.Cleanup(func() { ws.CloseNow() })
		p := &player{w, ws, testkit.Must(channel.New(time.Now(), channel.Config{Channels: table, ReliableLink: true}))}
		must(w.t, p.say(0, hello))
		for range 12 {
			p.echo("hello")
			time.Sleep(time.Second)
		}
		if st := w.srv.Stats().Links; st.Open != 1 || w.srv.Len() != 1 {
			w.t.Errorf("%+v, %d sessions", st, w.srv.Len())
		}
	})
}

// OfferLink refuses what it cannot offer.
func TestOffersThatAreRefused(t *testing.T) {
	whole := LinkOffer{Describe: func(*http.Request) (string, []string) { return "", nil }, Shutdown: func(context.Context) {}}
	onSite(t, Config{}, func(w *site) {
		for _, o := range []LinkOffer{{}, {Describe: whole.Describe}, {Shutdown: whole.Shutdown}} {
			if w.srv.OfferLink(o) == nil {
				w.t.Error("an offer without a func")
			}
		}
		must(w.t, w.srv.OfferLink(whole))
		if w.srv.OfferLink(whole) == nil {
			w.t.Error("a second offer")
		}
		if got := w.links(); len(got) != 1 || got[0].Type != session.LinkWebSocket {
			w.t.Errorf("a link without a URL is offered: %+v", got)
		}
		if _, err := w.srv.TakeTicket(w.links()[0].Ticket, ""); err == nil {
			w.t.Error("a ticket is good for a link that was not offered")
		}
	})
	onSite(t, Config{Links: []string{session.LinkWebSocket}}, func(w *site) {
		if w.srv.OfferLink(whole) == nil {
			w.t.Error("an offer that Config.Links does not have")
		}
	})
	onSite(t, Config{}, func(w *site) {
		w.srv.Close()
		if err := w.srv.OfferLink(whole); err != session.ErrClosed {
			w.t.Errorf("after the end: %v", err)
		}
	})
}

// The link of a ticket that was taken opens only while its session waits for it, and with a LinkConfig
// that AddLink takes.
func TestLinksOfTicketsThatAreRefused(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		w.offerWebTransport()
		ticket := testkit.Must(w.srv.TakeTicket(w.links()[0].Ticket, ""))
		if link, err := ticket.Open(LinkConfig{Name: session.LinkWebTransport}); err == nil || link != nil {
			w.t.Errorf("without a Carrier: %v, %v", link, err)
		}
		time.Sleep(31 * time.Second)
		if link, err := ticket.Open(LinkConfig{Name: session.LinkWebTransport, Carrier: new(slot)}); err != session.ErrClosed || link != nil {
			w.t.Errorf("after the session has ended: %v, %v", link, err)
		}
		if st := w.srv.Stats().Links; st.Opened != 0 || w.ends() != 0 || w.pending() != 0 {
			w.t.Errorf("%+v, %d ends, %d pending", st, w.ends(), w.pending())
		}
	})
}

// Shutdown gives an offer 300 ms to send the last datagrams, also if its own time is over.
func TestShutdownOfAnOffer(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		limit := time.Duration(-1)
		must(w.t, w.srv.OfferLink(LinkOffer{
			Describe: func(*http.Request) (string, []string) { return "", nil },
			Shutdown: func(ctx context.Context) {
				deadline, _ := ctx.Deadline()
				limit = time.Until(deadline)
			},
		}))
		w.srv.Close()
		if limit != farewellTime {
			w.t.Errorf("Shutdown of the offer has %v", limit)
		}
	})
}

// An offer that is made while the server ends is refused, or told of the end once.
func TestAnOfferAmidTheEnd(t *testing.T) {
	for i := range 2000 {
		srv := testkit.Must(New(Config{Channels: table, Links: []string{session.LinkWebTransport}, Manual: true}))
		calls, offered := 0, make(chan error)
		offer := LinkOffer{Describe: func(*http.Request) (string, []string) { return "", nil }, Shutdown: func(context.Context) { calls++ }}
		go func() {
			for range i % 50 {
				runtime.Gosched()
			}
			offered <- srv.OfferLink(offer)
		}()
		srv.Close()
		err := <-offered
		srv.Close()
		if err == nil && calls != 1 || err != nil && (err != session.ErrClosed || calls != 0) {
			t.Fatalf("OfferLink: %v; its func was called %d times", err, calls)
		}
		if err := srv.enterOffer(&offer); err != session.ErrClosed || srv.offer.Load() != nil {
			t.Fatalf("an offer that was checked before the end and entered after it: %v, want ErrClosed", err)
		}
	}
}

// Of an offer that is entered amid the end, either its program or Shutdown knows: it is refused, or found once.
func TestAnOfferIsRefusedOrFound(t *testing.T) {
	srv := testkit.Must(New(Config{Manual: true}))
	srv.Close()
	entered, found := 0, 0
	offer := LinkOffer{Shutdown: func(context.Context) { found++ }}
	var over atomic.Bool
	var ending sync.WaitGroup
	ending.Go(func() {
		for !over.Load() {
			srv.shutdownOffer(t.Context())
		}
	})
	for begin := time.Now(); entered < 100 && time.Since(begin) < time.Second/2; { // the two are rarely at it at once
		if srv.enterOffer(&offer) == nil {
			entered++
		}
	}
	over.Store(true)
	ending.Wait()
	if srv.shutdownOffer(t.Context()); found != entered {
		t.Errorf("%d offers were entered, and %d found", entered, found)
	}
}
