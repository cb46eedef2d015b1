package channel

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSmallMessagesShareAPacket(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(effects, "bang", Options{})
	x.send(positions, "here", Options{})
	x.send(chat, "hello", Options{})
	x.send(Control, "request", Options{})
	x.wantPacket("all channels share a packet, in the order of their priority",
		"message 0/0 request", "message 2/0 here", "bare 1 bang", "message 4/0 hello")
	x.wantIdle("nothing is left to say")
	x.ack(0, 0)
	x.wantIdle("an acknowledgement is not answered")
	x.wait(time.Minute)
	x.wantIdle("and nothing else is due")
}

func TestAckRidesWithReply(t *testing.T) {
	x := newTestMux(t, Config{})
	x.receive(whole(chat, 0, "ping"))
	x.wantEvents("it came", "4 ping")
	x.wantIdle("the acknowledgement waits for a packet with content")
	x.send(chat, "pong", Options{})
	x.wantPacket("one packet answers both", "ack 0-0", "message 4/0 pong")
	x.wait(maxAckDelay)
	x.wantIdle("it was said")
}

// A late packet is acknowledged although the peer already has the acknowledgement of all packets
// before it.
func TestLatePacketIsTold(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte // beside the acknowledgement that overtakes ours
		want  string
	}{
		{"the next packet", []byte{controlPing}, "ack 3-5"},
		{"the next packet is refused", whole(63, 0, "no such channel"), "ack 3-4"},
	} {
		x := newTestMux(t, Config{})
		for _, x.number = range []uint64{0, 1, 2, 4} {
			x.receive([]byte{controlPing})
		}
		x.wantPacket(c.name+": one is missing", "ack 4-4 0-2")
		x.number = 3
		x.receive([]byte{controlPing})
		x.number = 5
		x.m.Receive(x.now, append(x.ackPacket(0, 0), c.frame...))
		x.wantPacket(c.name+": it came", c.want)
	}
	x := newTestMux(t, Config{})
	for _, x.number = range []uint64{0, 1, 2, 4} {
		x.receive([]byte{controlPing})
	}
	x.wantPacket("one is missing", "ack 4-4 0-2")
	x.number = 5
	x.ack(0, 0)
	x.number = 3
	x.receive([]byte{controlPing})
	x.wantPacket("it came after our acknowledgement was heard", "ack 3-5")
}

func TestRetransmission(t *testing.T) {
	table := append(Channels(nil), testTable...)
	table[chat-1].Copies = -1
	x := newTestMux(t, Config{Channels: table})
	for i := range 5 {
		x.send(chat, fmt.Sprint(i), Options{})
		x.wantPacket("each in its packet", fmt.Sprintf("message 4/%d %d", i, i))
		x.wait(20 * time.Millisecond)
	}
	x.ack(1, 3)
	x.wantPacket("three newer ones came, so packet 0 is lost", "message 4/0 0")
	x.ack(1, 5)
	x.wantIdle("all of it came")
	x.wait(10 * time.Second)
	x.wantIdle("nothing is sent again")
	if s := x.m.Stats(); s.Retransmits != 1 || s.PacketsLost != 1 || s.Queued != 0 || s.InFlight != 0 {
		t.Errorf("%+v, want 1 retransmission, 1 lost packet, nothing queued or in flight", s)
	}
}

func TestTimeThreshold(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(chat, "a", Options{})
	x.wantPacket("first", "message 4/0 a")
	x.wait(4 * time.Millisecond)
	x.send(chat, "b", Options{})
	x.wantPacket("second", "message 4/1 b")
	x.wait(80 * time.Millisecond)
	x.ack(1, 1)
	x.wantIdle("one newer packet does not prove a loss, and it is not old")
	x.wait(6*time.Millisecond - 1)
	x.wantIdle("not yet an eighth older than the round trip of 80 ms")
	x.wait(1)
	x.wantPacket("now it is", "message 4/0 a")
}

func TestTimeout(t *testing.T) {
	x := newTestMux(t, Config{RTT: 40 * time.Millisecond})
	for _, s := range []string{"oldest", "middle", "newest"} {
		x.send(chat, s, Options{})
		x.m.Append(x.now, nil, MaxPacket)
		x.wait(10 * time.Millisecond)
	}
	x.wait(130*time.Millisecond - time.Nanosecond)
	x.wantIdle("a timeout is the round trip, four variances and the delay of an ack: 40 + 80 + 20 ms")
	x.wait(time.Nanosecond)
	x.wantPacket("oldest and newest go again", "message 4/0 oldest", "message 4/2 newest")
	x.wantIdle("and nothing else")
	x.wait(210*time.Millisecond - 1)
	x.wantIdle("the next timeout is 1.5 times as long")
	x.wait(1)
	x.wantPacket("the oldest packet is another one now", "message 4/0 oldest", "message 4/1 middle", "message 4/2 newest")
	for range 20 {
		before := x.now
		x.wait(x.m.Deadline().Sub(x.now))
		if d := x.now.Sub(before); d > maxPTO {
			t.Fatalf("the timeout came after %v, want at most %v", d, maxPTO)
		}
		x.m.Append(x.now, nil, MaxPacket)
	}
}

