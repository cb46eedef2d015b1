package godwit

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

func TestOpenChannel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		client, server, cd := join(t, srv, "ada")
		d.Take()
		cd.Take()
		client.handler.Channel = func(c *Conn, id ChannelID) {
			cd.Note("channel %d %s", id, c.Channels()[id-1].Name)
			must(t, c.Send(id, []byte("thanks")))
		}
		id, err := server.OpenChannel(Channel{Name: "effects"})
		must(t, err)
		must(t, server.Send(id, []byte("boom")))
		settle()
		cd.want(t, "channel 4 effects", ": boom")
		d.want(t, ": thanks")

		if err := srv.Broadcast(id, nil); err != session.ErrUnknown {
			t.Errorf("Broadcast on the channel: %v, want ErrUnknown", err)
		}
		if _, err := client.OpenChannel(Channel{Name: "mine"}); err != session.ErrFixed {
			t.Errorf("OpenChannel of the client: %v, want ErrFixed", err)
		}
		_, err = server.OpenChannel(Channel{Name: "effects"})
		if _, ok := errors.AsType[*channel.TableError](err); !ok {
			t.Errorf("OpenChannel with the same name: %v, want a TableError", err)
		}
		if n := len(server.Channels()); n != 4 || len(srv.config.Channels) != 3 {
			t.Errorf("the session has %d channels, want 4; the server %d, want 3", n, len(srv.config.Channels))
		}

		cut(client)
		settle()
		if err := server.Send(id, nil); err != session.ErrInterrupted {
			t.Errorf("Send while the session is interrupted: %v, want ErrInterrupted", err)
		}
		resume(client, server)
		time.Sleep(time.Second)
		cd.Take()
		must(t, server.Send(id, []byte("again")))
		settle()
		cd.want(t, ": again")
	})
}

// A client opens channels within the server's limit, and either end closes them. The
// numbers are free after that.
func TestClientOpensAndClosesChannels(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t, func(c *Config) { c.MaxClientChannels, c.MaxClientQueue = 1, 64<<10 })
		client, server, cd := join(t, srv, "ada")
		d.Take()
		cd.Take()
		bag := Channel{Name: "bag", Mode: ReliableOrdered, MaxMessage: 1000, QueueLimit: 64 << 10}
		for _, c := range []*Conn{client, server} {
			recorder := d
			if c == client {
				recorder = cd
			}
			c.handler.Channel = func(c *Conn, id ChannelID) { recorder.Note("channel %d %s", id, c.Channels().Name(id)) }
			c.handler.ChannelClosed = func(c *Conn, id ChannelID) { recorder.Note("%d %s closed", id, c.Channels().Name(id)) }
		}
		for _, closer := range []*Conn{client, server} {
			id, err := client.OpenChannel(bag)
			must(t, err)
			if got, ok := client.Channels().ID("bag"); got != id || !ok || id != 4 {
				t.Errorf("the channel has the number %d, by its name %d, %v; want 4", id, got, ok)
			}
			if _, err := client.OpenChannel(Channel{Name: "second", MaxMessage: 10, QueueLimit: 100}); !isTableError(err) {
				t.Errorf("a second channel: %v, want a TableError", err)
			}
			must(t, client.Send(id, []byte("first")))
			settle()
			m, err := server.SendNamed("bag", []byte("last"), Options{Receipt: true})
			must(t, err)
			must(t, closer.CloseChannel(id))
			if err := closer.Send(id, nil); err != session.ErrUnknown {
				t.Errorf("Send after CloseChannel: %v, want ErrUnknown", err)
			}
			time.Sleep(time.Second)
			d.want(t, "channel 4 bag", ": first", fmt.Sprintf("receipt %d delivered", m), "4 bag closed")
			cd.want(t, ": last", "4 bag closed")
			if _, ok := client.Channels().ID("bag"); ok || len(client.Channels()) != 3 || len(server.Channels()) != 3 {
				t.Errorf("the tables are %v and %v, want three channels without bag", client.Channels(), server.Channels())
			}
			if _, err := server.SendNamed("bag", nil, Options{}); err != session.ErrUnknown {
				t.Errorf("SendNamed after the close: %v, want ErrUnknown", err)
			}
		}
		if err := server.CloseChannel(chat); err != session.ErrFixed {
			t.Errorf("CloseChannel of a channel of the table: %v, want ErrFixed", err)
		}
		if st := srv.Totals().Channels; st[4].MessagesOut != 2 || st[4].MessagesIn != 2 || st[4].Name != "" {
			t.Errorf("the counters of closed channels are %+v, want 2 messages in and out", st[4])
		}
		srv.Totals()
		if st := srv.Totals().Channels; st[4].MessagesOut != 2 {
			t.Errorf("the counters of closed channels are %+v, want 2 messages out as before", st[4])
		}
	})
}

