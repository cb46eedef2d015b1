package godwit

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A slot is a Carrier that keeps the last datagrams, without allocating.
type slot struct {
	b [8][channel.MaxPacket]byte
	n [8]int
	k int
}

func (s *slot) Send(b []byte) bool {
	if s.k == len(s.b) {
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
