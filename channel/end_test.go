package channel

import (
	"strings"
	"testing"
	"time"
)

// The first Close counts. Its frame is the only thing that is sent, and only an
// acknowledgement of its packet ends it early.
func TestFirstCloseCounts(t *testing.T) {
	x := newTestMux(t, Config{KeepAlive: time.Second})
	if x.m.Closed() {
		t.Error("Closed() = true at first")
	}
	x.wait(time.Second)
	x.receive(bare(effects, "x"), []byte{controlPing})
	x.m.Events(nil)
	x.m.Close(x.now, 7, "bye")
	if x.m.Closed() {
		t.Error("Closed() = true before the close frame is sent")
	}
	x.wantPacket("nothing is given up", "ack 0-0", "close 7 bye")
	if d := x.m.Deadline().Sub(x.now); d != 20*ms {
		t.Errorf("the close frame is repeated in %v, want 20 ms", d)
	}
	x.m.Close(x.now, 8, "again")
	x.wait(19 * ms)
	x.receive([]byte{controlPing})
	x.wantIdle("the acknowledgement is not due yet")
	x.wait(ms)
	x.wantPacket("the second time", "ack 0-1", "close 7 bye")
	x.receive([]byte{controlPing})
	x.wait(maxAckDelay)
	x.wantPacket("an acknowledgement alone", "ack 0-2")
	x.ack(2, 2)
	if x.m.Closed() {
		t.Error("Closed() = true though no close frame has arrived")
	}
	x.wait(time.Minute)
	if s := x.m.Stats(); s.Timeouts != 0 {
		t.Errorf("%d timeouts after the close, want 0", s.Timeouts)
	}
	x.wantPacket("again", "close 7 bye")
	x.ack(3, 3)
	if !x.m.Closed() {
		t.Error("Closed() = false though the close frame has arrived")
	}
}

// A peer that has closed gets the close and nothing else: a ping that was due is not sent.
func TestNothingFollowsThePeersClose(t *testing.T) {
	x := newTestMux(t, Config{KeepAlive: time.Second})
	x.wait(time.Second)
	x.send(chat, "never sent", Options{})
	x.receive(appendClose(nil, 1, ""))
	if x.m.Deadline() != x.now {
		t.Errorf("the ack is due in %v, want now", x.m.Deadline().Sub(x.now))
	}
	x.wantPacket("the acknowledgement", "ack 0-0")
	if s := x.m.Stats(); s.InFlight != 0 || s.AcksOut != 1 {
		t.Errorf("%+v, want nothing in flight and 1 ack", s)
	}
	x.m.Close(x.now, 2, "")
	x.wantIdle("our close comes too late")
	if !x.m.Closed() {
		t.Error("Closed() = false after the ack")
	}
}

// A close frame is sent on a new link at once.
func TestCloseOnAnotherLink(t *testing.T) {
	x := newTestMux(t, Config{})
	x.m.Close(x.now, 7, "")
	x.wantPacket("first", "close 7 ")
	x.wait(5 * ms)
	x.m.Relink(x.now, false, 0)
	x.wantPacket("on the new link", "close 7 ")
	x.wait(39 * ms)
	x.wantIdle("then as before")
	x.wait(ms)
	x.wantPacket("after twice the time", "close 7 ")
}

// Packets that left before the close are not in flight any more, and their acknowledgement does not end it.
func TestPacketsBeforeTheClose(t *testing.T) {
	x := newTestMux(t, Config{Rate: 1 << 30, Ceiling: -1})
	for range minFlight + 1 {
		x.send(loot, "x", Options{})
		x.m.Append(x.now, nil, MaxPacket)
	}
	x.m.Close(x.now, 7, "")
	closing := x.m.flight.next
	n := len(x.m.Append(x.now, nil, MaxPacket))
	if s := x.m.Stats(); n == 0 || s.InFlight != n {
		t.Errorf("%d bytes are in flight, want those of the close frame's packet, %d", s.InFlight, n)
	}
	x.ack(closing-minFlight, closing-minFlight)
	if x.m.Closed() {
		t.Error("Closed() = true after an acknowledgement of a packet before the close")
	}
	x.ack(closing, closing)
	if s := x.m.Stats(); !x.m.Closed() || s.InFlight != 0 {
		t.Errorf("the close frame has arrived: Closed() = %v, want true; %d bytes in flight, want 0", x.m.Closed(), s.InFlight)
	}
}

