package channel

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// open opens a channel under the next number.
func (x *testMux) open(c Channel, known bool) ID {
	x.t.Helper()
	id := ID(len(x.m.Channels()) + 1)
	if err := x.m.Open(id, c, known); err != nil {
		x.t.Fatal(err)
	}
	return id
}

// end ends a channel at this end, as if both ends agreed.
func (x *testMux) end(id ID) {
	x.t.Helper()
	x.m.StopSending(id)
	if !x.m.Settled(id) {
		x.t.Fatalf("Settled(%d) = false, want true", id)
	}
	x.m.StopReceiving(id)
	x.m.Remove(id)
	x.m.check(x.t)
}

// In each mode a frame that was sent before its channel ended reaches neither that channel
// nor the next one with its number, however late it arrives. A frame that was sent later
// does.
func TestLateFramesDoNotReachTheNextChannel(t *testing.T) {
	for _, mode := range []Mode{Unreliable, Sequenced, ReliableUnordered, ReliableOrdered} {
		frame := func(s string) []byte {
			if mode == Unreliable {
				return bare(6, s)
			}
			return whole(6, 0, s)
		}
		x := newTestMux(t, Config{})
		x.open(Channel{Name: "first", Mode: mode}, true)
		late := x.number
		x.number += 3
		x.receive(frame("in time")) // packet 3
		x.wantEvents(mode.String(), "6 in time")
		after := x.number
		x.end(6)
		x.number = late
		x.receive(frame("late"), part(6, 7, 2000, 0), whole(chat, 0, "of a channel that is there"))
		x.wantEvents("no channel has the number", "4 of a channel that is there")
		x.open(Channel{Name: "second", Mode: mode}, true)
		x.number = late + 1
		x.receive(frame("late"), part(6, 7, 2000, 0))
		x.wantEvents("the next channel has the number")
		x.wantDrops("frames of the first channel", map[DropReason]uint64{DropStale: 4})
		x.number = after
		x.receive(frame("of the second"))
		x.wantEvents("a frame of the second channel", "6 of the second")
		if s := x.m.Stats(); s.Held != 0 || s.PacketsIn != 4 {
			t.Errorf("%v: %d bytes are held, want 0; %d packets are accepted, want 4", mode, s.Held, s.PacketsIn)
		}
	}
}

// The numbers of packets begin again on a new link, where no packet is from before the end
// of a channel.
func TestLateFramesAreOfTheirLink(t *testing.T) {
	x := newTestMux(t, Config{})
	x.open(Channel{Name: "first"}, true)
	x.number = 100
	x.receive(bare(6, "a"))
	x.end(6)
	x.open(Channel{Name: "second"}, true)
	x.m.Relink(x.now, false, 0)
	x.number = 0
	x.receive(bare(6, "b"))
	x.wantEvents("the first packet of the new link", "6 a", "6 b")
	x.wantDrops("nothing", nil)
}

// A frame on a number that no channel has is refused if the peer has sent it after the end
// of the channel.
func TestFramesOnAFreeNumberAreRefused(t *testing.T) {
	x := newTestMux(t, Config{})
	x.open(Channel{Name: "first"}, true)
	x.receive(bare(6, "a"))
	x.m.StopReceiving(6)
	x.receive(bare(6, "b"))
	x.wantDrops("the peer said that it sends nothing more", map[DropReason]uint64{DropUnknown: 1, DropRefused: 1})
	x.m.StopSending(6)
	x.m.Remove(6)
	x.receive(bare(6, "c"))
	x.wantDrops("the number is free", map[DropReason]uint64{DropUnknown: 2, DropRefused: 2})
	x.open(Channel{Name: "third"}, true)
	y := newTestMux(t, Config{})
	if err := y.m.Open(9, Channel{Name: "ninth"}, true); err != nil {
		t.Fatal(err)
	}
	y.receive(bare(7, "a"))
	y.receive(bare(9, "b"))
	y.wantEvents("a gap in the table", "9 b")
	y.wantDrops("a gap in the table", map[DropReason]uint64{DropUnknown: 1, DropRefused: 1})
}