func TestTimeoutOfUnreliable(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(effects, "bang", Options{})
	x.wantPacket("once", "bare 1 bang")
	x.wait(400 * time.Millisecond)
	x.wantPacket("a ping finds out whether it arrived", "ping")
	x.ack(1, 1)
	x.wait(time.Second)
	x.wantIdle("it is not sent again")
}

func TestLateAcknowledgementFinishesALostPacket(t *testing.T) {
	x := newTestMux(t, Config{})
	for i := range 4 {
		x.send(loot, fmt.Sprint(i), Options{Receipt: i == 0})
		x.m.Append(x.now, nil, MaxPacket)
	}
	x.wait(50 * time.Millisecond)
	x.ack(1, 3)
	x.ack(0, 3)
	x.wantEvents("it had arrived after all", "receipt 1 delivered")
	x.wantIdle("so it is not sent again")
	if s := x.m.Stats(); s.Spurious != 1 || x.m.loss.threshold != 4 {
		t.Errorf("%d spurious losses, want 1; the threshold is %d, want 4", s.Spurious, x.m.loss.threshold)
	}
}

func TestReceipts(t *testing.T) {
	table := Channels{{Name: "tiny", Mode: Unreliable, MaxMessage: 2000, QueueLimit: 2100}, {Name: "input", Mode: Sequenced}, {Name: "chat", Mode: ReliableOrdered}}
	x := newTestMux(t, Config{Channels: table})
	yes := Options{Receipt: true}
	x.send(1, "delivered", yes)
	x.m.Append(x.now, nil, MaxPacket)
	x.send(1, "lost", yes)
	x.m.Append(x.now, nil, MaxPacket)
	x.wait(20 * time.Millisecond)
	x.ack(0, 0)
	x.wantEvents("the first arrived", "receipt 1 delivered")
	for range 3 {
		x.send(3, "later", Options{})
		x.wait(20 * time.Millisecond)
		x.m.Append(x.now, nil, MaxPacket)
	}
	x.wait(20 * time.Millisecond)
	x.ack(2, 4, 0, 0)
	x.wantEvents("the second did not", "receipt 2 lost")
	x.send(1, strings.Repeat("a", 1500), yes)
	x.send(1, strings.Repeat("b", 1500), yes)
	x.wantEvents("the queue has room for one", "receipt 6 dropped")
	x.send(2, "old", yes)
	x.send(2, "new", yes)
	x.wantEvents("a newer one takes its place", "receipt 8 replaced")
	x.send(3, "too late", Options{Receipt: true, Deadline: x.now.Add(time.Millisecond)})
	x.wait(time.Millisecond)
	x.wantPacket("what is too late is not sent", "fragment 1/2 0 of 1500", "message 2/0 new")
	x.wantEvents("and told", "receipt 10 expired")
	x.m.Close(x.now, 0, "")
	x.wantEvents("what is left is given up", "receipt 7 abandoned", "receipt 9 abandoned")
}

func TestSequencedReplacesTheQueued(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(positions, "a1", Options{Key: 1})
	x.send(positions, "b1", Options{Key: 2})
	x.send(positions, "x1", Options{})
	x.send(positions, "a2", Options{Key: 1})
	x.send(positions, "x2", Options{})
	x.wantPacket("the newest of each key, in the place of the oldest",
		"message 2/0 a2", "message 2/1 b1", "message 2/2 x2")
	x.send(positions, "a3", Options{Key: 1})
	x.wantPacket("what was sent is not replaced", "message 2/3 a3")
	if s := x.m.ChannelStats(positions); s.Replaced != 2 || s.Queued != 0 {
		t.Errorf("%+v, want 2 replaced, nothing queued", s)
	}
}

func TestPartlySentMessageIsFinished(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(positions, strings.Repeat("a", 1500), Options{})
	x.wantPacket("half of it", "fragment 2/0 0 of 1500")
	x.send(positions, "newer", Options{})
	x.wantPacket("the other half, then the newer one", "fragment 2/0 1 of 1500", "message 2/1 newer")
}