// On a reliable link a close frame is sent once, and once more if it is not acknowledged for 1.26 s.
func TestCloseOnAReliableLink(t *testing.T) {
	for _, answered := range []bool{true, false} {
		x := newTestMux(t, Config{ReliableLink: true})
		x.m.Close(x.now, 7, "bye")
		x.wantPacket("at once", "close 7 bye")
		x.wait(1260*ms - 1)
		x.wantIdle("the link does not lose it")
		if x.m.Closed() {
			t.Error("Closed() = true before an acknowledgement and before the second close frame")
		}
		if answered {
			x.ack(0, 0)
			x.wait(time.Second)
			x.wantIdle("the peer has it")
		} else {
			x.wait(1)
			x.wantPacket("once more", "close 7 bye")
		}
		if d := x.m.Deadline(); !x.m.Closed() || !d.IsZero() {
			t.Errorf("answered %v: Closed() = %v, want true; the deadline is %v, want none", answered, x.m.Closed(), d)
		}
	}
}

// A text is cut to 256 bytes between characters, and left away if it is not UTF-8.
func TestTextOfAClose(t *testing.T) {
	for text, want := range map[string]string{
		"": "", strings.Repeat("x", 256): strings.Repeat("x", 256), strings.Repeat("x", 257): strings.Repeat("x", 256),
		strings.Repeat("é", 200): strings.Repeat("é", 128), "x" + strings.Repeat("é", 200): "x" + strings.Repeat("é", 127), "\xff": "",
	} {
		if got := cut(text); got != want {
			t.Errorf("cut(%q) = %q, want %q", text, got, want)
		}
	}
}

// The end gives up the bytes of reliable messages that are not acknowledged, but not those
// of the control channel.
func TestWhatTheEndGivesUp(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(Control, "not counted", Options{})
	x.send(effects, "not counted", Options{Receipt: true})
	x.send(positions, "not counted", Options{})
	x.send(loot, "12345", Options{})
	x.wantPacket("sent", "message 0/0 not counted", "message 2/0 not counted", "bare 1 not counted", "message 3/0 12345")
	x.send(chat, "123", Options{Receipt: true})
	if n := x.m.GivenUp(); n != 8 {
		t.Errorf("GivenUp() = %d, want 8", n)
	}
	x.ack(0, 0)
	x.wantEvents("that has arrived", "receipt 2 delivered")
	if n := x.m.GivenUp(); n != 3 {
		t.Errorf("GivenUp() = %d, want 3", n)
	}
	x.receive(appendGivenUp(nil, 99), appendClose(nil, 5, "bye"))
	evs := x.m.Events(nil)
	if len(evs) != 2 || evs[0].Fate != FateAbandoned || evs[1].Type != EventClosed || evs[1].GivenUp != 99 || evs[1].Code != 5 {
		t.Errorf("%+v, want a fate and then a close with 99 bytes given up, code 5", evs)
	}
	if n := x.m.GivenUp(); n != 3 {
		t.Errorf("GivenUp() = %d, want 3", n)
	}
}