func isTableError(err error) bool {
	_, ok := errors.AsType[*channel.TableError](err)
	return ok
}

// A message to many sessions by the name of a channel uses each session's number of that
// channel. The result is the number of sessions without such a channel.
func TestMessagesToManyByName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		g := srv.NewGroup()
		var servers []*Conn
		var recorders []*recorder
		for n := range 4 {
			client, server, d := join(t, srv, fmt.Sprint(n))
			client.handler.Message = func(c *Conn, id ChannelID, b []byte) { d.Note("%s %s", c.Channels().Name(id), b) }
			for k := range n {
				_, err := server.OpenChannel(Channel{Name: fmt.Sprint("filler", k)})
				must(t, err)
			}
			if n != 2 {
				_, err := server.OpenChannel(Channel{Name: "room", Mode: ReliableOrdered, MaxMessage: 100 + 100*n})
				must(t, err)
			}
			settle()
			d.Take()
			g.Join(server)
			servers, recorders = append(servers, server), append(recorders, d)
		}
		want := func(why string, skipped, wantSkipped int, err, wantErr error, lines ...string) {
			t.Helper()
			settle()
			if skipped != wantSkipped || err != wantErr {
				t.Errorf("%s: skipped %d, want %d; %v, want %v", why, skipped, wantSkipped, err, wantErr)
			}
			for i, d := range recorders {
				got := d.Take()
				if len(got) > 1 || len(got) == 1 && got[0] != lines[i] || len(got) == 0 && lines[i] != "" {
					t.Errorf("%s: session %d got %q, want %q", why, i, got, lines[i])
				}
			}
		}
		n, err := g.SendNamed(nil, "room", []byte("hi"))
		want("a group", n, 1, err, nil, "room hi", "room hi", "", "room hi")
		n, err = g.SendNamed(servers[0], "room", []byte("hi"))
		want("all but one", n, 1, err, nil, "", "room hi", "", "room hi")
		n, err = srv.BroadcastNamed(nil, "room", []byte("yo"))
		want("all", n, 1, err, nil, "room yo", "room yo", "", "room yo")
		n, err = srv.BroadcastNamed(nil, "chat", []byte("yo"))
		want("a channel of the table", n, 0, err, nil, "chat yo", "chat yo", "chat yo", "chat yo")
		n, err = srv.BroadcastNamed(nil, "nobody", []byte("yo"))
		want("a channel that nobody has", n, 4, err, nil, "", "", "", "")
		n, err = srv.BroadcastNamed(nil, "", []byte("yo"))
		want("no name", n, 0, err, session.ErrUnknown, "", "", "", "")
		n, err = srv.BroadcastNamed(nil, "control", []byte("yo"))
		want("the control channel", n, 4, err, nil, "", "", "", "")
		before := srv.Stats().Unsent
		text := string(make([]byte, 150))
		n, err = g.SendNamed(nil, "room", []byte(text))
		want("too large for one", n, 1, err, session.ErrTooLarge, "", "room "+text, "", "room "+text)
		if n := srv.Stats().Unsent - before; n != 1 {
			t.Errorf("%d messages are unsent, want 1", n)
		}
		id, _ := servers[3].Channels().ID("room")
		must(t, servers[3].CloseChannel(id))
		n, err = g.SendNamed(nil, "room", []byte("hi"))
		want("one is closed", n, 2, err, nil, "room hi", "room hi", "", "")
	})
}