// A channel that ends sends its queue and accepts no more messages. It is settled when each
// message has its fate.
func TestAChannelThatEndsDelivers(t *testing.T) {
	for _, c := range []struct {
		mode Mode
		fate string
	}{{Unreliable, "delivered"}, {Sequenced, "delivered"}, {ReliableUnordered, "delivered"}, {ReliableOrdered, "delivered"}} {
		x := newTestMux(t, Config{})
		id := x.open(Channel{Name: "ends", Mode: c.mode}, false)
		x.send(id, strings.Repeat("x", 900), Options{Receipt: true, Key: 1})
		x.send(id, "last", Options{Receipt: true, Key: 2})
		x.m.StopSending(id)
		if _, err := x.m.Send(x.now, id, []byte("more"), Options{}); err != ErrUnknown || x.m.Free(id) != -1 {
			t.Errorf("%v: Send: %v, want ErrUnknown; Free = %d, want -1", c.mode, err, x.m.Free(id))
		}
		if x.m.Settled(id) {
			t.Errorf("%v: Settled = true though the peer does not know the channel", c.mode)
		}
		x.m.Known(id)
		for len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
		}
		if x.m.Settled(id) {
			t.Errorf("%v: Settled = true though messages are in flight", c.mode)
		}
		x.ack(0, 0)
		x.wantEvents(c.mode.String(), "receipt 1 "+c.fate, "receipt 2 "+c.fate)
		before := x.m.ChannelStats(id)
		x.end(id)
		if s := x.m.RemovedStats(); before.MessagesOut != 2 || s.MessagesOut != 2 || s.BytesOut != 904 {
			t.Errorf("%v: the counters of the channel were %+v, after its removal %+v", c.mode, before, s)
		}
		if s := x.m.ChannelStats(id); s != (ChannelStats{}) {
			t.Errorf("%v: a removed channel has the counters %+v, want zero", c.mode, s)
		}
		if name := x.m.Channels().Name(id); name != "" {
			t.Errorf("%v: a removed channel has the name %q", c.mode, name)
		}
	}
}

// A channel whose peer does not know it yet is not settled, though it has no messages.
func TestAChannelThatThePeerDoesNotKnowIsNotSettled(t *testing.T) {
	x := newTestMux(t, Config{})
	id := x.open(Channel{Name: "new"}, false)
	if x.m.Settled(id) {
		t.Error("Settled = true before the acknowledgement")
	}
	x.m.Known(id)
	if !x.m.Settled(id) {
		t.Error("Settled = false after the acknowledgement")
	}
}

// The memory of a peer's incomplete messages on a channel is freed when the channel ends.
func TestIncompleteMessagesEndWithTheirChannel(t *testing.T) {
	for _, mode := range []Mode{Unreliable, Sequenced, ReliableUnordered, ReliableOrdered} {
		x := newTestMux(t, Config{})
		id := x.open(Channel{Name: "ends", Mode: mode}, true)
		x.receive(part(id, 1, 5000, 0), part(id, 2, 15<<10, 1))
		if s := x.m.Stats(); s.Held == 0 {
			t.Fatalf("%v: nothing is held, want a part of a message", mode)
		}
		x.m.StopReceiving(id)
		x.m.check(t)
		if s := x.m.Stats(); s.Held != 0 {
			t.Errorf("%v: %d bytes are held, want 0", mode, s.Held)
		}
		x.end(id)
		if s := x.m.Stats(); s.Held != 0 {
			t.Errorf("%v: %d bytes are held, want 0", mode, s.Held)
		}
		x.wait(4 * time.Second)
		x.wantDrops(mode.String(), nil)
	}
}

// The table of a Mux without a first table is empty again.
func TestAllChannelsEnd(t *testing.T) {
	x := newTestMux(t, Config{Channels: Channels{}})
	for range 3 {
		id := x.open(Channel{Name: "only"}, true)
		x.end(id)
		if cs := x.m.Channels(); id != 1 || len(cs) != 0 {
			t.Errorf("channel %d, want 1; the table is %v, want it empty", id, cs)
		}
	}
}

