package channel

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// A packet that acknowledges an unsent number is dropped and has no effect.
func TestAckOfWhatWasNeverSent(t *testing.T) {
	for _, c := range []struct {
		name   string
		sent   int
		ranges []uint64
		ok     bool
	}{
		{"nothing was sent", 0, []uint64{0, 0}, false},
		{"the one that was sent", 1, []uint64{0, 0}, true},
		{"one after it", 1, []uint64{0, 1}, false},
		{"all that was sent", 4, []uint64{0, 3}, true},
		{"in ranges", 4, []uint64{3, 3, 0, 1}, true},
		{"one before the first", 4, []uint64{0, 3}, false},
		{"a range one before the first", 4, []uint64{3, 3, 0, 1}, false},
		{"far ahead", 4, []uint64{60_000, 60_000}, false},
	} {
		x := newTestMux(t, Config{})
		for i := range c.sent {
			x.send(loot, fmt.Sprint(i), Options{})
			x.m.Append(x.now, nil, MaxPacket)
		}
		a := ackBlock{largest: uint16(c.ranges[1]), first: c.ranges[1] - c.ranges[0]}
		if len(c.ranges) > 2 {
			a.rest[0], a.ranges = ackRange{c.ranges[0] - c.ranges[3] - 2, c.ranges[3] - c.ranges[2]}, 1
		}
		if strings.Contains(c.name, "before") {
			if a.ranges > 0 {
				a.rest[0].length++
			} else {
				a.first++
			}
		}
		b, flags := a.append(appendHeader(nil, 0), MaxPacket)
		b[0] |= flags
		x.m.Receive(x.now, append(b, bare(effects, "beside it")...))
		if c.ok {
			x.wantEvents(c.name, "1 beside it")
			x.wantDrops(c.name, nil)
		} else {
			x.wantEvents(c.name)
			x.wantDrops(c.name, map[DropReason]uint64{DropAck: 1})
		}
		if s := x.m.Stats(); (s.Queued == 0) != (c.ok || c.sent == 0) && c.name != "in ranges" || (s.PacketsIn == 1) != c.ok {
			t.Errorf("%s: %d bytes are still queued, %d packets are accepted; want the ack accepted: %v", c.name, s.Queued, s.PacketsIn, c.ok)
		}
		x.m.check(t)
	}
}

// The largest acknowledged packet measures a round trip, if it needed an acknowledgement and is
// newer than the one that was measured before.
func TestWhichPacketsMeasureTheRoundTrip(t *testing.T) {
	x := newTestMux(t, Config{RTT: 100 * ms})
	want := func(why string, samples uint64, latest time.Duration) {
		t.Helper()
		if x.m.rtt.samples != samples || x.m.Stats().LatestRTT != latest {
			t.Errorf("%s: %d samples, the last of %v; want %d, %v", why, x.m.rtt.samples, x.m.Stats().LatestRTT, samples, latest)
		}
	}
	send := func() {
		x.send(loot, "x", Options{})
		x.m.Append(x.now, nil, MaxPacket)
	}
	want("a guess", 0, 100*ms)
	send() // 0
	x.receive([]byte{controlPing})
	x.wait(maxAckDelay)
	x.wantPacket("packet 1 wants no acknowledgement", "ack 0-0")
	x.wait(30 * ms)
	x.ack(0, 1)
	want("the largest wanted none", 0, 100*ms)
	send() // 2
	send() // 3, at the same time
	x.wait(ms)
	send() // 4
	x.wait(49 * ms)
	x.ack(3, 3)
	want("the first sample", 1, 50*ms)
	x.wait(10 * ms)
	x.ack(2, 3)
	want("an older one of the same time", 1, 50*ms)
	x.wait(ms)
	x.ack(4, 4)
	want("a newer one", 2, 60*ms)
	x.ack(4, 4)
	want("nothing new", 2, 60*ms)
}

