package channel

import (
	"strings"
	"testing"
	"time"
)

// What messages wait for, in each state of the queues.
func TestWhatMessagesWaitFor(t *testing.T) {
	want := func(x *testMux, why string, w Wait) {
		x.t.Helper()
		if got := x.m.Stats().Waits; got != w {
			x.t.Errorf("%s: messages wait for %v, want %v", why, got, w)
		}
	}
	large := strings.Repeat("x", 3000)

	x := newTestMux(t, Config{})
	want(x, "no message", WaitsForNothing)
	x.send(chat, large, Options{})
	want(x, "one that may leave", WaitsForNetwork)
	x.m.Append(x.now, nil, MaxPacket)
	want(x, "the rest of one", WaitsForNetwork)
	x.m.Append(x.now, nil, MaxPacket)
	x.wait(20 * time.Millisecond)
	x.m.Append(x.now, nil, MaxPacket)
	want(x, "an acknowledgement", WaitsForPeer)
	x.ack(2, 2)
	want(x, "pieces to send again", WaitsForNetwork)
	x.m.loss.timeouts = 1
	want(x, "a probe has no answer yet", WaitsForNetwork)
	x.m.loss.timeouts = 2
	want(x, "nobody answers", WaitsForPeer)
	x.ack(0, 2)
	want(x, "all is acknowledged", WaitsForNothing)

	x.send(effects, "x", Options{})
	want(x, "one on another channel", WaitsForNetwork)
	for _, c := range []struct {
		rate float64
		want Wait
	}{{0.84, WaitsForNetwork}, {0.85, WaitsForCeiling}, {1, WaitsForCeiling}} {
		x.m.cc.rate = c.rate * x.m.cc.ceiling
		want(x, "the rate is a share of the ceiling", c.want)
	}

	x = newTestMux(t, Config{})
	id := x.open(Channel{Name: "opened", Mode: ReliableOrdered}, false)
	x.send(id, "x", Options{})
	want(x, "a channel that the peer has not opened", WaitsForPeer)
	x.send(effects, "x", Options{})
	want(x, "another one besides", WaitsForNetwork)
	x.wantPacket("the other one leaves", "bare 1 x")
	want(x, "the channel that the peer has not opened", WaitsForPeer)
	x.m.Known(id)
	want(x, "now it has", WaitsForNetwork)
	x.wantPacket("it leaves", "message 6/0 x")

	for w, name := range map[Wait]string{WaitsForNothing: "nothing", WaitsForCeiling: "ceiling", WaitsForNetwork: "network", WaitsForPeer: "peer", WaitsForPeer + 1: "unknown"} {
		if w.String() != name {
			t.Errorf("%d is called %v, want %s", w, w, name)
		}
	}
}

// A message beyond the window of a reliable channel waits for the peer. One that is
// within, or has begun, does not.
func TestWhatWaitsAtTheWindow(t *testing.T) {
	large := strings.Repeat("x", 3000)
	for _, begun := range []bool{false, true} {
		x := newTestMux(t, Config{Rate: 1 << 29, Ceiling: -1, Channels: Channels{{Name: "a", Mode: ReliableUnordered}}})
		for range sendWindow - 1 {
			x.send(1, "", Options{})
		}
		x.send(1, large, Options{})
		for x.m.senders[1].nextID < sendWindow-1 {
			x.m.Append(x.now, nil, MaxPacket)
			x.now = x.now.Add(time.Millisecond)
		}
		for x.m.senders[1].queue.head.sent == 0 {
			if w := x.m.Stats().Waits; w != WaitsForNetwork {
				t.Errorf("the last message of the window waits for %v, want WaitsForNetwork", w)
			}
			x.wantPacket("the last of the window begins", "fragment 1/4095 0 of 3000")
			x.now = x.now.Add(time.Millisecond)
		}
		if w := x.m.Stats().Waits; w != WaitsForNetwork {
			t.Errorf("its rest waits for %v, want WaitsForNetwork", w)
		}
		x.wantPacket("its rest leaves", "fragment 1/4095 1 of 3000")
		x.now = x.now.Add(time.Millisecond)
		x.wantPacket("its rest leaves", "fragment 1/4095 2 of 3000")
		if !begun {
			continue
		}
		x.now = x.now.Add(time.Millisecond)
		x.send(1, "beyond", Options{})
		if w := x.m.Stats().Waits; w != WaitsForPeer {
			t.Errorf("the next message waits for %v, want WaitsForPeer", w)
		}
		x.wantIdle("the next one waits")
		x.m.pacer.tokens = -1
		x.wantIdle("and it is not time")
		if at := x.m.Deadline(); !at.After(x.now.Add(5 * time.Millisecond)) {
			t.Errorf("the deadline is in %v, want more than 5 ms: nothing may be sent", at.Sub(x.now))
		}
	}
}

// A channel that the peer has not opened sends nothing. Other channels may send.
func TestOpenedChannelWaitsForThePeer(t *testing.T) {
	x := newTestMux(t, Config{Channels: Channels{{Name: "a", Priority: 5}}})
	before := x.m.Channels()
	id := x.open(Channel{Name: "b", Mode: ReliableOrdered, Priority: 1}, false)
	if id != 2 {
		t.Fatal(id)
	}
	if err := x.m.Open(3, Channel{Name: "b"}, false); err == nil {
		t.Error("a name is accepted twice")
	}
	if n := len(x.m.Channels()); n != 2 || len(before) != 1 || x.m.Channels().Name(2) != "b" {
		t.Errorf("%d channels, want 2; the second is %q, want b; the table before has %d, want 1", n, x.m.Channels().Name(2), len(before))
	}
	x.send(id, "b", Options{})
	x.send(1, "a", Options{})
	x.wantPacket("the other", "bare 1 a")
	x.receive(whole(id, 0, "theirs"))
	x.wantEvents("what the peer sends is taken", "2 theirs")
	x.m.Known(1)
	x.m.Known(id)
	x.wantPacket("now it may leave", "ack 0-0", "message 2/0 b")
	known := x.open(Channel{Name: "c"}, true)
	x.send(known, "c", Options{})
	x.wantPacket("the peer knows this one", "bare 3 c")
}
