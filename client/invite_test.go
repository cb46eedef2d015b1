package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// inviting is the configuration of a server with a key of invites.
func inviting(h godwit.Handler) godwit.Config {
	return godwit.Config{
		Handler: h, Invites: testkit.Must(auth.NewInviteKey(rand.Reader)),
		RTC: rtcserver.Settings{Certificate: serverCertificate()},
	}
}

// invite makes an invite for ada that is good for a minute.
func (g *game) invite() auth.Invite {
	g.t.Helper()
	i, err := g.server.Invite(auth.InviteClaims{Subject: "ada", Data: []byte("red"), For: time.Minute})
	g.must(err)
	return i
}

// always returns the same invite each time.
func always(i auth.Invite) func(context.Context) (auth.Invite, error) {
	return func(context.Context) (auth.Invite, error) { return i, nil }
}

// accept begins a session with an invite, from a new endpoint and without a URL.
func (g *game) accept(i auth.Invite, sc client.SessionConfig) (*client.Session, error) {
	if sc.Channels == nil {
		sc.Channels = table
	}
	sc.Invite = always(i)
	return g.endpoint().Join(g.t.Context(), "", sc)
}

// A client with an invite opens a session under the name and with the data of the invite. The text
// of the invite is all that it has of the server.
func TestInvite(t *testing.T) {
	var server *godwit.Server
	eager := false
	c := inviting(godwit.Handler{
		Open: func(c *godwit.Conn) {
			for c := range server.RTC().Conns() { // the link is 40 ms old, and lost packets are acknowledged, too
				eager = eager || c.Stats().EagerAcks
			}
			id := c.Identity()
			c.Send(chat, []byte(id.Name+" "+string(id.Data)+" "+c.Kind().String()+" "+string(c.Hello())))
		},
		Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
	})
	c.Authorize = func(*http.Request) (godwit.Identity, error) { return godwit.Identity{}, errors.New("nobody") }
	inGame(t, c, func(g *game) {
		server = g.server
		i := testkit.Must(auth.ParseInvite(g.invite().Text()))
		s, err := g.accept(i, client.SessionConfig{Handler: g.handler(), Hello: []byte("hi")})
		g.must(err)
		g.want("open", "chat: ada red native hi")
		g.must(s.Send(loot, []byte("gold")))
		g.want("loot: gold")
		st := g.server.Stats()
		if n := g.asked.Load(); n != 0 || !eager || st.Direct.Admitted != 1 || st.Direct.Early != 0 || st.Open != 1 || st.RTC.Offers != 0 {
			t.Errorf("%d requests, want 0; %+v, want one admitted and no packet too early; acknowledgements are eager: %v, want true", n, st.Direct, eager)
		}
		s.Close(300, "done")
		g.want("closed here: code 300: done")
	})
}

// Of two clients with one invite one gets a session, also if both connect at the same time. The other one
// is told why, or gets no answer if the invite was used before its first check.
func TestTwoClientsWithOneInvite(t *testing.T) {
	inGame(t, inviting(godwit.Handler{}), func(g *game) {
		i := g.invite()
		results := make(chan error, 4)
		for range cap(results) {
			e := g.endpoint()
			go func() {
				_, err := e.Join(g.t.Context(), "", client.SessionConfig{Channels: table, Invite: always(i)})
				results <- err
			}()
		}
		opened := 0
		for range cap(results) {
			err := <-results
			if err == nil {
				opened++
				continue
			}
			if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Status != 409 || e.Code != "invite" || e.Detail["reason"] != "spent" {
				t.Errorf("%v, want the refusal of a spent invite", err)
			}
		}
		if st := g.server.Stats(); opened != 1 || st.Begun != 1 || st.Open != 1 {
			t.Errorf("%d clients have a session, and the server has begun %d; want 1", opened, st.Begun)
		}
		_, err := g.accept(i, client.SessionConfig{})
		if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != client.CloseNoAnswer || !strings.Contains(err.Error(), "was used") {
			t.Errorf("later: %v, want no answer", err)
		}
		if st := g.server.Stats(); st.Begun != 1 || st.RTC.Drops[rtcserver.DropSpent] == 0 {
			t.Errorf("%d sessions, want 1; %d checks with a spent invite", st.Begun, st.RTC.Drops[rtcserver.DropSpent])
		}
	})
}

