package godwit

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// calls are calls by the name of the method.
type calls map[string]func()

// wantEvery reports methods of a type that are neither called nor left out for a reason.
func wantEvery[T any](t *testing.T, called, ends calls, leftOut map[string]string) {
	t.Helper()
	typ := reflect.TypeFor[T]()
	var names []string
	for method := range typ.Methods() {
		names = append(names, method.Name)
	}
	for _, name := range names {
		n := 0
		for _, is := range []bool{called[name] != nil, ends[name] != nil, leftOut[name] != ""} {
			if is {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%v.%s is in %d of the three lists, want one: it is called, or it ends something, or it is left out", typ, name, n)
		}
	}
	if n := len(called) + len(ends) + len(leftOut); n != len(names) {
		t.Errorf("%v has %d methods, and %d are listed", typ, len(names), n)
	}
}

// together makes the calls of all lists, each n times on each of two goroutines, at the same time.
func together(n int, lists ...calls) {
	var all sync.WaitGroup
	for _, list := range lists {
		for _, call := range list {
			for range 2 {
				all.Go(func() {
					for range n {
						call()
						runtime.Gosched() // else short calls are over before the others begin
					}
				})
			}
		}
	}
	all.Wait()
}

// ticketOf returns a ticket that the server offers with a link, or nothing.
func ticketOf(s *Server) string {
	r := httptest.NewRequest(http.MethodPost, "/?v=1&channels="+hexHash(s), http.NoBody)
	r.Header.Set("Content-Type", "application/json")
	var body struct{ Links []struct{ Ticket string } }
	json.Unmarshal(testkit.Serve(s, r).Body.Bytes(), &body)
	if len(body.Links) == 0 {
		return ""
	}
	return body.Links[0].Ticket
}

// Every method of a Server, a Conn and a Group may be called from any goroutine at the same time
// as all others: the race detector finds errors.
func TestMethodsFromManyGoroutines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := &recorder{}
		c := Config{Channels: table, Handler: d.handler(), Invites: testkit.Must(auth.NewInviteKey(rand.Reader))}
		c.Limits.Messages, c.Limits.Bytes, c.Limits.Requests, c.MaxClientChannels, c.RTC.MaxPerIP = -1, -1, -1, 1, -1
		srv := serve(t, c)
		client, server, _ := join(t, srv, "ada")
		group := srv.NewGroup()
		took := make(chan struct{}, 1000)
		seat := auth.Seat{URL: "https://other.example/"}
		ctx := t.Context()

		ofServer := calls{
			"Broadcast":       func() { srv.Broadcast(loot, []byte("b")) },
			"BroadcastExcept": func() { srv.BroadcastExcept(server, loot, []byte("b")) },
			"BroadcastNamed":  func() { srv.BroadcastNamed(nil, "more", nil) },
			"Stats":           func() { srv.Stats() },
			"Totals":          func() { srv.Totals() },
			"Len":             func() { srv.Len() },
			"RTC":             func() { srv.RTC().Stats() },
			"Conns": func() {
				for range srv.Conns() {
				}
			},
			"Conn":     func() { srv.Conn(server.ID()) },
			"Named":    func() { srv.Named("ada") },
			"NewGroup": func() { srv.NewGroup().Join(server) },
			"Flush":    func() { srv.Flush() },
			"Invite":   func() { srv.Invite(auth.InviteClaims{For: time.Minute}) },
			"AddLink": func() {
				if l, err := srv.AddLink(Identity{Name: "ada"}, LinkConfig{Name: "slot", Carrier: new(slot)}); err == nil {
					l.Receive([]byte("junk"))
					l.Close()
				}
			},
			"OfferLink": func() {
				srv.OfferLink(LinkOffer{
					Describe: func(*http.Request) (string, []string) { return "https://udp.example/", nil },
					Shutdown: func(context.Context) {},
				})
			},
			"TakeTicket": func() {
				if _, err := srv.TakeTicket(ticketOf(srv), ""); err == nil {
					took <- struct{}{}
				}
			},
			"ServeHTTP": func() {
				testkit.Serve(srv, httptest.NewRequest(http.MethodPost, "/?v=1&channels="+hexHash(srv), bytes.NewReader(offer())))
			},
			"Local": func() {
				if c, err := srv.Local(LocalConfig{}); err == nil {
					c.Kick("")
				}
			},
		}
		endServer := calls{
			"Drain": func() {
				srv.Drain(ctx, "", func(context.Context, *Conn) (auth.Seat, error) { return seat, nil })
			},
			"Shutdown": func() { srv.Shutdown(ctx, "") },
			"Close":    func() { srv.Close() },
		}
		wantEvery[*Server](t, ofServer, endServer, map[string]string{
			"Poll": "is for one goroutine, and needs Manual",
		})
		ofGroup := calls{
			"Join":  func() { group.Join(server) },
			"Leave": func() { group.Leave(server) },
			"Len":   func() { group.Len() },
			"Conns": func() {
				for range group.Conns() {
				}
			},
			"Send":       func() { group.Send(loot, []byte("g")) },
			"SendExcept": func() { group.SendExcept(server, loot, []byte("g")) },
			"SendNamed":  func() { group.SendNamed(server, "more", nil) },
		}
		wantEvery[*Group](t, ofGroup, nil, nil)
		ofConn := func(c *Conn) calls {
			return calls{
				"Send":         func() { c.Send(move, []byte("m")) },
				"SendWith":     func() { c.SendWith(chat, []byte("c"), Options{Receipt: true}) },
				"SendNamed":    func() { c.SendNamed("more", []byte("n"), Options{}) },
				"Ask":          func() { c.Ask("q", []byte("q"), func(Result) {}) },
				"Request":      func() { c.Request(ctx, "r", []byte("r")) },
				"Status":       func() { c.Status(1) },
				"Stats":        func() { c.Stats() },
				"ChannelStats": func() { c.ChannelStats(chat) },
				"Free":         func() { c.Free(chat) },
				"Channels":     func() { c.Channels().ID("more") },
				"ID":           func() { c.ID() },
				"Identity":     func() { c.Identity() },
				"Kind":         func() { c.Kind() },
				"Hello":        func() { c.Hello() },
				"Link":         func() { c.Link() },
				"RemoteAddr":   func() { c.RemoteAddr() },
				"State":        func() { c.State() },
				"Done":         func() { c.Done() },
				"Expires":      func() { c.Expires() },
				"Renew":        func() { c.Renew(time.Now().Add(time.Hour)) },
				"OpenChannel":  func() { c.OpenChannel(Channel{Name: "more"}) },
				"CloseChannel": func() { c.CloseChannel(4); c.CloseChannel(5) },
			}
		}
		endConn := func(c *Conn) calls {
			return calls{
				"Close": func() { c.Close(session.CloseNormal, "") },
				"Kick":  func() { c.Kick("") },
				"Move":  func() { c.Move(seat) },
			}
		}
		wantEvery[*Conn](t, ofConn(client), endConn(client), map[string]string{
			"Yield": "is for a func of the Handler, and needs Manual",
		})

		ofServer["OfferLink"]() // else there are no tickets at first
		together(50, ofServer, ofGroup, ofConn(client), ofConn(server))
		if len(took) == 0 {
			t.Error("no ticket was taken")
		}
		for name, c := range map[string]*Conn{"client": client, "server": server} {
			if c.State() != session.StateOpen {
				t.Errorf("the %s's end is %v before the end", name, c.State())
			}
		}
		together(50, ofServer, ofGroup, ofConn(client), ofConn(server), endConn(client), endConn(server))
		join(t, srv, "bob")
		together(10, ofServer, ofGroup, endServer)
		if _, err := srv.Local(LocalConfig{}); err != session.ErrClosed || srv.directory.count() != 0 {
			t.Errorf("Local after Close: %v, want ErrClosed; %d sessions are left, want 0", err, srv.directory.count())
		}
	})
}
