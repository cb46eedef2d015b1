package godwit

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A slot is a Carrier that keeps the last datagrams, without allocating.
type slot struct {
	b [8][channel.MaxPacket]byte
	n [8]int
	k int

	refused int
}

func (s *slot) Send(b []byte) bool {
	if s.k == len(s.b) {
		s.refused++
		return false
	}
	s.n[s.k] = copy(s.b[s.k][:], b)
	s.k++
	return true
}

func (s *slot) Close(string) {}

// An echo over a carrier allocates nothing: from Link.Receive through the loop, the session and the
// handler to Carrier.Send.
func TestEchoOverACarrierDoesNotAllocate(t *testing.T) {
	for _, reliable := range []bool{true, false} {
		bubble(t, func(t *testing.T) { echoOverACarrier(t, reliable) })
	}
}

func echoOverACarrier(t *testing.T, reliable bool) {
	srv := testkit.Must(New(Config{Channels: table, Manual: true, Limits: Limits{Messages: -1, Bytes: -1}, Handler: Handler{
		Message: func(c *Conn, ch ChannelID, b []byte) { c.Send(ch, b) },
		Open:    func(*Conn) {},
	}}))
	defer srv.Close()
	carrier := new(slot)
	link := testkit.Must(srv.AddLink(Identity{}, LinkConfig{Name: "slot", Carrier: carrier, Reliable: reliable}))
	mux := testkit.Must(channel.New(time.Now(), channel.Config{Channels: table, ReliableLink: reliable, Ceiling: -1, Rate: 1 << 30}))
	must(t, func() error { _, err := mux.Send(time.Now(), 0, []byte(hello), Options{}); return err }())
	msg, buf := make([]byte, 200), make([]byte, 0, channel.MaxPacket)
	var events []channel.Event
	echoes := 0
	round := func() {
		time.Sleep(10 * ms) // the rate allows a packet
		now := time.Now()
		mux.Send(now, move, msg, Options{})
		for b := mux.Append(now, buf, channel.MaxPacket); len(b) > 0; b = mux.Append(now, buf, channel.MaxPacket) {
			link.Receive(b)
		}
		for range srv.Poll(0) {
		}
		srv.Flush()
		for i := range carrier.k {
			mux.Receive(now, carrier.b[i][:carrier.n[i]])
		}
		carrier.k = 0
		if link.end.full {
			link.Room()
		}
		events = mux.Events(events[:0])
		for _, ev := range events {
			if ev.Type == channel.EventMessage && ev.Channel == move {
				echoes++
			}
		}
		mux.Release(events)
	}
	for range 2000 {
		round()
	}
	poll := func() { // the range itself allocates
		for range srv.Poll(0) {
		}
	}
	if n, rest := testing.AllocsPerRun(1000, round), testing.AllocsPerRun(1000, poll); n != rest {
		t.Errorf("reliable %v: %v allocations for an echo, and %v to poll", reliable, n, rest)
	}
	if echoes < 1000 {
		t.Errorf("reliable %v: %d echoes", reliable, echoes)
	}
}

// Datagrams to a carrier have at most MaxDatagram bytes, and never more than a session sends elsewhere.
func TestDatagramsToACarrierFit(t *testing.T) {
	for _, c := range []struct{ most, want int }{{0, channel.MaxPacket}, {channel.MinLimit, channel.MinLimit}, {5000, channel.MaxPacket}} {
		bubble(t, func(t *testing.T) {
			srv, _ := newTestServer(t, func(c *Config) {
				c.Handler = Handler{Open: func(c *Conn) {
					for range 200 {
						c.Send(chat, make([]byte, 20))
					}
				}}
			})
			carrier := new(slot)
			link := testkit.Must(srv.AddLink(Identity{}, LinkConfig{Name: "slot", Carrier: carrier, Reliable: true, MaxDatagram: c.most}))
			mux := testkit.Must(channel.New(time.Now(), channel.Config{Channels: table, ReliableLink: true}))
			testkit.Must(mux.Send(time.Now(), 0, []byte(hello), Options{}))
			link.Receive(mux.Append(time.Now(), nil, channel.MaxPacket))
			settle()
			if n := slices.Max(carrier.n[:]); n > c.want || n < c.want-40 { // one more message would not fit
				t.Errorf("MaxDatagram %d: the largest datagram has %d bytes, want %d", c.most, n, c.want)
			}
		})
	}
}

