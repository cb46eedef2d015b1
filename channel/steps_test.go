package channel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// newWaiting returns a Mux that has sent n messages, a packet each, and got no answer.
func newWaiting(t testing.TB, n int) *testMux {
	m, err := New(time.Unix(1000, 0), Config{
		Channels: Channels{{Name: "bulk", Mode: ReliableUnordered, QueueLimit: 16 << 20}}, KeepAlive: -1,
		Rate: math.MaxInt32, Floor: math.MaxInt32, Ceiling: -1, RTT: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	x := &testMux{m: m, now: time.Unix(1000, 0)}
	if tt, ok := t.(*testing.T); ok {
		x.t = tt
	}
	b := make([]byte, 700)
	for range n {
		if _, err := x.m.Send(x.now, 1, b, Options{}); err != nil {
			t.Fatal(err)
		}
		if b := x.m.Append(x.now, nil, MaxPacket); len(b) == 0 {
			t.Fatal("no packet is sent")
		}
		x.now = x.now.Add(time.Microsecond)
	}
	return x
}

// The cost of a packet does not grow with the number of unacknowledged packets: neither that of
// a packet that acknowledges nothing new, nor that of a retransmission.
func TestStepsAreFewHoweverMuchWaits(t *testing.T) {
	const n = 4000
	x := newWaiting(t, n)
	f, s := &x.m.flight, x.m.senders[1]
	x.ack(n/2, n-2) // half of it is lost
	x.m.Events(nil)
	if f.steps < n-2 {
		t.Errorf("%d steps for %d packets, want %d at least", f.steps, n, n-2)
	}
	before := f.steps
	for range 100 {
		x.ack(n/2, n-2)
	}
	if steps := f.steps - before; steps > 100*maxPacketThreshold {
		t.Errorf("%d steps for 100 acknowledgements of nothing new, want at most %d", steps, 100*maxPacketThreshold)
	}
	sent := 0
	for len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
		sent++
		x.now = x.now.Add(time.Microsecond)
	}
	if sent < n/2 || s.losses.steps > 10*sent {
		t.Errorf("%d steps to send %d packets again, want at most %d", s.losses.steps, sent, 10*sent)
	}
	x.m.check(t)
}

func TestSetsOfPacketsAgainstScan(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var f flight
	f.init()
	f.base = rng.Uint64() >> 1
	f.next = f.base
	scan := func(from, end uint64, in func(*sentPacket) bool) uint64 {
		for from < end && !in(f.at(from)) {
			from++
		}
		return from
	}
	open := func(p *sentPacket) bool { return p.state != packetAcked }
	flying := func(p *sentPacket) bool { return p.state == packetFlying && p.eliciting }
	for range 20000 {
		if n := f.next - f.base; n < 300 && rng.IntN(2) == 0 {
			p := f.room()
			p.eliciting, p.size = rng.IntN(3) > 0, 1
			f.push(p)
		} else if n > 0 {
			f.land(f.base+rng.Uint64N(n), packetState(1+rng.IntN(2)))
		}
		f.trim(0)
		from := f.base + rng.Uint64N(f.next-f.base+1)
		end := from + rng.Uint64N(f.next-from+1)
		if got, want := f.nextOpen(from, end), scan(from, end, open); got != want {
			t.Fatalf("open from %d to %d: %d, want %d", from-f.base, end-f.base, got-f.base, want-f.base)
		}
		if got, want := f.nextFlying(from, end), scan(from, end, flying); got != want {
			t.Fatalf("flying from %d to %d: %d, want %d", from-f.base, end-f.base, got-f.base, want-f.base)
		}
	}
}

// A packet is remembered until it is acknowledged, and a lost one for as long as an
// acknowledgement may come late.
func TestHowLongPacketsAreRemembered(t *testing.T) {
	for _, c := range []struct {
		name      string
		eliciting bool
		state     packetState
		old       moment
		forgotten bool
	}{
		{"acknowledged", true, packetAcked, 0, true},
		{"under way", true, packetFlying, 100, false},
		{"just lost", true, packetLost, 5, false},
		{"lost before", true, packetLost, 6, true},
		{"it wants no acknowledgement", false, packetFlying, 5, false},
		{"it wanted no acknowledgement", false, packetFlying, 6, true},
	} {
		var f flight
		f.init()
		p := f.room()
		p.at, p.eliciting, p.size = 5, c.eliciting, 10
		f.push(p)
		if c.state != packetFlying {
			f.land(0, c.state)
		}
		if f.trim(c.old); (f.base == 1) != c.forgotten {
			t.Errorf("%s: the packet is forgotten: %v, want %v", c.name, f.base == 1, c.forgotten)
		}
	}
}

// BenchmarkWaiting is a packet when many wait for an acknowledgement: one that
// acknowledges nothing new, and one that is sent again.
func BenchmarkWaiting(b *testing.B) {
	for _, n := range []int{50, 4000} {
		b.Run(fmt.Sprintf("nothing new/%d", n), func(b *testing.B) {
			x := newWaiting(b, n)
			x.ack(1, uint64(n)-1)
			for b.Loop() {
				b.StopTimer()
				p := x.ackPacket(1, uint64(n)-1)
				x.number++
				b.StartTimer()
				x.m.Receive(x.now, p)
			}
		})
		b.Run(fmt.Sprintf("lost/%d", n), func(b *testing.B) {
			left, buf := 0, make([]byte, 0, MaxPacket)
			var x *testMux
			for b.Loop() {
				if left == 0 {
					b.StopTimer()
					x = newWaiting(b, n)
					x.ack(uint64(n)-1, uint64(n)-1)
					left = n - 4
					b.StartTimer()
				}
				left--
				x.m.Append(x.now, buf, MaxPacket)
			}
		})
	}
}
