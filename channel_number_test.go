package godwit

import (
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// A program breaks the range over Poll. An event of the next Poll with a channel number must be
// of the channel that Channels has under that number.
func TestNumberOfAClosedChannelIsKeptAfterABreak(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, manual, func(c *Config) { c.Handler = Handler{}; c.MaxClientChannels = 1 })
		client, err := srv.Local(LocalConfig{})
		must(t, err)
		drainAll := func() {
			for range 10 {
				for range srv.Poll(0) {
				}
				srv.Flush()
				time.Sleep(5 * ms)
			}
		}
		drainAll()
		open := func(name string) ChannelID {
			id, err := client.OpenChannel(Channel{Name: name, Mode: ReliableOrdered})
			must(t, err)
			return id
		}
		a := open("a")
		drainAll()
		for range 30 {
			must(t, client.Send(a, []byte("for a")))
		}
		must(t, client.CloseChannel(a))
		var done bool
		var log []string
		see := func(ev Event) {
			if ev.Conn == client {
				return
			}
			name := ev.Conn.Channels().Name(ev.Channel)
			switch ev.Type {
			case session.EventMessage:
				log = append(log, "message "+string(ev.Data)+" on "+name)
			case session.EventChannelClosed:
				log = append(log, "closed "+name)
			case session.EventChannel:
				log = append(log, "opened "+name)
			}
		}
		for range 80 {
			for ev := range srv.Poll(0) {
				see(ev)
				break
			}
			srv.Flush()
			if len(client.Channels()) == len(table) && !done {
				open("b")
				done = true
			}
			time.Sleep(5 * ms)
		}
		want := append(slices.Repeat([]string{"message for a on a"}, 30), "closed a", "opened b")
		if !slices.Equal(log, want) {
			t.Errorf("the events after the breaks are %q, want %q", log, want)
		}
	})
}

// The same with a handler that panics once.
func TestNumberOfAClosedChannelIsKeptAfterAPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log []string
		boom := true
		srv, _ := newTestServer(t, manual, func(c *Config) {
			c.MaxClientChannels = 1
			c.Handler = Handler{
				Message: func(c *Conn, id ChannelID, b []byte) {
					if boom {
						boom = false
						panic("boom")
					}
					log = append(log, "message "+string(b)+" on "+c.Channels().Name(id))
				},
				Channel:       func(c *Conn, id ChannelID) { log = append(log, "opened "+c.Channels().Name(id)) },
				ChannelClosed: func(c *Conn, id ChannelID) { log = append(log, "closed "+c.Channels().Name(id)) },
			}
		})
		client, err := srv.Local(LocalConfig{})
		must(t, err)
		turn := func() {
			survive(func() {
				for range srv.Poll(0) {
				}
			})
			srv.Flush()
			time.Sleep(5 * ms)
		}
		for range 10 {
			turn()
		}
		id, err := client.OpenChannel(Channel{Name: "a", Mode: Unreliable})
		must(t, err)
		for range 10 {
			turn()
		}
		must(t, client.Send(id, []byte("one")))
		must(t, client.Send(id, []byte("two")))
		must(t, client.CloseChannel(id))
		for range 30 {
			turn()
		}
		if want := []string{"opened a", "message two on a", "closed a"}; !slices.Equal(log, want) {
			t.Errorf("after a panic: %q, want %q", log, want)
		}
	})
}

// No panic and no Poll: a slow handler, and the session moves to another link meanwhile (another
// shard). The handler looks at Channels before and after it waits, then replies on the number.
func TestNumberOfAClosedChannelIsKeptWhileAHandlerRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log []string
		opened := make(chan *Conn, 1)
		srv, _ := newTestServer(t, func(c *Config) {
			c.MaxClientChannels = 1
			c.Handler = Handler{
				Open: func(c *Conn) { opened <- c },
				Message: func(c *Conn, id ChannelID, b []byte) {
					before := c.Channels().Name(id)
					if string(b) == "slow" {
						time.Sleep(time.Second)
					}
					log = append(log, "message "+string(b)+" on "+before+", then "+c.Channels().Name(id))
					if string(b) == "slow" {
						if err := c.Send(id, []byte("the answer for a")); err != nil {
							log = append(log, err.Error())
						}
					}
				},
				Channel:       func(c *Conn, id ChannelID) { log = append(log, "opened "+c.Channels().Name(id)) },
				ChannelClosed: func(c *Conn, id ChannelID) { log = append(log, "closed "+c.Channels().Name(id)) },
			}
		})
		var got []string
		client, err := srv.Local(LocalConfig{Handler: Handler{
			Message: func(c *Conn, id ChannelID, b []byte) {
				if string(b) == "go" {
					id, _ := c.Channels().ID("a")
					must(t, c.Send(id, []byte("slow")))
					must(t, c.CloseChannel(id))
					return
				}
				got = append(got, string(b)+" on "+c.Channels().Name(id))
			},
		}})
		must(t, err)
		server := <-opened
		other := newLinks(srv)
		other.start()
		defer other.stop()
		settle()
		_, err = client.OpenChannel(Channel{Name: "a", Mode: Unreliable})
		must(t, err)
		time.Sleep(200 * ms)
		must(t, server.Send(chat, []byte("go")))
		time.Sleep(100 * ms) // in the handler
		other.connect(server, client)
		other.loop.Lock()
		ours, theirs := other.ends[0].anchor, other.ends[1].anchor
		other.loop.Unlock()
		server.move(ours)
		client.move(theirs)
		time.Sleep(300 * ms)
		if id, err := client.OpenChannel(Channel{Name: "b", Mode: Unreliable}); err == nil {
			t.Errorf("while the handler runs b gets the number %d", id)
		}
		time.Sleep(3 * time.Second)
		settle()
		if !slices.Contains(log, "message slow on a, then a") {
			t.Errorf("while the handler runs the number gets another channel: %q", log)
		}
		if len(got) > 0 {
			t.Errorf("the answer to a message of channel a arrives elsewhere: %q", got)
		}
	})
}

// The server closes several channels and breaks each Poll. The client uses their numbers again
// at once. The session does not end.
func TestNumbersThatAreUsedAgainEndNoSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, err := New(Config{Channels: table, Manual: true, MaxClientChannels: 4})
		must(t, err)
		defer srv.Close()
		var client *Conn
		again := 0
		client, err = srv.Local(LocalConfig{Handler: Handler{
			ChannelClosed: func(c *Conn, _ ChannelID) { again++ },
			Room:          func(*Conn, ChannelID) {},
		}})
		must(t, err)
		var server *Conn
		var ends []string
		turn := func(brk bool) {
			if client.State() == session.StateOpen {
				for i := range 4 { // opens what it may
					client.OpenChannel(Channel{Name: string(rune('a'+i)) + time.Now().Format("150405.000000"), Mode: Unreliable})
				}
			}
			for ev := range srv.Poll(0) {
				if ev.Conn != client {
					switch ev.Type {
					case session.EventOpen:
						server = ev.Conn
					case session.EventClose:
						ends = append(ends, ev.Reason.String())
					}
				}
				if brk {
					break
				}
			}
			srv.Flush()
			time.Sleep(3 * ms)
		}
		for range 20 {
			turn(false)
		}
		for range 10 {
			for id := ChannelID(4); id < 8; id++ {
				server.CloseChannel(id)
			}
			for range 40 {
				turn(true)
			}
		}
		if len(ends) > 0 || again == 0 {
			t.Errorf("%d channels are closed, the session ends %q; want some, and no end", again, ends)
		}
	})
}