// Links of the program count for MaxConns and, by the address that the program says, for MaxPerIP: one
// IPv4 address, or one /64 of IPv6. Links without an address have no limit of that kind.
func TestLinksOfTheProgramAreCounted(t *testing.T) {
	srv, _ := newTestServer(t, func(c *Config) { c.MaxConns, c.RTC = 7, rtcserver.Settings{MaxPerIP: 2} })
	refused := uint64(0)
	add := func(remote string, want int) *Link {
		t.Helper()
		lc := LinkConfig{Name: "slot", Carrier: new(slot), Kind: KindNative}
		if remote != "" {
			lc.Remote = netip.MustParseAddrPort(remote)
		}
		link, err := srv.AddLink(Identity{Name: "ada"}, lc)
		if status(err) != want {
			t.Errorf("%s: %v, want status %d", remote, err, want)
		}
		if err != nil {
			refused++
			return nil
		}
		if c := link.Conn(); c.RemoteAddr() != lc.Remote || c.Kind() != KindNative || c.Identity().Name != "ada" {
			t.Errorf("%s: the client is a %v at %v with the name %q", remote, c.Kind(), c.RemoteAddr(), c.Identity().Name)
		}
		return link
	}
	add("192.0.2.1:1", 0)
	add("[::ffff:192.0.2.1]:2", 0)
	add("192.0.2.1:3", 429)
	add("192.0.2.2:1", 0)
	add("[2001:db8::1]:1", 0)
	add("[2001:db8::ffff%eth0]:1", 0)
	add("[2001:db8::2]:1", 429)
	add("[2001:db8:0:1::1]:1", 0)
	add("", 0)
	add("", 503)
	if st := srv.Stats(); st.Refused != refused || st.Pending != 7 {
		t.Errorf("%d links are counted as refused and %d sessions as pending, want %d and 7", st.Refused, st.Pending, refused)
	}
}

// A server that is closed takes no link, and keeps nothing of the attempt.
func TestAClosedServerTakesNoLink(t *testing.T) {
	srv, _ := newTestServer(t)
	srv.Close()
	link, err := srv.AddLink(Identity{}, LinkConfig{Name: "slot", Carrier: new(slot)})
	if link != nil || err != session.ErrClosed || srv.directory.count() != 0 || srv.Stats().Links != (LinkStats{}) {
		t.Errorf("%v, %v, %d sessions, %+v", link, err, srv.directory.count(), srv.Stats().Links)
	}
}

// receiving returns a server, a link to it and a client at the link's other end that has opened its
// session.
func receiving(t *testing.T, reliable, manual bool) (srv *Server, link *Link, carrier *slot, mux *channel.Mux) {
	t.Helper()
	srv, _ = newTestServer(t, func(c *Config) { c.Manual, c.Handler = manual, Handler{Message: func(*Conn, ChannelID, []byte) {}} })
	carrier = new(slot)
	link = testkit.Must(srv.AddLink(Identity{}, LinkConfig{Name: "slot", Carrier: carrier, Reliable: reliable}))
	mux = testkit.Must(channel.New(time.Now(), channel.Config{Channels: table, ReliableLink: reliable}))
	testkit.Must(mux.Send(time.Now(), 0, []byte(hello), Options{}))
	if !link.Receive(mux.Append(time.Now(), nil, channel.MaxPacket)) {
		t.Error("the first datagram is dropped")
	}
	settle()
	if manual {
		events(srv, nil)
	}
	if srv.Len() != 1 {
		t.Errorf("%d sessions are open", srv.Len())
	}
	return srv, link, carrier, mux
}