// What the caller's memory was for is not kept: neither the payloads of events, nor
// messages that packets carried, nor those that were lost, nor pieces that were given up.
func TestMemoryIsLetGo(t *testing.T) {
	x := newTestMux(t, Config{Rate: 1 << 30, Ceiling: -1})
	for range keptEvents / 2 {
		x.receive(bare(effects, "a datagram's"))
	}
	x.m.Events(nil)
	if n := cap(x.m.events); n < keptEvents/2 || n > keptEvents {
		t.Errorf("memory for %d events is kept, want %d to %d", n, keptEvents/2, keptEvents)
	}
	for _, ev := range x.m.events[:cap(x.m.events)] {
		if ev.Payload != nil {
			t.Fatal("the payload of an event is kept")
		}
	}

	refs := func(why string) {
		t.Helper()
		for _, p := range x.m.flight.ring {
			for _, r := range p.refs[:cap(p.refs)] {
				if r.m != nil {
					t.Fatalf("%s: a packet keeps a message", why)
				}
			}
		}
	}
	send := func(n int) {
		for range n {
			x.send(loot, "x", Options{})
			x.m.Append(x.now, nil, MaxPacket)
			x.now = x.now.Add(time.Microsecond)
		}
	}
	send(1)
	x.now = x.now.Add(20 * ms)
	send(1)
	x.now = x.now.Add(50 * ms)
	x.ack(1, 1)
	if p := x.m.flight.at(1); p.refs[:1][0].m != nil || x.m.flight.base != 0 {
		t.Error("an acknowledged packet keeps its message")
	}
	x.now = x.now.Add(10 * time.Second)
	x.m.Advance(x.now)
	send(1)
	x.now = x.now.Add(10 * time.Second)
	x.ack(2, 2)
	if x.m.flight.base != 3 || x.m.flight.at(0).refs[:1][0].m != nil {
		t.Error("a packet that was lost long ago keeps its message")
	}
	x.m.Relink(x.now, false, 0)
	x.m.Append(x.now, nil, MaxPacket)
	x.ack(0, x.m.flight.next-1)
	refs("acknowledged")
	x.m.Relink(x.now, false, 0)
	send(keptLosses + 1)
	x.m.Relink(x.now, false, 0)
	refs("another link")
	l := &x.m.senders[loot].losses
	if len(l.heap) != keptLosses+1 {
		t.Errorf("%d messages wait to be sent again, want %d", len(l.heap), keptLosses+1)
	}
	x.m.Append(x.now, nil, MaxPacket)
	if len(l.heap) != 0 || l.heap != nil {
		t.Errorf("memory for %d lost messages is kept, want none", cap(l.heap))
	}
	x.ack(0, 0)
	refs("acknowledged on another link")
	send(keptLosses / 2)
	x.m.Relink(x.now, false, 0)
	x.m.Append(x.now, nil, MaxPacket)
	if n := cap(l.heap); n < keptLosses/2 || n > keptLosses || len(l.heap) != 0 {
		t.Errorf("memory for %d lost messages is kept, want %d to %d", n, keptLosses/2, keptLosses)
	}
	for _, e := range l.heap[:cap(l.heap)] {
		if e.msg != nil {
			t.Fatal("a message that was lost before is kept")
		}
	}

	x = newTestMux(t, Config{})
	x.receive(part(effects, 0, 9000, 0), part(effects, 0, 9000, 1))
	x.wait(partialAge)
	p := x.m.pool.partials
	if p == nil || p.body != nil || p.have != nil || len(p.apart) != 0 || cap(p.apart) == 0 {
		t.Fatalf("the memory of a message that was given up is %+v, want it empty", p)
	}
	for _, a := range p.apart[:cap(p.apart)] {
		if a.b != nil {
			t.Error("a piece of a message that was given up is kept")
		}
	}
	if n := len(x.m.pool.free[class(1024)]); n != 2 {
		t.Errorf("%d buffers are free, want those of two pieces", n)
	}

	x.receive(part(effects, 1, 1500, 0), part(effects, 1, 1500, 1))
	evs := x.m.Events(nil)
	x.m.Close(x.now, 0, "")
	x.m.Release(evs)
	if p := &x.m.pool; p.held != 0 || p.messages != nil || p.partials != nil || len(p.free[class(1500)]) != 0 {
		t.Errorf("a closed Mux keeps %d bytes of its pool, want 0", p.held)
	}
}

