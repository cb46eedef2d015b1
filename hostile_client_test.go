package godwit

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// A hostileClient is a client that is only a link, and sends any packets on it.
type hostileClient struct {
	t      *testing.T
	links  *links
	server *Conn // the server's end
	mux    *channel.Mux
	ours   *linkEnd // the server's end of the link
	theirs *linkEnd
	came   [][]byte
	deaf   bool // it takes nothing, and acknowledges nothing
	heard  string
	token  []byte // to resume with, as the last WELCOME says
}

// newHostileClient connects a client with its own table to the server.
func newHostileClient(t *testing.T, s *Server, table Channels) *hostileClient {
	t.Helper()
	c, err := s.newConn(Identity{}, KindUnknown, math.MaxInt, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	mux, err := channel.New(time.Now(), channel.Config{Channels: table, Rate: 8 << 20, Ceiling: -1})
	if err != nil {
		t.Fatal(err)
	}
	x := &hostileClient{t: t, links: s.links, server: c, mux: mux}
	x.ours = &linkEnd{links: s.links}
	x.theirs = &linkEnd{links: s.links, peer: x.ours, anchor: &anchor{conn: &Conn{}}, closed: true}
	x.theirs.wire = func(b []byte) { x.came = append(x.came, bytes.Clone(b)) }
	x.ours.peer = x.theirs
	x.ours.anchor = &anchor{conn: c, link: x.ours}
	c.home.Store(x.ours.anchor)
	s.links.loop.Lock()
	defer s.links.loop.Unlock()
	s.links.add(x.ours)
	x.ours.anchor.open(time.Now())
	return x
}

// put makes a datagram arrive at an end. The lock is held.
func put(e *linkEnd, b []byte) {
	*e.links.inbox.Add() = linkDatagram{e, b}
	e.links.loop.Wake()
}

// say sends a message.
func (x *hostileClient) say(ch ChannelID, b string) {
	x.t.Helper()
	if _, err := x.mux.Send(time.Now(), ch, []byte(b), Options{}); err != nil {
		x.t.Fatal(err)
	}
}

// run exchanges packets for a while.
func (x *hostileClient) run(d time.Duration) {
	var events []channel.Event
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * ms) {
		x.mux.Advance(time.Now())
		x.links.loop.Lock()
		for b := x.mux.Append(time.Now(), nil, channel.MaxPacket); len(b) > 0; b = x.mux.Append(time.Now(), nil, channel.MaxPacket) {
			put(x.ours, b)
		}
		came := x.came
		x.came = nil
		x.links.loop.Unlock()
		for _, b := range came {
			if !x.deaf {
				x.mux.Receive(time.Now(), b)
			}
		}
		events = x.mux.Events(events[:0])
		for _, ev := range events {
			if ev.Type == channel.EventMessage && ev.Channel == channel.Control && ev.Payload[0] == 2 {
				x.token = bytes.Clone(ev.Payload[9:25])
			}
			if ev.Type == channel.EventClosed {
				x.heard = fmt.Sprintf("%v: %s", session.CloseCode(ev.Code), ev.Payload)
			}
		}
		x.mux.Release(events)
	}
}

const hello = "\x01\x00\x00"

func TestStrangers(t *testing.T) {
	generous := Channels{table[0], {Name: "chat", Mode: ReliableOrdered, MaxMessage: 300 << 10}, table[2]}
	for _, c := range []struct {
		name string
		do   func(x *hostileClient)
		want string
		code session.CloseCode
	}{
		{"size", func(x *hostileClient) {
			x.say(0, hello)
			x.say(chat, string(make([]byte, 256<<10+1)))
		}, "limit: size: a message is larger than its channel allows", session.CloseLimitSize},
		{"early", func(x *hostileClient) {
			for range 17 {
				x.say(chat, string(make([]byte, 16<<10)))
			}
		}, "limit: early: too much sent before HELLO", session.CloseLimitEarly},
		{"requests", func(x *hostileClient) {
			x.say(0, hello)
			x.run(100 * ms)
			x.deaf = true
			for _, n := range []int{session.MaxRequest, 1000, 0} { // the queue fills with what the client does not take
				for err := error(nil); err == nil; _, err = x.server.Ask("full", make([]byte, n), func(Result) {}) {
				}
			}
			for i := range 600 { // and then with rejections
				x.say(0, "\x03\x00\x00"+string([]byte{byte(i >> 8), byte(i)})+"\x01r")
			}
			x.run(500 * ms)
			x.deaf = false
		}, "limit: requests: too many requests: there is no room to queue their rejections", session.CloseLimitRequests},
		{"no HELLO", func(x *hostileClient) { x.run(6 * time.Second) }, "protocol error: no HELLO arrived in time", session.CloseProtocolError},
		{"another opening", func(x *hostileClient) { x.say(0, "\x07\x00\x00\x00\x01") }, "protocol error: the first control message is not HELLO", session.CloseProtocolError},
		{"nonsense", func(x *hostileClient) { x.say(0, hello); x.say(0, "\x00") }, "protocol error: a control message is malformed", session.CloseProtocolError},
		{"an OPENED", func(x *hostileClient) { x.say(0, hello); x.say(0, "\x09\x04") }, "protocol error: an OPENED that answers no OPEN", session.CloseProtocolError},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				srv, d := newTestServer(t, func(c *Config) {
					c.Limits = Limits{Requests: 1, Messages: -1, Bytes: -1}
				})
				d.on.Request = func(_ *Conn, r *Request) { r.Keep(); time.AfterFunc(time.Hour, func() { r.Ack() }) }
				x := newHostileClient(t, srv, generous)
				c.do(x)
				x.run(time.Second)
				if x.heard != c.want {
					t.Errorf("the client gets %q, want %q", x.heard, c.want)
				}
				if opened := srv.Stats().Begun == 1; opened && srv.Stats().Closed[c.code] != 1 {
					t.Errorf("the counted ends are %v, want code %v", srv.Stats().Closed, c.code)
				}
				settle()
				if n := srv.directory.count(); n != 0 {
					t.Errorf("%d sessions are in the directory, want 0", n)
				}
			})
		})
	}
}