// An invite that has expired, one of another server's key, one with another certificate, and one for
// another table begin no session.
func TestInvitesThatAreNotGood(t *testing.T) {
	inGame(t, inviting(godwit.Handler{}), func(g *game) {
		i := g.invite()
		time.Sleep(time.Minute + time.Second)
		_, err := g.accept(i, client.SessionConfig{})
		if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != client.CloseNoAnswer {
			t.Errorf("expired: %v, want no answer", err)
		}
		foreign := auth.Inviter{Key: testkit.Must(auth.NewInviteKey(rand.Reader)), Addresses: i.Addresses, Fingerprint: i.Fingerprint}
		_, err = g.accept(testkit.Must(foreign.Invite(time.Now(), rand.Reader, auth.InviteClaims{For: time.Minute})), client.SessionConfig{})
		if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != client.CloseNoAnswer {
			t.Errorf("of another key: %v, want no answer", err)
		}
		other := g.invite()
		other.Fingerprint[0]++
		_, err = g.accept(other, client.SessionConfig{})
		if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != client.CloseNoHandshake || strings.Contains(err.Error(), "expired") {
			t.Errorf("of another certificate: %v, want that the handshake fails", err)
		}
		before := g.server.Stats().RTC.DatagramsIn
		_, err = g.accept(g.invite(), client.SessionConfig{Channels: channel.Channels{{Name: "other", Mode: channel.Sequenced}}})
		if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Code != "channels" || e.Status != 409 || e.Text == "" || g.server.Stats().RTC.DatagramsIn != before {
			t.Errorf("for another table: %v, want the status 409, the code channels and a text, and nothing sent", err)
		}
		if st := g.server.Stats(); st.Begun != 0 || st.RTC.Drops[rtcserver.DropExpired] == 0 || st.RTC.Drops[rtcserver.DropForged] == 0 {
			t.Errorf("%+v, want no session, and drops of expired and forged invites", st)
		}
	})
}

// A client that the server refuses when it says who it is gets the refusal that a request would get.
func TestRefusalsOfInvites(t *testing.T) {
	c := inviting(godwit.Handler{})
	c.Version, c.Duplicates, c.MaxConns = "2", godwit.DuplicatesRefuse, 2
	inGame(t, c, func(g *game) {
		other := channel.Channels{table[0], table[1], {Name: "loot", Mode: channel.ReliableOrdered}}
		i := g.invite()
		i.Channels = ""
		_, err := g.accept(i, client.SessionConfig{Version: "2", Channels: other})
		if e, ok := errors.AsType[*channel.TableError](err); !ok || e.Channel != "loot" {
			t.Errorf("another table: %v, want an error about loot", err)
		}
		_, err = g.accept(i, client.SessionConfig{Version: "1"})
		if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Code != "app" || e.Status != 409 || e.Detail["server"] != "2" {
			t.Errorf("another version: %v, want the code app", err)
		}
		if n := g.server.Stats().Direct.Refused; n != 2 {
			t.Errorf("%d are refused, want 2", n)
		}
		_, err = g.accept(i, client.SessionConfig{Version: "2"}) // a refusal for such a reason does not use it up
		g.must(err)
		_, err = g.accept(g.invite(), client.SessionConfig{Version: "2"})
		if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Code != "identity" || e.Status != 409 {
			t.Errorf("the same name again: %v, want the code identity", err)
		}
		e := g.endpoint()
		sc := client.SessionConfig{Version: "2", Channels: table, Invite: always(testkit.Must(g.server.Invite(auth.InviteClaims{Subject: "cid", For: time.Minute})))}
		cid := testkit.Must(e.Join(g.t.Context(), "", sc))
		if _, err := e.Join(g.t.Context(), "", sc); !errors.Is(err, client.ErrAddressInUse) {
			t.Errorf("again from the same socket: %v, want ErrAddressInUse", err)
		}
		cid.Close(0, "")
		<-cid.Done()
		for _, name := range []string{"bob", "eve"} {
			i, err := g.server.Invite(auth.InviteClaims{Subject: name, For: time.Minute})
			g.must(err)
			_, err = g.accept(i, client.SessionConfig{Version: "2"})
			if e, ok := errors.AsType[*client.SignalError](err); name == "bob" && err != nil || name == "eve" && (!ok || e.Code != "full" || e.Status != 503) {
				t.Errorf("%s: %v, want the third session to be refused as full", name, err)
			}
		}
	})
}