// Every counter of a channel is kept when the channel is removed.
func TestCountersOfRemovedChannelsAreKept(t *testing.T) {
	var sum, one ChannelStats
	v := reflect.ValueOf(&one).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Uint64 {
			f.SetUint(uint64(i + 1))
		}
	}
	sum.add(&one)
	sum.add(&one)
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Uint64 && reflect.ValueOf(sum).Field(i).Uint() != 2*f.Uint() {
			t.Errorf("the counter %s is not added", v.Type().Field(i).Name)
		}
	}
}

// Open returns an error that says what is wrong, and changes nothing then.
func TestOpenRefuses(t *testing.T) {
	x := newTestMux(t, Config{})
	ok := Channel{Name: "new"}
	for _, c := range []struct {
		id                    ID
		c                     Channel
		field, about, problem string
	}{
		{6, Channel{Name: "a b"}, "Name", "a b", "use 1 to 64 bytes of UTF-8 without spaces or control characters"},
		{6, Channel{}, "Name", "#6", "use 1 to 64 bytes of UTF-8 without spaces or control characters"},
		{6, Channel{Name: "chat"}, "Name", "chat", "the name is taken; names must differ"},
		{6, Channel{Name: "control"}, "Name", "control", "the name is taken; names must differ"},
		{6, Channel{Name: "new", Priority: 8}, "Priority", "new", "use 0, sent first, to 7"},
		{0, ok, "table", "new", "a table has at most 63 channels"},
		{64, ok, "table", "new", "a table has at most 63 channels"},
		{4, ok, "number", "new", "the number is taken"},
		{5, ok, "number", "new", "the number is taken"},
	} {
		err := x.m.Open(c.id, c.c, false)
		if te, is := err.(*TableError); !is || *te != (TableError{Channel: c.about, Field: c.field, Problem: c.problem}) {
			t.Errorf("channel %d, %+v: %v, want a TableError of field %s, channel %q: %s", c.id, c.c, err, c.field, c.about, c.problem)
		}
		if len(x.m.Channels()) != len(testTable) {
			t.Fatalf("the table has %d channels, want %d as before", len(x.m.Channels()), len(testTable))
		}
	}
	if err := x.m.Open(63, ok, true); err != nil || len(x.m.Channels()) != 63 {
		t.Errorf("opening the last channel number: %v; %d channels, want 63", err, len(x.m.Channels()))
	}
	if _, found := x.m.Channels().ID(""); found {
		t.Error("ID finds a removed channel by its empty name")
	}
}

// wantRoom compares the channels of EventRoom with a list.
func (x *testMux) wantRoom(why string, want ...ID) {
	x.t.Helper()
	var got []ID
	for _, ev := range x.m.Events(nil) {
		if ev.Type == EventRoom {
			got = append(got, ev.Channel)
		}
	}
	if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
		x.t.Errorf("%s: room on %d, want %d", why, got, want)
	}
}

// A channel that has refused messages has one event of room, as soon as the last refused message
// fits, to the byte.
func TestRoomAfterErrBudget(t *testing.T) {
	const size, message = 100 + messageCost, 300
	x := newTestMux(t, Config{Channels: Channels{{Name: "a", Mode: ReliableUnordered, MaxMessage: message, QueueLimit: 5 * size}}})
	fill := func() {
		t.Helper()
		for range 5 {
			x.send(1, strings.Repeat("x", 100), Options{})
		}
	}
	refused := func(n int) {
		t.Helper()
		if _, err := x.m.Send(x.now, 1, make([]byte, n), Options{}); err != ErrBudget {
			t.Fatal(err)
		}
	}
	fill()
	x.m.Append(x.now, nil, MaxPacket)
	x.ack(0, 0)
	x.wantRoom("no message was refused")

	fill()
	refused(300)
	refused(size + 100)
	b := x.m.Append(x.now, nil, MaxPacket)
	x.wantRoom("nothing was acknowledged")
	if len(b) < 500 {
		t.Fatalf("a packet of %d bytes, want 500 at least", len(b))
	}
	x.ack(1, 1)
	x.wantRoom("all messages were acknowledged", 1)
	if free := x.m.Free(1); free != message {
		t.Errorf("Free(1) = %d, want %d", free, message)
	}
	fill()
	x.m.Append(x.now, nil, MaxPacket)
	x.ack(2, 2)
	x.wantRoom("no message was refused since")
}

