package godwit

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// Sessions count for the address that they began from, as long as they last.
func TestSessionsOfOneAddressAreCounted(t *testing.T) {
	s, _ := newTestServer(t)
	one, other := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	enter := func(site netip.Addr) (*Conn, error) { return s.newConn(Identity{}, KindNative, 1000, site) }
	var conns []*Conn
	for range 64 {
		c, err := enter(one)
		must(t, err)
		conns = append(conns, c)
	}
	_, err := enter(one)
	if status(err) != 429 {
		t.Errorf("the 65th session of an address: %v, want 429", err)
	}
	if _, err := enter(other); err != nil {
		t.Errorf("the first session of another address: %v, want nil", err)
	}
	s.forget(conns[7])
	if _, err := enter(one); err != nil {
		t.Errorf("a session after the end of another one: %v, want nil", err)
	}
	for range 100 { // of no address, as in process
		_, err := enter(netip.Addr{})
		must(t, err)
	}
	for _, c := range conns {
		s.forget(c)
	}
	if n := s.directory.bySite[one]; n != 1 {
		t.Errorf("%d sessions count for the address, want 1", n)
	}
}

// An interrupted session counts for its address until it is over: who makes sessions and leaves them gets no more
// of them than who stays.
func TestInterruptedSessionsCountForTheirAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		remote := netip.MustParseAddrPort("203.0.113.1:4321")
		enter := func(name string) (*Link, error) {
			return srv.AddLink(Identity{Name: name}, LinkConfig{Name: "slot", Carrier: new(slot), Remote: remote})
		}
		hear := func(l *Link, mux *channel.Mux) {
			l.Receive(mux.Append(time.Now(), nil, channel.MaxPacket))
			settle()
		}
		want := func(when string, away int) {
			t.Helper()
			_, err := enter("one more")
			d := &srv.directory
			d.mu.Lock()
			defer d.mu.Unlock()
			if n := d.bySite[remote.Addr()]; status(err) != 429 || n != 64 || d.away != away {
				t.Errorf("%s: one more session: %v, want 429; %d count for the address, want 64; %d are interrupted, want %d",
					when, err, n, d.away, away)
			}
		}
		var links []*Link
		var muxes []*channel.Mux
		for range 64 {
			l := testkit.Must(enter("ada"))
			mux := testkit.Must(channel.New(time.Now(), channel.Config{Channels: table}))
			testkit.Must(mux.Send(time.Now(), 0, []byte(hello), Options{}))
			hear(l, mux)
			links, muxes = append(links, l), append(muxes, mux)
		}
		want("all are open", 0)
		links[7].Close()
		settle()
		want("the link of one has ended", 1)
		time.Sleep(11 * time.Second) // more than Silence, less than Grace
		settle()
		want("nothing arrives from the others", 64)
		testkit.Must(muxes[9].Send(time.Now(), chat, []byte("here again"), Options{}))
		hear(links[9], muxes[9])
		want("one is there again", 63)
		links[7].Conn().Kick("") // interrupted
		settle()
		testkit.Must(enter("another")) // never opens
		want("one that was interrupted has ended, and another has come", 62)
		time.Sleep(time.Minute)
		settle()
		n, d := srv.directory.count(), &srv.directory
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.bySite) != 0 || d.away != 0 || n != 0 {
			t.Errorf("when all are over %v count for addresses, %d are interrupted and %d in the directory, want none", d.bySite, d.away, n)
		}
	})
}

// When more than half of all sessions are interrupted, those that have been so longest
// end early, but not before 5 s.
func TestManyInterruptedSessionsEndEarly(t *testing.T) {
	var d directory
	d.init(10, 0)
	now := time.Unix(0, 0)
	conns := make([]*Conn, 10)
	for i := range conns {
		conns[i] = &Conn{id: session.ID(i)}
		must(t, d.add(conns[i], 10, netip.Addr{}, 0))
	}
	step := func(i int, away bool, want *Conn) {
		t.Helper()
		now = now.Add(time.Second)
		if got := d.setAway(conns[i], away, now); got != want {
			t.Errorf("after %v: %v ends, want %v", now.Sub(time.Unix(0, 0)), name(got), name(want))
		}
	}
	step(3, true, nil)
	step(3, true, nil) // it is already
	for i := range 3 {
		step(i, true, nil)
	}
	step(4, true, nil)
	step(5, true, conns[3]) // the sixth of ten; the first has been away for 6 s
	d.remove(conns[3])
	step(6, true, conns[0])
	step(0, false, nil)
	step(7, true, conns[1])
	step(1, false, nil)
	if d.away != 5 {
		t.Errorf("%d are away, want 5", d.away)
	}
}

func name(c *Conn) string {
	if c == nil {
		return "nobody"
	}
	return fmt.Sprint("number ", uint64(c.id))
}

func status(err error) int {
	if e, ok := errors.AsType[*rtcserver.StatusError](err); ok {
		return e.Status
	}
	return 0
}