// Between two turns the server keeps 64 datagrams of a link. Receive of a reliable link waits for the
// turn or for the end of the link; otherwise it drops and counts the datagram.
func TestReceiveOfALinkIsBounded(t *testing.T) {
	for _, reliable := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			srv, link, _, _ := receiving(t, reliable, true)
			taken := make(chan bool, 1000)
			receive := func(n int) {
				go func() {
					for range n {
						taken <- link.Receive([]byte("junk"))
					}
				}()
				settle()
			}
			want := func(when string, yes, no int) {
				t.Helper()
				settle()
				got := map[bool]int{}
				for range len(taken) {
					got[<-taken]++
				}
				if got[true] != yes || got[false] != no {
					t.Errorf("reliable %v, %s: %d datagrams are taken and %d are not, want %d and %d", reliable, when, got[true], got[false], yes, no)
				}
			}
			receive(70)
			if reliable {
				want("before the turn", 64, 0)
				events(srv, nil)
				want("after the turn", 6, 0)
			} else {
				want("before the turn", 64, 6)
			}
			if n := srv.Stats().Links.DroppedIn; reliable && n != 0 || !reliable && n != 6 {
				t.Errorf("reliable %v: %d datagrams are counted as dropped", reliable, n)
			}
			events(srv, nil)
			receive(70)
			link.Close()
			if reliable {
				want("after the end", 64, 6)
			} else {
				want("after the end", 64, 6)
			}
			receive(1)
			want("long after the end", 0, 1)
		})
	}
}

// What a reliable carrier has no room for waits for Room, and leaves then at once.
func TestRoomOfALink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, link, carrier, mux := receiving(t, true, false)
		c := link.Conn()
		carrier.k = len(carrier.b) // no room
		must(t, c.Send(chat, []byte("hello")))
		time.Sleep(time.Second + fullPause/2) // between two looks
		settle()
		carrier.k = 0
		settle()
		if carrier.k != 0 {
			t.Error("a datagram leaves before there is room")
		}
		link.Room()
		settle()
		got := ""
		for i := range carrier.k {
			mux.Receive(time.Now(), carrier.b[i][:carrier.n[i]])
		}
		for _, ev := range mux.Events(nil) {
			if ev.Type == channel.EventMessage && ev.Channel == chat {
				got += string(ev.Payload)
			}
		}
		if got != "hello" {
			t.Errorf("after Room %q arrives", got)
		}
		if carrier.k = len(carrier.b); carrier.refused != 1 {
			t.Errorf("the carrier was asked %d times while it had no room, want once", carrier.refused)
		}
		must(t, c.Send(chat, []byte("once more")))
		settle()
		link.Room() // which is not true
		must(t, c.Send(chat, []byte("and more")))
		settle()
		if carrier.refused != 3 {
			t.Errorf("the carrier was asked %d times while it had no room, want 3 times", carrier.refused)
		}
		carrier.k = 0
		link.Room()
		settle()
		left := carrier.k
		time.Sleep(stuckTimeout + time.Second)
		settle()
		if left == 0 || srv.Stats().Links.Open != 1 {
			t.Errorf("after Room %d datagrams have left, %+v", left, srv.Stats().Links)
		}
		link.Close()
		c.Kick("")
		settle()
		link.Room() // of an end that is gone
		settle()
		if st := srv.Stats(); st.Open != 0 || st.Links.Open != 0 {
			t.Errorf("%d sessions, %+v", st.Open, st.Links)
		}
	})
}

// The server's first datagram leaves when the link opens, and does not wait for the client's.
func TestTheServerSpeaksAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		carrier := new(slot)
		testkit.Must(srv.AddLink(Identity{}, LinkConfig{Name: "slot", Carrier: carrier}))
		if settle(); carrier.k == 0 {
			t.Error("nothing leaves")
		}
	})
}

