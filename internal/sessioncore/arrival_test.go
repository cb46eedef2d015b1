package sessioncore

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// The first packet on a link says when the client has come there: before the session is open it has
// HELLO, later HERE with the number of the client's moves. By it the server knows which links the
// client has left.
func TestTheFirstPacketOfALinkSaysWhenTheClientCame(t *testing.T) {
	w := newWorld(t)
	first := func() Arrival {
		w.link()
		return ArrivalOf(w.client.Append(w.now, nil, channel.MaxPacket)) // the packet is lost
	}
	w.client.Request(w.now, "early", nil) // behind HELLO
	if a := first(); a != (Arrival{Hello: true}) {
		t.Errorf("on the first link: %+v", a)
	}
	w.run(2 * time.Second)
	for n := range uint32(3) {
		if a := first(); a != (Arrival{Here: n + 1}) {
			t.Errorf("after move %d: %+v", n+1, a)
		}
		w.run(2 * time.Second)
	}
	for here, left := range []bool{false, true, true, false, false} {
		if got := w.server.Left(Arrival{Here: uint32(here)}); got != left {
			t.Errorf("the client has left the link to which it came with move %d: %v, want %v", here, got, left)
		}
	}
	w.send(w.client, chat, "hello")
	for _, b := range [][]byte{w.client.Append(w.now, nil, channel.MaxPacket), nil, []byte("junk")} {
		if a := ArrivalOf(b); a != (Arrival{}) {
			t.Errorf("%.20q: %+v", b, a)
		}
	}
}

// A program sees the states in their order.
func TestStatesAsAProgramSeesThem(t *testing.T) {
	w := newWorld(t)
	want := func(when string, state session.State) {
		t.Helper()
		for _, s := range []*side{w.client, w.server} {
			if got := s.Public(); got != state {
				t.Errorf("%s, the %s is %v, want %v", when, s.name, got, state)
			}
		}
	}
	want("without a link", session.StateOpening)
	w.link()
	want("on its first link", session.StateOpening)
	w.run(time.Second)
	want("after HELLO and WELCOME", session.StateOpen)
	w.cut()
	want("without a link", session.StateInterrupted)
	w.link()
	w.run(time.Second)
	want("on a new link", session.StateOpen)
	for _, s := range []*side{w.client, w.server} {
		w.send(s, chat, "not delivered yet")
		s.Close(w.now, session.CloseNormal, "", false)
	}
	want("while the last messages are delivered", session.StateClosing)
	w.run(10 * time.Second)
	want("at the end", session.StateClosed)
}
