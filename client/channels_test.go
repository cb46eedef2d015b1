package client_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// TestOpenChannel opens a channel at run time and loses the link at once: it comes to
// the client before its first message, and both outlive the link.
func TestOpenChannel(t *testing.T) {
	c := godwit.Config{Handler: godwit.Handler{
		Open: func(c *godwit.Conn) {
			id, err := c.OpenChannel(godwit.Channel{Name: "effects", Mode: godwit.ReliableOrdered})
			if err != nil {
				t.Error(err)
			}
			c.Send(id, []byte("boom"))
		},
		Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
	}}
	inGame(t, c, func(g *game) {
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, Loss: 0.2})
		h := g.handler()
		h.Interrupted, h.Resumed = nil, nil
		h.Message = func(_ *client.Session, ch channel.ID, b []byte) { g.note("%d: %s", ch, b) }
		h.Channel = func(s *client.Session, ch channel.ID) {
			g.note("channel %d: %s", ch, s.Channels()[ch-1].Name)
			g.must(s.Send(ch, []byte("thanks")))
			for c := range g.server.RTC().Conns() {
				c.Close("cut")
			}
		}
		s, err := g.connect(client.SessionConfig{Handler: h})
		g.must(err)
		g.want("open", "channel 4: effects", "4: boom", "4: thanks")
		if s.Stats().Resumed == 0 {
			t.Error("no link was replaced: the test tests nothing")
		}
	})
}