// The peer's delay is subtracted, up to 40 ms, unless the round trip would be shorter than the
// shortest.
func TestDelayIsTakenOffTheRoundTrip(t *testing.T) {
	var r rtt
	r.init(100 * ms)
	for i, c := range []struct{ trip, delay, latest, minimum time.Duration }{
		{50 * ms, 10 * ms, 50 * ms, 50 * ms}, // the first as it is
		{70 * ms, 10 * ms, 60 * ms, 50 * ms},
		{60 * ms, 10 * ms, 50 * ms, 50 * ms},
		{60 * ms, 10*ms + 1, 60 * ms, 50 * ms},
		{40 * ms, 10 * ms, 40 * ms, 40 * ms},
	} {
		r.sample(c.trip, c.delay)
		if r.latest != c.latest || r.minimum != c.minimum {
			t.Errorf("sample %d: latest %v, shortest %v; want %v, %v", i, r.latest, r.minimum, c.latest, c.minimum)
		}
	}
	x := newTestMux(t, Config{})
	for i, trip := range []time.Duration{50 * ms, 150 * ms} {
		x.send(loot, "x", Options{})
		x.m.Append(x.now, nil, MaxPacket)
		x.now = x.now.Add(trip)
		a := ackBlock{largest: uint16(i), delay: 1000} // 256 ms
		b, flags := a.append(appendHeader(nil, x.number), MaxPacket)
		b[0] |= flags
		x.m.Receive(x.now, b)
		x.number++
	}
	if d := x.m.Stats().LatestRTT; d != 110*ms {
		t.Errorf("the round trip is %v, want 110 ms", d)
	}
}

// A timeout grows by half each time, to a quarter of a second, or a quarter more than
// a round trip that is long.
func TestTimeoutsGrow(t *testing.T) {
	for _, c := range []struct {
		smoothed time.Duration
		want     []time.Duration
	}{
		{20 * ms, []time.Duration{80 * ms, 120 * ms, 180 * ms, 250 * ms, 250 * ms}},
		{200 * ms, []time.Duration{250 * ms, 250 * ms}},
		{400 * ms, []time.Duration{500 * ms, 500 * ms}},
	} {
		r := rtt{smoothed: c.smoothed, variance: max(10*ms, c.smoothed/2)}
		for n, want := range c.want {
			if got := r.pto(n); got != want {
				t.Errorf("round trip %v: timeout %d is %v, want %v", c.smoothed, n, got, want)
			}
		}
		if got, want := r.pto(1000), c.want[len(c.want)-1]; got != want {
			t.Errorf("round trip %v: timeout 1000 is %v, want %v", c.smoothed, got, want)
		}
	}
	quiet := rtt{smoothed: 20 * ms, variance: ms / 2}
	if got := quiet.pto(0); got != 45*ms {
		t.Errorf("of a quiet link: %v, want the round trip, 5 ms and 20 ms", got)
	}
	// On a link that loses more than one in a hundred, two timeouts do not stretch it.
	x := newTestMux(t, Config{})
	for share, want := range map[float64][]int{0.01: {0, 1, 2, 3}, 0.011: {0, 0, 0, 1}} {
		for n, want := range want {
			x.m.loss.share, x.m.loss.timeouts = share, n
			if got := x.m.backoff(); got != want {
				t.Errorf("%d timeouts with %v lost: stretched %d times, want %d", n, share, got, want)
			}
		}
	}
}

// At a timeout as many packets leave as make an answer likely, and one if no answer has arrived
// for a long time.
func TestPacketsOfATimeout(t *testing.T) {
	for _, c := range []struct {
		out, in  float64
		timeouts int
		want     int
	}{
		{0, 0, 0, 2}, {0, 0, 1, 3}, {0, 0, 5, 7}, {0, 0, 6, 1}, {0, 0, 100, 1},
		{0.1, 0, 0, 2}, {0.15, 0, 0, 3}, {0, 0.2, 0, 3}, {0.3, 0.3, 0, 5}, {0.3, 0.1, 2, 7}, {0.5, 0, 0, 10}, {0.5, 0, 3, 10}, {1, 0, 0, 10},
	} {
		x := newTestMux(t, Config{})
		x.m.loss.share, x.m.received.loss, x.m.loss.timeouts = c.out, c.in, c.timeouts
		if got := x.m.probes(); got != c.want {
			t.Errorf("%v lost, %v of theirs, %d timeouts before: %d packets, want %d", c.out, c.in, c.timeouts, got, c.want)
		}
	}
}

