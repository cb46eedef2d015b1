package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A narrow is one direction of a link in memory, with room for one datagram. room, if not nil,
// is called when it has been taken.
type narrow struct {
	ch     chan []byte
	refuse *rand.Rand // refuses one datagram of two at random; nil takes all
}

func (n *narrow) Send(b []byte) bool {
	if n.refuse != nil && n.refuse.IntN(2) == 0 {
		return false
	}
	select {
	case n.ch <- bytes.Clone(b):
		return true
	default:
		return false
	}
}

func (n *narrow) Close(string) { close(n.ch) }

func (n *narrow) deliver(receive func([]byte) bool, room func(), over func()) {
	defer over()
	for b := range n.ch {
		receive(b)
		room()
	}
}

// A link of the program's own carries a session in both directions, whatever the carriers refuse,
// and whether it is reliable or not. When it ends, so does the session.
func TestLinksOfTheProgram(t *testing.T) {
	for _, reliable := range []bool{true, false} {
		t.Run(fmt.Sprint("reliable ", reliable), func(t *testing.T) {
			inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
				up, down := &narrow{ch: make(chan []byte, 1)}, &narrow{ch: make(chan []byte, 1)}
				if !reliable {
					up.refuse, down.refuse = rand.New(rand.NewPCG(1, 0)), rand.New(rand.NewPCG(2, 0))
				}
				theirs, err := g.server.AddLink(godwit.Identity{Name: "ada"}, godwit.LinkConfig{Name: "wire", Reliable: reliable, Carrier: down})
				g.must(err)
				s, err := e.JoinOver(g.t.Context(), client.LinkConfig{Name: "wire", Reliable: reliable, Dial: func(_ context.Context, l *client.Link) (client.Carrier, error) {
					go up.deliver(theirs.Receive, l.Room, theirs.Close)
					go down.deliver(l.Receive, theirs.Room, l.Close)
					return up, nil
				}}, client.SessionConfig{Channels: table, Handler: g.handler()})
				g.must(err)
				g.want("open")
				g.wantLink(s, "wire")
				for i := range 100 {
					g.must(s.Send(chat, bytes.Repeat([]byte{byte('a' + i%26)}, 3000)))
				}
				for i := range 100 {
					g.want("chat: " + strings.Repeat(string(rune('a'+i%26)), 3000))
				}
				if st := s.Stats(); reliable && st.Retransmits+st.Copies != 0 {
					t.Errorf("%d pieces were sent again, %d copies", st.Retransmits, st.Copies)
				}
				if c := theirs.Conn(); c.Identity().Name != "ada" || c.ID() != s.ID() {
					t.Errorf("the session of the link is %v of %q", c.ID(), c.Identity().Name)
				}
				s.Close(300, "done")
				g.want("closed here: code 300: done")
				time.Sleep(time.Minute)
				if st := g.server.Stats(); st.Open != 0 || st.Links.Open != 0 {
					t.Errorf("%d sessions, %+v", st.Open, st.Links)
				}
			})
		})
	}
}

// Dial's error is that of JoinOver, and a link whose server does not answer fails.
func TestLinksOfTheProgramThatFail(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		mine := errors.New("no cable")
		sc := client.SessionConfig{Channels: table}
		_, err := e.JoinOver(g.t.Context(), client.LinkConfig{Name: "wire", Dial: func(context.Context, *client.Link) (client.Carrier, error) { return nil, mine }}, sc)
		if err != mine {
			t.Errorf("the error is %v", err)
		}
		deaf := &narrow{ch: make(chan []byte, 1)}
		ctx, cancel := context.WithTimeout(g.t.Context(), 10*time.Second)
		defer cancel()
		_, err = e.JoinOver(ctx, client.LinkConfig{Name: "wire", Dial: func(context.Context, *client.Link) (client.Carrier, error) {
			synctest.Wait() // the loop rests
			return deaf, nil
		}}, sc)
		if _, ok := errors.AsType[*client.SessionError](err); !ok {
			t.Errorf("nobody answers: %v", err)
		}
		for name, lc := range map[string]godwit.LinkConfig{
			"Name":        {Carrier: deaf},
			"Carrier":     {Name: "wire"},
			"MaxDatagram": {Name: "wire", Carrier: deaf, MaxDatagram: 1000},
		} {
			if _, err := g.server.AddLink(godwit.Identity{}, lc); err == nil || !strings.Contains(err.Error(), "LinkConfig."+name) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, name := range []string{session.LinkWebRTC, session.LinkWebTransport, session.LinkWebSocket, session.LinkInProcess} {
			if _, err := g.server.AddLink(godwit.Identity{}, godwit.LinkConfig{Name: name, Carrier: deaf}); err == nil || !strings.Contains(err.Error(), "LinkConfig.Name") {
				t.Errorf("a link with the name %s: %v", name, err)
			}
		}
		link := testkit.Must(g.server.AddLink(godwit.Identity{}, godwit.LinkConfig{Name: "wire", Carrier: &narrow{ch: make(chan []byte, 1)}}))
		time.Sleep(6 * time.Second) // OpenTimeout
		if st := g.server.Stats(); link.Receive(nil) || st.Pending != 0 || st.Links.Open != 0 {
			t.Errorf("a client that says nothing: %d sessions, %+v", st.Pending, st.Links)
		}
		g.server.Close()
		if _, err := g.server.AddLink(godwit.Identity{}, godwit.LinkConfig{Name: "wire", Carrier: deaf}); err != session.ErrClosed {
			t.Errorf("the server is closed: %v", err)
		}
	})
}