// A server with the certificate and the key of one before it takes invites that are still good.
func TestInvitesOutliveAServer(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		c := godwit.Config{Channels: table, KeyFile: t.TempDir() + "/keys.pem"}
		serve := func() *godwit.Server { return testkit.Must(godwit.Serve(testkit.Listen(t, network, gameAddr), c)) }
		before := serve()
		i := testkit.Must(before.Invite(auth.InviteClaims{For: time.Minute}))
		before.Close()
		after := serve()
		defer after.Close()
		e := testkit.Must(client.Serve(testkit.Listen(t, network, pageAddr), client.Config{}))
		defer e.Close()
		if _, err := e.Join(t.Context(), "", client.SessionConfig{Channels: table, Invite: always(i)}); err != nil {
			t.Error(err)
		}
	})
}

// Config.Spend remembers used invites, too, and may wait.
func TestSpendOfInvites(t *testing.T) {
	c := inviting(godwit.Handler{})
	var calls chan string
	var answer chan error
	c.Spend = func(ctx context.Context, id string, until time.Time) error {
		calls <- id
		select {
		case err := <-answer:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	inGame(t, c, func(g *game) {
		calls, answer = make(chan string, 10), make(chan error)
		for _, want := range []string{"", "spent", "refused", "refused"} {
			done := make(chan error, 1)
			go func() {
				_, err := g.accept(g.invite(), client.SessionConfig{Handler: g.handler()})
				done <- err
			}()
			if id := <-calls; !strings.HasPrefix(id, "invite-") {
				t.Errorf("Spend is called with %q, want the number of the invite", id)
			}
			time.Sleep(time.Second) // the client repeats itself meanwhile
			switch want {
			case "":
				answer <- nil
			case "spent":
				answer <- auth.ErrReplayed
			case "refused":
				time.Sleep(3 * time.Second) // Spend is given up
			}
			err := <-done
			e, ok := errors.AsType[*client.SignalError](err)
			if want == "" && err != nil || want != "" && (!ok || e.Detail["reason"] != want) {
				t.Errorf("%v, want the reason %q", err, want)
			}
		}
		g.want("open")
		if n := g.server.Stats().Begun; n != 1 {
			t.Errorf("%d sessions have begun, want 1", n)
		}
	})
}

// kill ends all WebRTC links of the server.
func (g *game) kill() {
	for c := range g.server.RTC().Conns() {
		c.Close("cut")
	}
}

// A session resumes without a request, whether it began with one or with an invite, and each resume
// gets the credentials for the next one.
func TestResumeTakesNoRequest(t *testing.T) {
	for name, begin := range map[string]func(g *game, sc client.SessionConfig) (*client.Session, error){
		"begun with a request": func(g *game, sc client.SessionConfig) (*client.Session, error) { return g.connect(sc) },
		"begun with an invite": func(g *game, sc client.SessionConfig) (*client.Session, error) { return g.accept(g.invite(), sc) },
	} {
		t.Run(name, func(t *testing.T) {
			c := inviting(godwit.Handler{Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) }})
			inGame(t, c, func(g *game) {
				s, err := begin(g, client.SessionConfig{Handler: g.handler()})
				g.must(err)
				g.want("open")
				g.wantLink(s, session.LinkWebRTC)
				before := g.asked.Load()
				for range 5 {
					g.kill()
					g.must(s.Send(chat, []byte("still here")))
					g.want("interrupted", "resumed", "chat: still here")
					g.wantLink(s, session.LinkWebRTC)
					time.Sleep(time.Minute) // a link that is gone sooner is not tried again at once
				}
				st := g.server.Stats()
				if n := g.asked.Load() - before; n != 0 || st.Direct.Resumed != 5 || st.Begun != 1 {
					t.Errorf("%d requests for 5 resumes, want 0; %+v, want 5 resumed links of 1 session", n, st.Direct)
				}
			})
		})
	}
}

// A client resumes with a request where the server does not know what it needs for a link without
// one: the server has another key.
func TestResumeFallsBackToARequest(t *testing.T) {
	c := inviting(godwit.Handler{})
	inGame(t, c, func(g *game) {
		g.network.SetTap(nil)
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		before := g.asked.Load()
		// The checks of the next link do not get through: their fragment is longer than any other.
		g.network.SetTap(func(p *netsim.Packet) bool {
			return !bytes.Contains(p.Payload, []byte("rAAAA"))
		})
		g.kill()
		began := time.Now()
		g.must(s.Send(chat, []byte("still here")))
		g.want("interrupted", "resumed")
		if n, took := g.asked.Load()-before, time.Since(began); n != 1 || took > time.Second {
			t.Errorf("%d requests, want 1; it took %v, want about 0.7 s", n, took)
		}
		if st := g.server.Stats(); st.Direct.Resumed != 0 || st.Begun != 1 {
			t.Errorf("%+v, want that no link without a request has resumed the session", st.Direct)
		}
	})
}