// A timeout's packets pass a window that is full, one for each probe; a second timeout
// in a row has a ping, too, because the packets before it were not small. A probe that has
// nothing to carry is not saved up.
func TestTimeoutPassesTheWindow(t *testing.T) {
	x := newTestMux(t, Config{RTT: 40 * ms, Rate: 1 << 20, Ceiling: -1})
	refill := x.fill(loot)
	flush := func() (n int) {
		for len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
			n++
		}
		return n
	}
	for range 135 {
		refill()
		flush()
		x.wait(ms)
	}
	if x.m.flight.bytes < x.m.cc.window(&x.m.rtt, 0) {
		t.Fatal("the window is not full")
	}
	x.now = x.m.Deadline()
	x.m.Advance(x.now)
	if n := flush(); n != 2 {
		t.Errorf("%d packets at the first timeout, want 2", n)
	}
	x.now = x.m.Deadline()
	x.m.Advance(x.now)
	if n := flush(); n != 4 { // 3, and a ping, which shows whether the size of the others is the reason
		t.Errorf("%d packets at the second timeout, want 4", n)
	}
	if s := x.m.Stats(); s.Timeouts != 2 {
		t.Errorf("%d timeouts, want 2", s.Timeouts)
	}

	x = newTestMux(t, Config{RTT: 40 * ms})
	x.send(loot, "x", Options{})
	flush()
	x.now = x.m.Deadline()
	x.m.Advance(x.now)
	if n := flush(); n != 1 {
		t.Errorf("%d packets, want 1 for all pieces", n)
	}
	x.m.pacer.tokens = 0
	x.send(chat, "y", Options{})
	if n := flush(); n != 0 {
		t.Errorf("%d packets are sent before their time", n)
	}
}

// The wait for an answer begins at the last timeout, even if nothing could leave then. After an
// answer it has its first length again.
func TestTimeoutsCountFromTheLast(t *testing.T) {
	x := newTestMux(t, Config{RTT: 40 * ms})
	x.send(loot, "x", Options{})
	x.m.Append(x.now, nil, MaxPacket)
	for i, want := range []time.Duration{140 * ms, 210 * ms, 250 * ms, 250 * ms} {
		if d := x.m.Deadline().Sub(x.now); d != want {
			t.Errorf("timeout %d is in %v, want %v", i, d, want)
		}
		x.now = x.m.Deadline()
		x.m.Advance(x.now)
	}
	x.m.Append(x.now, nil, MaxPacket)
	x.wait(40 * ms)
	x.ack(1, 1)
	x.send(loot, "y", Options{})
	x.m.Append(x.now, nil, MaxPacket)
	if d, want := x.m.Deadline().Sub(x.now), 40*ms+80*ms+maxAckDelay; d != want {
		t.Errorf("after an answer the timeout is in %v, want %v", d, want)
	}
}

// An unreliable message whose fate is asked for is not lost because of a timeout.
func TestTimeoutDecidesNoFate(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(effects, "bang", Options{Receipt: true})
	x.m.Append(x.now, nil, MaxPacket)
	x.now = x.m.Deadline()
	x.m.Advance(x.now)
	x.wantEvents("it may still have arrived")
	x.wantPacket("a ping asks", "ping")
	x.ack(0, 0)
	x.wantEvents("it has", "receipt 1 delivered")
}

// A timeout does not send the oldest packet again if its piece has arrived in another packet.
func TestTimeoutOfAPacketWhosePieceHasArrived(t *testing.T) {
	x := newTestMux(t, Config{RTT: 40 * ms, Rate: 1 << 20, Ceiling: -1})
	x.send(loot, strings.Repeat("x", 2000), Options{})
	x.m.Append(x.now, nil, MaxPacket)
	x.now = x.now.Add(ms)
	x.m.Append(x.now, nil, MaxPacket)
	x.now = x.m.Deadline()
	x.m.Advance(x.now)
	x.wantPacket("the first piece again", "fragment 3/0 0 of 2000")
	x.wantPacket("the second piece again", "fragment 3/0 1 of 2000")
	x.ack(0, 0) // late
	x.m.rtt.init(40 * ms)
	for _, s := range []string{"a", "b"} {
		x.now = x.now.Add(10 * ms)
		x.send(loot, s, Options{})
		x.m.Append(x.now, nil, MaxPacket)
	}
	x.now = x.m.Deadline()
	x.m.Advance(x.now)
	x.wantPacket("the second piece again, and the newest", "fragment 3/0 1 of 2000", "message 3/2 b")
}