func TestErrorsOfSend(t *testing.T) {
	table := Channels{
		{Name: "up", Mode: Unreliable, Direction: ToServer},
		{Name: "down", Mode: Unreliable, Direction: ToClient},
		{Name: "chat", Mode: ReliableOrdered, MaxMessage: 100, QueueLimit: 200},
	}
	x := newTestMux(t, Config{Channels: table})
	try := func(ch ID, n int, o Options, want error) {
		t.Helper()
		if _, err := x.m.Send(x.now, ch, make([]byte, n), o); !errors.Is(err, want) {
			t.Errorf("channel %d, %d bytes: %v, want %v", ch, n, err, want)
		}
	}
	try(1, 10, Options{}, nil)
	try(2, 10, Options{}, ErrDirection)
	try(4, 10, Options{}, ErrUnknown)
	try(3, 101, Options{}, ErrTooLarge)
	try(3, 10, Options{Deadline: x.now}, ErrExpired)
	if n := x.m.Free(3); n != 100 {
		t.Errorf("Free(3) = %d, want 100", n)
	}
	try(3, 100, Options{Key: 5}, nil)
	try(3, 36, Options{}, nil)
	if n := x.m.Free(3); n != -1 {
		t.Errorf("Free(3) = %d, want -1", n)
	}
	try(3, 0, Options{}, ErrBudget)
	try(3, 100, Options{Key: 5}, nil) // takes the place of the first
	x.wantPacket("all of that", "bare 1 "+strings.Repeat("\x00", 10), "message 3/0 100 bytes", "message 3/1 "+strings.Repeat("\x00", 36))
	x.ack(0, 0)
	try(3, 100, Options{}, nil)
	x.m.Close(x.now, 1, "")
	try(3, 1, Options{}, ErrClosed)
	if s := x.m.ChannelStats(3); s.OverBudget != 1 || s.Replaced != 1 {
		t.Errorf("%+v, want 1 over budget, 1 replaced", s)
	}
	if _, err := New(x.now, Config{Channels: Channels{{Name: "a b"}}}); err == nil {
		t.Error("New accepts a table with the name \"a b\"")
	}
}

func TestUnreliableQueueDropsTheOldest(t *testing.T) {
	table := Channels{{Name: "voice", Mode: Unreliable, MaxMessage: 100, QueueLimit: 300}}
	x := newTestMux(t, Config{Channels: table})
	for i := range 5 {
		x.send(1, fmt.Sprint(i, strings.Repeat(".", 90)), Options{})
	}
	x.wantPacket("the newest two fit", "bare 1 91 bytes", "bare 1 91 bytes")
	for i, left := range []bool{false, false, false, true, true} {
		if strings.Contains(string(x.sent), fmt.Sprint(i, "...")) != left {
			t.Errorf("of messages 0 to 4 only the newest, 3 and 4, must be sent; sent %q", x.sent)
		}
	}
	if s := x.m.ChannelStats(1); s.Overflowed != 3 {
		t.Errorf("%d messages are dropped, want 3", s.Overflowed)
	}
}

func TestClose(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(chat, "never sent", Options{})
	x.m.Close(x.now, 7, "bye"+strings.Repeat("é", 200))
	want := []string{"control 32", "close 7 bye" + strings.Repeat("é", 126)}
	x.wantPacket("at once, behind what is given up, the text cut between characters", want...)
	x.wantIdle("once")
	x.wait(20 * time.Millisecond)
	x.wantPacket("again after 20 ms", want...)
	x.wait(40 * time.Millisecond)
	x.wantPacket("and 40", want...)
	if n := x.m.GivenUp(); n != uint64(len("never sent")) {
		t.Errorf("GivenUp() = %d, want %d", n, len("never sent"))
	}
	if x.m.Closed() {
		t.Error("Closed() = true before the peer acknowledges the close")
	}
	x.ack(1, 1)
	if !x.m.Closed() {
		t.Error("Closed() = false though the peer has acknowledged the close")
	}
	if d := x.m.Deadline(); !d.IsZero() {
		t.Errorf("the deadline is %v though nothing is left to do", d)
	}
	x.wait(time.Minute)
	x.wantIdle("the peer knows")
}

func TestCloseIsNotSentForEver(t *testing.T) {
	x := newTestMux(t, Config{})
	x.m.Close(x.now, 0, "")
	n := 0
	for range 100 {
		if len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
			n++
		}
		x.wait(50 * time.Millisecond)
	}
	if n != closeRepeats || !x.m.Closed() || !x.m.Deadline().IsZero() {
		t.Errorf("the close is sent %d times, want %d; closed %v, want true; deadline %v, want none", n, closeRepeats, x.m.Closed(), x.m.Deadline())
	}
	x.m.Relink(x.now, false, 0)
	x.wantIdle("nor on another link")
	if d := x.m.Deadline(); !d.IsZero() {
		t.Errorf("the deadline is %v on another link, want none", d)
	}
}