// The pool keeps at most 256 KiB of counted buffers, and no buffer whose size is not a power of
// two.
func TestPoolKeepsSoMuch(t *testing.T) {
	var p pool
	p.put(make([]byte, 100))
	if p.held != 0 || cap(p.get(100)) != 128 {
		t.Errorf("a buffer of 100 bytes is kept: %d bytes in the pool, want 0", p.held)
	}
	p.put(make([]byte, 0, 128))
	if b := p.get(100); len(b) != 100 || p.held != 0 {
		t.Errorf("get(100) has %d bytes, and the pool %d; want 100 and 0", len(b), p.held)
	}
	each := 1<<10 + bufferCost
	p.held = maxPooled - each
	p.put(make([]byte, 0, 1<<10))
	if p.held != maxPooled || len(p.free[10]) != 1 {
		t.Errorf("the pool has %d bytes, want %d", p.held, maxPooled)
	}
	p.put(make([]byte, 0, 16))
	p.putMessage(new(message))
	p.recycle(new(partial))
	if p.held != maxPooled || p.messages != nil || p.partials != nil {
		t.Errorf("the pool has %d bytes, want %d, and no messages", p.held, maxPooled)
	}
	p = pool{}
	p.putMessage(&message{pieces: make([]piece, 3)})
	p.recycle(&partial{apart: make([]apart, 5)})
	if want := recordCost + 3*pieceCost + partialCost + 5*apartCost; p.held != want {
		t.Errorf("%d bytes are held, want %d", p.held, want)
	}
	m, r := p.message(), p.partial()
	if p.held != 0 || cap(m.pieces) != 3 || len(m.pieces) != 0 || m.gen != 1 || cap(r.apart) != 5 {
		t.Errorf("the pool has %d bytes, want 0; a message is not ready for reuse", p.held)
	}
}

// Relink starts with the round trip of its argument, counts links, and takes the reliability of
// its argument.
func TestRelinkTakesTheLinksKind(t *testing.T) {
	x := newTestMux(t, Config{RTT: 30 * ms})
	want := func(why string, rtt time.Duration, links uint64) {
		t.Helper()
		if s := x.m.Stats(); s.RTT != rtt || s.Links != links || s.InFlight != 0 {
			t.Errorf("%s: %v, %d links, %d bytes under way; want %v, %d", why, s.RTT, s.Links, s.InFlight, rtt, links)
		}
	}
	want("at first", 30*ms, 0)
	x.send(loot, "x", Options{})
	n := len(x.m.Append(x.now, nil, MaxPacket))
	if s := x.m.Stats(); s.InFlight != n || n == 0 {
		t.Errorf("%d bytes are in flight, want %d", s.InFlight, n)
	}
	x.m.Relink(x.now, true, 70*ms)
	want("a reliable one", 70*ms, 1)
	x.wantPacket("again", "message 3/0 x")
	if d := x.m.Deadline(); !d.IsZero() {
		t.Errorf("a timeout in %v on a reliable link, want none", d.Sub(x.now))
	}
	x.m.Relink(x.now, false, 0)
	want("the same round trip", 70*ms, 2)
	x.wantPacket("again", "message 3/0 x")
	if d := x.m.Deadline().Sub(x.now); d != 70*ms+140*ms+maxAckDelay {
		t.Errorf("a timeout in %v, want %v", d, 70*ms+140*ms+maxAckDelay)
	}
	if s := x.m.ChannelStats(loot); s.Retransmits != 2 || x.m.Stats().Retransmits != 2 {
		t.Errorf("%d pieces of the channel are sent again, and %d in all; want 2", s.Retransmits, x.m.Stats().Retransmits)
	}
}