// The event of room is for the size of the refused message, not for one byte less.
func TestRoomForTheMessageThatWasRefused(t *testing.T) {
	for _, c := range []struct {
		wanted int
		told   bool
	}{{1000, true}, {1001, false}} {
		x := newTestMux(t, Config{Channels: Channels{{Name: "a", Mode: ReliableUnordered, MaxMessage: 2000, QueueLimit: 2000 + 2*messageCost}}})
		x.send(1, strings.Repeat("x", 1000), Options{})
		x.m.Append(x.now, nil, MaxPacket)
		x.send(1, strings.Repeat("y", 1000), Options{})
		if _, err := x.m.Send(x.now, 1, make([]byte, c.wanted), Options{}); err != ErrBudget {
			t.Fatal(err)
		}
		x.m.Append(x.now, nil, MaxPacket)
		x.ack(0, 0)
		if c.told {
			x.wantRoom("it fits", 1)
			continue
		}
		x.wantRoom("a byte is missing")
		x.ack(1, 1)
		x.wantRoom("it fits", 1)
	}
}

// A newer message with the key of a larger one makes room, too.
func TestRoomAfterAReplacement(t *testing.T) {
	x := newTestMux(t, Config{Channels: Channels{{Name: "a", Mode: ReliableUnordered, MaxMessage: 2000, QueueLimit: 2000 + messageCost}}})
	x.send(1, strings.Repeat("x", 2000), Options{Key: 1})
	x.m.Send(x.now, 1, []byte("more"), Options{})
	x.send(1, "y", Options{Key: 1})
	x.wantRoom("the queue is nearly empty", 1)
}

// Where no message is accepted any more there is no room.
func TestNoRoomAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(x *testMux){
		"close":              func(x *testMux) { x.m.Close(x.now, 0, "") },
		"close of the peer":  func(x *testMux) { x.receive(appendClose(nil, 0, "")) },
		"end of the channel": func(x *testMux) { x.m.StopSending(1); x.m.Append(x.now, nil, MaxPacket); x.ack(0, 0) },
	} {
		x := newTestMux(t, Config{Channels: Channels{{Name: "a", Mode: ReliableUnordered, MaxMessage: 500, QueueLimit: 500 + messageCost}}})
		x.send(1, strings.Repeat("x", 500), Options{})
		x.m.Send(x.now, 1, []byte("more"), Options{})
		end(x)
		if x.m.senders[1].cost != 0 {
			t.Fatalf("%s: the queue has a cost of %d, want 0", name, x.m.senders[1].cost)
		}
		x.wantRoom(name)
	}
}

// A channel whose last message seemed lost, and has arrived after all, is removed. The next channel with the number
// sends nothing before the peer knows it.
func TestTheNextChannelWithANumberWaitsForThePeer(t *testing.T) {
	x := newTestMux(t, Config{Channels: compressTable})
	const id = usual + 1
	open := func(known bool) {
		t.Helper()
		if err := x.m.Open(id, Channel{Name: "again", Mode: ReliableUnordered}, known); err != nil {
			t.Fatal(err)
		}
	}
	open(true)
	for range 5 {
		x.send(id, "x", Options{})
		x.m.Append(x.now, nil, MaxPacket)
	}
	x.ack(1, 4)
	if x.m.Settled(id) || x.m.active&(1<<id) == 0 {
		t.Fatal("the first message does not seem lost")
	}
	x.ack(0, 4)
	x.m.StopSending(id)
	x.m.StopReceiving(id)
	if !x.m.Settled(id) {
		t.Fatal("the channel is not settled")
	}
	x.m.Remove(id)
	open(false)
	x.send(id, "early", Options{})
	x.wantIdle("the peer does not know the channel")
	x.m.Known(id)
	x.wantPacket("the peer knows the channel", "message 4/0 early")
}