// What the carrier of a link that is not reliable has no room for is lost, and counted.
func TestALinkWithoutRoomDrops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, link, carrier, _ := receiving(t, false, false)
		carrier.k = len(carrier.b)
		must(t, link.Conn().Send(chat, []byte("hello")))
		settle()
		if st := srv.Stats().Links; st.DroppedOut != 1 || carrier.refused != 1 {
			t.Errorf("%d datagrams are counted as dropped, and the carrier has refused %d", st.DroppedOut, carrier.refused)
		}
	})
}

// A link with room keeps the deadlines of its session. One without room looks at it every 50 ms, and one
// where the session is not, never.
func TestDeadlinesOfALink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, link, _, _ := receiving(t, true, true)
		l, e, now := srv.links, link.end, time.Now()
		l.loop.Lock()
		defer l.loop.Unlock()
		l.Advance(now, e)
		soon, late := now.Add(10*time.Millisecond), now.Add(fullPause+10*time.Millisecond)
		for _, c := range []struct {
			full         bool
			expiry, want time.Time
		}{{false, soon, soon}, {false, late, late}, {true, soon, now.Add(fullPause)}, {true, late, late}} {
			e.full = c.full
			link.Conn().session.SetExpires(c.expiry)
			if got := l.Deadline(e); !got.Equal(c.want) {
				t.Errorf("full %v: the deadline is in %v, want %v", c.full, got.Sub(now), c.want.Sub(now))
			}
		}
		other := l.newEnd(link.Conn())
		other.index, other.full, other.retry = 1, true, now
		if got := l.Deadline(other); !got.IsZero() {
			t.Errorf("where the session is not, the deadline is in %v", got.Sub(now))
		}
	})
}

// The end of a link interrupts its session at once. A server that closes ends it, and has told the
// program when Close returns.
func TestTheEndOfALinkIsToldAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		link := testkit.Must(srv.AddLink(Identity{}, LinkConfig{Name: "slot", Carrier: new(slot)}))
		mux := testkit.Must(channel.New(time.Now(), channel.Config{Channels: table}))
		testkit.Must(mux.Send(time.Now(), 0, []byte(hello), Options{}))
		link.Receive(mux.Append(time.Now(), nil, channel.MaxPacket))
		settle()
		d.Take()
		link.Close()
		settle()
		d.want(t, "interrupted")
		srv.Close()
		if lines := d.Take(); len(lines) != 1 || len(srv.links.ends) != 0 {
			t.Errorf("after Close: %q, %d ends of links", lines, len(srv.links.ends))
		}
	})
}

// A handler panics, and the program recovers. The messages that are left keep their bytes while other datagrams
// of the link arrive.
func TestRecoveredPanicKeepsTheBytesOfALink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var link *Link
		var last []byte
		got := ""
		srv, _ := newTestServer(t, manual, func(c *Config) {
			c.Handler.Message = func(_ *Conn, _ ChannelID, b []byte) {
				link.Receive(make([]byte, len(last))) // has room where that one was
				if got += string(b); string(b) == "a" {
					panic("at a")
				}
			}
		})
		link = testkit.Must(srv.AddLink(Identity{}, LinkConfig{Name: "slot", Carrier: new(slot)}))
		mux := testkit.Must(channel.New(time.Now(), channel.Config{Channels: table}))
		testkit.Must(mux.Send(time.Now(), 0, []byte(hello), Options{}))
		link.Receive(mux.Append(time.Now(), nil, channel.MaxPacket))
		events(srv, nil)
		for _, text := range []string{"a", "b", "c"} {
			testkit.Must(mux.Send(time.Now(), chat, []byte(text), Options{}))
		}
		last = mux.Append(time.Now(), nil, channel.MaxPacket)
		link.Receive(last)
		if !survive(func() { events(srv, nil) }) {
			t.Fatal("no handler has panicked")
		}
		if events(srv, nil); got != "abc" {
			t.Errorf("got %q, want each message once", got)
		}
	})
}