// References of packets to a message that has arrived another way mean nothing to the
// message that has its memory now.
func TestPacketsOfAMessageThatIsGone(t *testing.T) {
	for i, end := range []func(x *testMux){
		func(x *testMux) { x.ack(2, 2) },
		func(x *testMux) { x.m.Relink(x.now, false, 0) },
		func(x *testMux) { x.now = x.m.Deadline(); x.m.Advance(x.now) },
		func(x *testMux) {
			x.m.loss.share = 0 // no copies
			for range 3 {
				x.send(effects, "x", Options{})
				x.m.Append(x.now, nil, MaxPacket)
			}
			x.ack(7, 8)
		},
	} {
		x := newTestMux(t, Config{RTT: 40 * ms})
		x.send(loot, strings.Repeat("x", 3000), Options{})
		for range 3 {
			x.m.Append(x.now, nil, MaxPacket)
			x.now = x.now.Add(20 * ms)
		}
		x.now = x.m.Deadline()
		x.m.Advance(x.now)
		x.wantPacket("the oldest again", "fragment 3/0 0 of 3000")
		x.wantPacket("the newest again", "fragment 3/0 2 of 3000")
		x.ack(3, 4, 0, 1)
		if !x.m.Idle() {
			t.Fatal("Idle() = false though all messages are acknowledged")
		}
		x.wait(20 * ms)
		x.send(loot, "in its memory", Options{Receipt: true})
		x.wantPacket("another", "message 3/1 in its memory")
		end(x)
		x.wantEvents(fmt.Sprint("end ", i, ": nothing is known of it"))
		if x.m.Idle() {
			t.Error("Idle() = true though the other message is not acknowledged")
		}
		x.m.check(t)
	}
}

// The share of lost packets changes by a 64th with each packet, and back when a packet that
// counted as lost has arrived.
func TestLossOfWhatGoesOut(t *testing.T) {
	x := newTestMux(t, Config{})
	for range 5 {
		x.send(effects, "x", Options{})
		x.m.Append(x.now, nil, MaxPacket)
		x.now = x.now.Add(20 * ms)
	}
	want := func(why string, want float64, lost, spurious uint64) {
		t.Helper()
		if s := x.m.Stats(); s.LossOut != want || s.PacketsLost != lost || s.Spurious != spurious {
			t.Errorf("%s: %v, %d lost, %d of those arrived; want %v, %d, %d", why, s.LossOut, s.PacketsLost, s.Spurious, want, lost, spurious)
		}
	}
	next := func(share, lost float64) float64 { return share + (lost-share)/64 }
	share := 0.0
	x.ack(1, 3)
	share = next(share, 1)
	want("one of four", share, 1, 0)
	x.ack(0, 3)
	share = next(share, 0)
	want("it had arrived", share, 1, 1)
	x.ack(0, 3)
	want("nothing new", share, 1, 1)
	x.ack(4, 4)
	want("the last", next(share, 0), 1, 1)
}

// A packet that is forgotten because there are too many is lost, if nothing is known
// of it and it wanted an acknowledgement.
func TestForgottenPacketsAreLostOnce(t *testing.T) {
	x := newTestMux(t, Config{Rate: 1 << 30, Ceiling: -1, RTT: time.Minute})
	x.receive([]byte{controlPing})
	x.wait(maxAckDelay)
	x.wantPacket("wants no acknowledgement", "ack 0-0")
	send := func() {
		x.send(loot, "", Options{})
		x.m.Append(x.now, nil, MaxPacket)
		x.now = x.now.Add(time.Microsecond)
	}
	for x.m.flight.next < maxFlight {
		x.m.ping = true
		x.m.Append(x.now, nil, MaxPacket)
		x.now = x.now.Add(time.Microsecond)
	}
	lost := func(why string, want uint64) {
		t.Helper()
		if n := x.m.Stats().PacketsLost; n != want {
			t.Errorf("%s: %d packets are lost, want %d", why, n, want)
		}
	}
	send()
	lost("the first one is forgotten", 0)
	send()
	lost("the second one too", 1)
	x.ack(x.m.flight.next-1, x.m.flight.next-1)
	n := x.m.Stats().PacketsLost
	if n < maxFlight-10 {
		t.Errorf("%d packets are lost, want %d at least", n, maxFlight-10)
	}
	send()
	lost("one that was lost before is forgotten", n)
	if f := &x.m.flight; f.next-f.base > maxFlight {
		t.Errorf("%d packets are stored, want at most %d", f.next-f.base, maxFlight)
	}
}

// On a reliable link an old packet is remembered until it is acknowledged.
func TestOldPacketOfAReliableLink(t *testing.T) {
	x := newTestMux(t, Config{ReliableLink: true})
	for range 2 {
		x.send(loot, "x", Options{Receipt: true})
		x.m.Append(x.now, nil, MaxPacket)
		x.now = x.now.Add(time.Minute)
	}
	if d := x.m.Deadline(); !d.IsZero() {
		t.Errorf("the deadline is in %v, want none", d.Sub(x.now))
	}
	x.ack(1, 1)
	x.wantEvents("the second", "receipt 2 delivered")
	x.ack(0, 0)
	x.wantEvents("the first", "receipt 1 delivered")
	if s := x.m.Stats(); s.InFlight != 0 || s.PacketsLost != 0 {
		t.Errorf("%+v, want nothing in flight or lost", s)
	}
}