// A client and a server open and close channels over a network that loses a tenth, while
// the session moves to other links: 1,000 channels, of which each message arrives once, on
// its own channel.
func TestChannelsOpenAndCloseOverALossyNetwork(t *testing.T) {
	const rounds, each = 1000, 3
	type life struct {
		got  map[string]int
		name map[channel.ID]string
	}
	lives := map[bool]*life{false: {map[string]int{}, map[channel.ID]string{}}, true: {map[string]int{}, map[channel.ID]string{}}}
	var closed chan string
	var mu sync.Mutex // the client's handlers and the test use lives
	opened := func(server bool, id channel.ID, name string) {
		mu.Lock()
		defer mu.Unlock()
		lives[server].name[id] = name
	}
	ended := func(server bool, id channel.ID) {
		mu.Lock()
		defer mu.Unlock()
		closed <- lives[server].name[id]
		delete(lives[server].name, id)
	}
	heard := func(server bool, id channel.ID, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		l := lives[server]
		name, _, _ := strings.Cut(string(b), " ")
		if l.name[id] != name {
			t.Errorf("%q has arrived on the channel %q", b, l.name[id])
		}
		l.got[string(b)]++
	}
	talk := func(name, who string, send func(b []byte) error) {
		for n := range each {
			if err := send(fmt.Appendf(nil, "%s %s %d", name, who, n)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	c := godwit.Config{MaxClientChannels: 3, Limits: godwit.Limits{Messages: -1, Bytes: -1}, Handler: godwit.Handler{
		Channel: func(c *godwit.Conn, id godwit.ChannelID) {
			name := c.Channels().Name(id)
			opened(true, id, name)
			talk(name, "server", func(b []byte) error { return c.Send(id, b) })
			if len(name)%2 == 0 {
				c.CloseChannel(id)
			}
		},
		ChannelClosed: func(_ *godwit.Conn, id godwit.ChannelID) { ended(true, id) },
		Message:       func(_ *godwit.Conn, id godwit.ChannelID, b []byte) { heard(true, id, b) },
	}}
	inGame(t, c, func(g *game) {
		closed = make(chan string, 2*rounds) // of the bubble
		g.network.SetDefault(netsim.Link{Delay: 5 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.1, Duplicate: 0.1})
		s, err := g.connect(client.SessionConfig{Handler: client.SessionHandler{
			ChannelClosed: func(_ *client.Session, id channel.ID) { ended(false, id) },
			Message:       func(_ *client.Session, id channel.ID, b []byte) { heard(false, id, b) },
		}})
		g.must(err)
		ends := map[string]int{}
		for n := range rounds {
			name := fmt.Sprint("round", n)
			id, err := s.OpenChannel(channel.Channel{Name: name, Mode: channel.ReliableOrdered})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			opened(false, id, name)
			talk(name, "client", func(b []byte) error { return s.Send(id, b) })
			if n%2 == 0 {
				g.must(s.CloseChannel(id))
			} else {
				time.AfterFunc(50*time.Millisecond, func() { s.CloseChannel(id) })
			}
			if n%100 == 50 {
				for c := range g.server.RTC().Conns() {
					c.Close("cut")
				}
			}
			for ends[name] < 2 {
				select {
				case over := <-closed:
					ends[over]++
				case <-time.After(time.Minute):
					t.Fatalf("%s is not closed after a minute: %d of 2 ends", name, ends[name])
				}
			}
		}
		for _, l := range lives {
			if len(l.got) != rounds*each {
				t.Errorf("%d of %d messages have arrived", len(l.got), rounds*each)
			}
			for b, n := range l.got {
				if n != 1 {
					t.Errorf("%q has arrived %d times, want once", b, n)
				}
			}
		}
		if n := s.Stats().Resumed; n < 5 {
			t.Errorf("%d resumes, want 5 at least", n)
		}
	})
}

// A native client can read the room of a queue and the status of a request, and gets an event
// when a queue has room again.
func TestFreeStatusAndRoom(t *testing.T) {
	var held *session.Request
	c := godwit.Config{Handler: godwit.Handler{Request: func(_ *godwit.Conn, r *godwit.Request) { r.Keep(); held = r }}}
	inGame(t, c, func(g *game) {
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		room := make(chan channel.ID, 10)
		answered := make(chan session.Status, 1)
		s, err := g.connect(client.SessionConfig{Handler: client.SessionHandler{Room: func(_ *client.Session, id channel.ID) { room <- id }}})
		g.must(err)
		id, ok := s.Channels().ID("chat")
		if free := s.Free(id); !ok || free != 256<<10 || s.Free(0) < 0 || s.Free(9) != -1 {
			t.Errorf("Free(%d) = %d, want %d; an unknown channel: %d, want -1", id, free, 256<<10, s.Free(9))
		}
		ask, err := s.Ask("slow", nil, func(r session.Result) { answered <- r.Status })
		g.must(err)
		if st, ok := s.Status(ask); !ok || st != session.StatusSending {
			t.Errorf("Status before the request is sent = %v, %v; want StatusSending, true", st, ok)
		}
		time.Sleep(time.Second)
		if st, ok := s.Status(ask); !ok || st != session.StatusWaiting {
			t.Errorf("Status after the request has arrived = %v, %v; want StatusWaiting, true", st, ok)
		}
		g.must(held.Ack())
		if st := <-answered; st != session.StatusAcknowledged {
			t.Errorf("the result is %v, want StatusAcknowledged", st)
		}
		if _, ok := s.Status(ask); ok {
			t.Error("Status of an answered request has a result, want none")
		}
		for err == nil {
			_, err = s.SendNamed("chat", make([]byte, 200<<10), channel.Options{})
		}
		if err != session.ErrBudget || s.Free(id) >= 200<<10 {
			t.Errorf("%v, want ErrBudget; %d bytes are free, want less than %d", err, s.Free(id), 200<<10)
		}
		if got := <-room; got != id || s.Free(id) < 200<<10 {
			t.Errorf("room on %d, want %d; %d bytes are free, want %d at least", got, id, s.Free(id), 200<<10)
		}
		if _, err := s.SendNamed("nobody", nil, channel.Options{}); err != session.ErrUnknown {
			t.Errorf("SendNamed to an unknown channel: %v, want ErrUnknown", err)
		}
		if _, err := s.OpenChannel(channel.Channel{Name: "mine"}); err != session.ErrFixed {
			t.Errorf("OpenChannel that the server does not allow: %v, want ErrFixed", err)
		}
		if err := s.CloseChannel(id); err != session.ErrFixed {
			t.Errorf("CloseChannel of a channel of the table: %v, want ErrFixed", err)
		}
	})
}

// The number of a closed channel stays with the channel until the program has processed its
// last event, also if the program breaks off the range over Poll at each event.
func TestNumberOfAClosedChannelIsKeptAfterABreak(t *testing.T) {
	var server *godwit.Conn
	c := godwit.Config{Handler: godwit.Handler{Open: func(c *godwit.Conn) { server = c }}}
	inGame(t, c, func(g *game) {
		e := g.manual()
		s, err := g.join(e, client.SessionConfig{Handler: client.SessionHandler{Open: func(*client.Session) {}}})
		g.must(err)
		open := func(name string) channel.ID {
			id, err := server.OpenChannel(channel.Channel{Name: name, Mode: channel.ReliableOrdered})
			g.must(err)
			return id
		}
		a := open("a")
		poll(e, 200*time.Millisecond, nil)
		for range 10 {
			g.must(server.Send(a, []byte("for a")))
		}
		g.must(server.CloseChannel(a))
		var got []string
		for range 60 {
			for ev := range e.Poll(16 * time.Millisecond) {
				got = append(got, ev.Type.String()+" "+s.Channels().Name(ev.Channel))
				break
			}
			e.Flush()
			if len(server.Channels()) == len(table) {
				open("b")
			}
		}
		want := append(slices.Repeat([]string{"message a"}, 10), "channel closed a", "channel b")
		wantAll(t, "one for each Poll", got, want...)
	})
}