func TestPeerCloses(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(chat, "never acknowledged", Options{Receipt: true})
	x.m.Append(x.now, nil, MaxPacket)
	x.receive(appendClose(nil, 9, "shutting down"))
	x.wantEvents("told, with what is given up", "receipt 1 abandoned", "closed 9 shutting down")
	x.wantPacket("acknowledged at once", "ack 0-0")
	x.receive(appendClose(nil, 9, "shutting down"), whole(chat, 0, "late"))
	x.wantEvents("nothing comes after it")
	x.wantPacket("but acknowledgements go on", "ack 0-1")
	x.ack(0, 0)
	x.wantIdle("an acknowledgement asks for none")
	if d := x.m.Deadline(); !d.IsZero() {
		t.Errorf("the deadline is %v though nothing is left to do", d)
	}
	x.wait(time.Minute)
	x.wantIdle("that is all")
}

func TestRelink(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(effects, "bang", Options{Receipt: true})
	x.send(chat, "zero", Options{Receipt: true})
	x.wantPacket("over the old link", "bare 1 bang", "message 4/0 zero")
	x.send(loot, "sword", Options{})
	x.wantPacket("over the old link", "message 3/0 sword")
	x.receive(whole(chat, 0, "theirs"), whole(chat, 2, "waits"))
	x.wantEvents("the first came", "4 theirs")
	x.wait(10 * time.Millisecond)
	x.ack(1, 1)

	x.m.Relink(x.now, false, 0)
	x.number = 0
	x.wantEvents("what was unreliable and under way is lost", "receipt 1 lost")
	x.send(chat, "one", Options{})
	x.wantPacket("what was not acknowledged goes again, before what is new", "message 4/0 zero", "message 4/1 one")
	if number := uint64(x.sent[1])<<8 | uint64(x.sent[2]); number != 0 {
		t.Errorf("the first packet on the new link has number %d, want 0", number)
	}
	x.receive(whole(chat, 0, "theirs"), whole(chat, 2, "waits"))
	x.wantEvents("what had come is not delivered again")
	x.receive(whole(chat, 1, "missing"))
	x.wantEvents("and what waited goes on", "4 missing", "4 waits")
	x.ack(0, 0)
	x.wantEvents("its receipt came through", "receipt 2 delivered")
}

func TestKeepAlive(t *testing.T) {
	x := newTestMux(t, Config{KeepAlive: time.Second})
	x.wait(time.Second - 1)
	x.wantIdle("not yet")
	x.wait(1)
	x.wantPacket("silence is asked about", "ping")
	x.wait(50 * time.Millisecond)
	x.ack(0, 0)
	x.wait(500 * time.Millisecond)
	x.receive(bare(effects, "hello"))
	x.wait(20 * time.Millisecond)
	x.wantPacket("heard", "ack 0-1")
	x.wait(900 * time.Millisecond)
	x.wantIdle("a second counts from what was heard last")
	x.wait(80 * time.Millisecond)
	x.wantPacket("then it is due", "ping")
}

func TestReliableLinkSendsNothingTwice(t *testing.T) {
	x := newTestMux(t, Config{ReliableLink: true})
	for i := range 6 {
		x.send(chat, fmt.Sprint(i), Options{})
		x.m.Append(x.now, nil, MaxPacket)
		x.wait(20 * time.Millisecond)
	}
	x.ack(4, 5)
	x.wait(time.Minute)
	x.wantIdle("neither loss nor timeout")
	x.ack(0, 5)
	if !x.m.Idle() {
		t.Error("Idle() = false though all is acknowledged")
	}
}

func TestClockGoesBack(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(chat, "a", Options{})
	x.m.Append(x.now, nil, MaxPacket)
	x.now = x.now.Add(-time.Hour)
	x.m.Advance(x.now)
	x.ack(0, 0)
	if s := x.m.Stats(); s.RTT < 0 || s.MinRTT < 0 {
		t.Errorf("%+v, want no negative round trip", s)
	}
}

func TestSmallLimitSaysNothing(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(chat, "a", Options{})
	if b := x.m.Append(x.now, nil, MinLimit-1); b != nil {
		t.Error("a packet for a limit below MinLimit")
	}
	b := x.m.Append(x.now, []byte("before"), 1<<20)
	if string(b[:6]) != "before" || len(b) > 6+MaxPacket {
		t.Errorf("%d bytes, want at most %d with the caller's first", len(b), 6+MaxPacket)
	}
}