// With NoDirect a resume takes a request, and there are no invites.
func TestNoDirect(t *testing.T) {
	c := inviting(godwit.Handler{})
	c.NoDirect = true
	inGame(t, c, func(g *game) {
		if _, err := g.server.Invite(auth.InviteClaims{For: time.Minute}); err == nil {
			t.Error("a server with NoDirect makes an invite")
		}
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.kill()
		g.want("interrupted", "resumed")
		g.wantLink(s, session.LinkWebRTC)
		if n := g.asked.Load(); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
	})
}

// A client that began with an invite begins the next session with another invite.
func TestRenewWithAnInvite(t *testing.T) {
	c := inviting(godwit.Handler{})
	c.Grace = 5 * time.Second
	inGame(t, c, func(g *game) {
		made := 0
		h := g.handler()
		h.Renewing = func(*client.Session, session.CloseReason) { g.note("renewing") }
		_, err := g.endpoint().Join(g.t.Context(), "", client.SessionConfig{
			Channels: table, Handler: h, Renew: true,
			Invite: func(context.Context) (auth.Invite, error) { made++; return g.invite(), nil },
		})
		g.must(err)
		g.want("open")
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted", "renewing")
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.want("open")
		if made < 2 {
			t.Errorf("%d invites, want another one for the second session", made)
		}
	})
}

// A session with an invite counts for the address from which its client has opened it, not for that
// from which its first check seems to come.
func TestWhereAnInviteIsUsed(t *testing.T) {
	c := inviting(godwit.Handler{})
	c.RTC.MaxPerIP = 1
	inGame(t, c, func(g *game) {
		victim := netip.MustParseAddrPort("203.0.113.9:9999")
		g.network.SetTap(func(p *netsim.Packet) bool {
			if p.To == gameAddr && p.From.Addr() == pageAddr.Addr() {
				g.network.SetTap(nil)
				g.network.Inject(victim, gameAddr, bytes.Clone(p.Payload))
				return false
			}
			return true
		})
		_, err := g.accept(g.invite(), client.SessionConfig{})
		g.must(err)
		if n := g.server.Stats().RTC.Conns; n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		_, err = g.accept(g.invite(), client.SessionConfig{})
		if err == nil {
			t.Error("one more session from the same address is not refused")
		}
		e := testkit.Must(client.Serve(testkit.Listen(g.t, g.network, netip.AddrPortFrom(victim.Addr(), 0)), client.Config{}))
		defer e.Close()
		_, err = e.Join(g.t.Context(), "", client.SessionConfig{Channels: table, Invite: always(g.invite())})
		if err != nil {
			t.Errorf("a session from the other address: %v", err)
		}
	})
}

// On a network that has become slow the link without a request is not open when the request follows. Both
// links are from one socket, so the server ends the one when it gets the request: the session resumes.
func TestResumeOverALinkThatHasBecomeSlow(t *testing.T) {
	for _, delay := range []time.Duration{150, 240, 260, 300, 450, 600, 900} {
		inGame(t, inviting(godwit.Handler{}), func(g *game) {
			s, err := g.connect(client.SessionConfig{Links: []string{session.LinkWebRTC}, Handler: g.handler()})
			g.must(err)
			g.want("open")
			before := g.asked.Load()
			g.network.SetDefault(netsim.Link{Delay: delay * time.Millisecond})
			g.kill()
			g.want("interrupted")
			began := time.Now()
			g.want("resumed")
			took := time.Since(began)
			time.Sleep(time.Minute)
			st := g.server.Stats()
			t.Logf("one way %d ms: resumed after %v with %d requests, %+v", delay, took, g.asked.Load()-before, st.Direct)
			if limit := 6 * 2 * delay * time.Millisecond; took > limit+time.Second || g.asked.Load()-before > 1 || st.RTC.Conns != 1 {
				t.Errorf("one way %d ms: it took %v, want at most %v; %d requests, want one; %d connections, want one", delay, took, limit, g.asked.Load()-before, st.RTC.Conns)
			}
			s.Close(0, "")
			g.want("closed here: normal")
		})
	}
}