// A stubborn takes nothing while shut is true.
type stubborn struct {
	*narrow
	shut atomic.Bool
}

func (s *stubborn) Send(b []byte) bool { return !s.shut.Load() && s.narrow.Send(b) }

// A reliable link whose carrier takes nothing more, at either end, ends after 10 s. Otherwise a
// session that is over would stay for ever, because the word of its end cannot leave.
func TestLinksOfTheProgramThatTakeNothingMore(t *testing.T) {
	for _, atServer := range []bool{true, false} {
		inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
			up, down := &stubborn{narrow: &narrow{ch: make(chan []byte, 1)}}, &stubborn{narrow: &narrow{ch: make(chan []byte, 1)}}
			theirs, err := g.server.AddLink(godwit.Identity{}, godwit.LinkConfig{Name: "wire", Reliable: true, Carrier: down})
			g.must(err)
			s, err := e.JoinOver(g.t.Context(), client.LinkConfig{Name: "wire", Reliable: true, Dial: func(_ context.Context, l *client.Link) (client.Carrier, error) {
				go up.deliver(theirs.Receive, l.Room, func() {})
				go down.deliver(l.Receive, theirs.Room, func() {})
				return up, nil
			}}, client.SessionConfig{Channels: table, Handler: g.handler()})
			g.must(err)
			g.want("open")
			g.echo(s, "hello")
			time.Sleep(time.Second)
			if atServer {
				down.shut.Store(true)
				theirs.Conn().Kick("")
			} else {
				up.shut.Store(true)
				s.Close(0, "")
			}
			time.Sleep(9 * time.Second)
			if st := g.server.Stats().Links; st.Open != 1 {
				t.Errorf("at the server %v: the link has ended after 9 s", atServer)
			}
			time.Sleep(2 * time.Second)
			if atServer {
				if _, open := <-down.ch; open || g.server.Stats().Links.Open != 0 {
					t.Error("the server's link stays")
				}
				theirs.Close()
				return
			}
			<-s.Done()
			if _, open := <-up.ch; open {
				t.Error("the client's link stays")
			}
			theirs.Close()
		})
	}
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		_, err := e.JoinOver(g.t.Context(), client.LinkConfig{Name: "wire", Dial: func(context.Context, *client.Link) (client.Carrier, error) { return nil, nil }}, client.SessionConfig{Channels: table})
		if err == nil || !strings.Contains(err.Error(), "no Carrier") {
			t.Errorf("Dial without a carrier: %v", err)
		}
	})
}

// A link that ends before the session is open is the cause of the error of JoinOver, with its own cause.
func TestCauseOfALinkThatEndsBeforeTheSessionOpens(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		for _, c := range []struct {
			name string
			shut bool
			code client.CloseCode
			text string
		}{
			{"it is closed", false, client.CloseByServer, "the link has ended"},
			{"it has no room", true, client.CloseByClient, "the link had no room for too long"},
		} {
			carrier := newValve()
			carrier.shut.Store(c.shut)
			_, err := e.JoinOver(g.t.Context(), client.LinkConfig{Name: "wire", Reliable: true, Dial: func(_ context.Context, l *client.Link) (client.Carrier, error) {
				if !c.shut {
					time.AfterFunc(time.Second, l.Close)
				}
				return carrier, nil
			}}, client.SessionConfig{Channels: table})
			if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != c.code || e.Err == nil || e.Err.Error() != c.text {
				t.Errorf("%s: %v, want %v: %s", c.name, err, c.code, c.text)
			}
		}
	})
}
