package godwit

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

const (
	move ChannelID = 1 + iota
	chat
	loot
)

var table = Channels{
	{Name: "move", Mode: Sequenced},
	{Name: "chat", Mode: ReliableOrdered},
	{Name: "loot", Mode: ReliableUnordered},
}

// A recorder notes the events of the conns whose handler it is.
type recorder struct {
	testkit.Notes
	on Handler // called too
}

func (d *recorder) want(t *testing.T, lines ...string) {
	t.Helper()
	if got := d.Take(); !slices.Equal(got, lines) {
		t.Errorf("what happened:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(lines, "\n     "))
	}
}

func (d *recorder) handler() Handler {
	return Handler{
		Open: func(c *Conn) {
			d.Note("open %s", c.Hello())
			if d.on.Open != nil {
				d.on.Open(c)
			}
		},
		Message: func(c *Conn, ch ChannelID, b []byte) {
			d.Note("%s: %s", table.Name(ch), b)
			if d.on.Message != nil {
				d.on.Message(c, ch, b)
			}
		},
		Request: func(c *Conn, r *Request) {
			d.Note("request %s: %s", r.Name, r.Data)
			if d.on.Request != nil {
				d.on.Request(c, r)
			}
		},
		Receipt:     func(c *Conn, id MessageID, f Fate) { d.Note("receipt %d %v", id, f) },
		Interrupted: func(c *Conn) { d.Note("interrupted") },
		Resumed:     func(c *Conn) { d.Note("resumed") },
		Close:       func(c *Conn, why CloseReason) { d.Note("%v", why) },
	}
}

// bubble runs a test in virtual time. settle waits until everything rests.
func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

func settle() { synctest.Wait() }

// newTestServer returns a server without a port, and its recorder.
func newTestServer(t *testing.T, edit ...func(*Config)) (*Server, *recorder) {
	d := &recorder{}
	c := Config{Channels: table, Handler: d.handler()}
	for _, f := range edit {
		f(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, d
}

// join connects a client and returns both ends of its session.
func join(t *testing.T, s *Server, name string) (client, server *Conn, d *recorder) {
	t.Helper()
	d = &recorder{}
	before := slices.Collect(s.Conns())
	client, err := s.Local(LocalConfig{Identity: Identity{Name: name}, Hello: []byte("I am " + name), Handler: d.handler()})
	if err != nil {
		t.Fatal(err)
	}
	settle()
	for c := range s.Conns() {
		if !slices.Contains(before, c) {
			server = c
		}
	}
	return client, server, d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// cut ends the link of a client in this process, like a network that fails.
func cut(c *Conn) {
	e := c.home.Load().link.(*linkEnd)
	e.Close("")
}

// resume gives a client in this process a new link, as package client would after a
// request that shows the token.
func resume(client, server *Conn) {
	l := client.home.Load().link.(*linkEnd).links
	l.connect(server, client)
	l.loop.Lock()
	a := l.ends[len(l.ends)-1].anchor
	l.loop.Unlock()
	client.move(a)
}

const ms = time.Millisecond