// A client chooses the names of its channels, but does not get messages that the server sends
// to many sessions by such a name.
func TestANameThatAClientChoosesGetsNothingForMany(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) { c.MaxClientChannels, c.MaxClientQueue = 1, 64<<10 })
		g := srv.NewGroup()
		member, theirs, d := join(t, srv, "ada")
		member.handler.Message = func(c *Conn, id ChannelID, b []byte) { d.Note("%d: %s", id, b) }
		stranger, server, sd := join(t, srv, "eve")
		staff := Channel{Name: "staff", Mode: ReliableOrdered, MaxMessage: 1000, QueueLimit: 64 << 10}
		open := func(c *Conn) ChannelID {
			id, err := c.OpenChannel(staff)
			must(t, err)
			settle()
			return id
		}
		for range 2 {
			id := open(theirs)
			open(stranger)
			g.Join(theirs)
			g.Join(server)
			d.Take()
			sd.Take()
			for _, send := range []func(*Conn, string, []byte) (int, error){srv.BroadcastNamed, g.SendNamed} {
				if n, err := send(nil, "staff", []byte("secret")); n != 1 || err != nil {
					t.Errorf("skipped %d, want 1; %v, want nil", n, err)
				}
				settle()
				sd.want(t)
				d.want(t, fmt.Sprintf("%d: secret", id))
			}
			own, _ := server.Channels().ID("staff")
			must(t, server.CloseChannel(own))
			must(t, theirs.CloseChannel(id))
			time.Sleep(time.Second)
		}
		staff.Direction = ToServer
		open(stranger)
		if n, err := srv.BroadcastNamed(nil, "staff", []byte("secret")); n != 2 || err != nil {
			t.Errorf("a client's channel on which only the client may send: skipped %d, want 2; %v", n, err)
		}
	})
}

// After ErrBudget the program gets one event when there is room for the message: from the
// handler, or from Poll.
func TestRoom(t *testing.T) {
	for _, poll := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			edit := func(c *Config) {}
			if poll {
				edit = manual
			}
			srv, _ := newTestServer(t, edit, func(c *Config) {
				c.Channels = Channels{{Name: "chat", Mode: ReliableOrdered, MaxMessage: 1000, QueueLimit: 5000}}
			})
			rooms := map[*Conn][]ChannelID{}
			client, err := srv.Local(LocalConfig{Handler: Handler{Room: func(c *Conn, id ChannelID) { rooms[c] = append(rooms[c], id) }}})
			must(t, err)
			turn := func() {
				if !poll {
					time.Sleep(100 * ms)
					settle()
					return
				}
				for range 10 {
					events(srv, func(ev Event) {
						if ev.Type == session.EventRoom {
							rooms[ev.Conn] = append(rooms[ev.Conn], ev.Channel)
						}
					})
					time.Sleep(10 * ms)
				}
			}
			turn()
			var server *Conn
			for c := range srv.Conns() {
				server = c
			}
			if !poll {
				server.handler.Room = func(c *Conn, id ChannelID) { rooms[c] = append(rooms[c], id) }
			}
			for _, c := range []*Conn{client, server} {
				cut(client)
				turn()
				for c.Send(1, make([]byte, 900)) == nil {
				}
				if err := c.Send(1, make([]byte, 1000)); err != session.ErrBudget {
					t.Fatal(err)
				}
				for err == nil {
					_, err = c.Ask("q", make([]byte, 60<<10), nil)
				}
				if err != session.ErrBudget {
					t.Fatal(err)
				}
				err = nil
				resume(client, server)
				for range 40 {
					turn()
				}
				slices.Sort(rooms[c])
				if got := rooms[c]; !slices.Equal(got, []ChannelID{0, 1}) {
					t.Errorf("poll %v: events of room on %v, want channels 0 and 1", poll, got)
				}
				must(t, c.Send(1, make([]byte, 1000)))
			}
		})
	}
}
