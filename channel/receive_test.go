package channel

import (
	"strings"
	"testing"
	"time"
)

// part returns piece i of a message of n bytes; the bytes of a piece depend on i.
func part(ch ID, id uint64, n, i int) []byte {
	b := make([]byte, n)
	for k := range b {
		b[k] = 'a' + byte(k/pieceSize)
	}
	return appendPiece(nil, ch, false, id, b, i)
}

// wantDrops compares the counters of dropped packets and frames.
func (x *testMux) wantDrops(why string, want map[DropReason]uint64) {
	x.t.Helper()
	for d := range dropReasons {
		if n := x.m.Dropped(d); n != want[d] {
			x.t.Errorf("%s: %d dropped for %v, want %d", why, n, d, want[d])
		}
	}
}

// An unreliable channel holds at most 32 incomplete messages. The one that began first
// makes room for a new one.
func TestIncompleteMessagesAreFew(t *testing.T) {
	for _, ch := range []ID{effects, positions} {
		x := newTestMux(t, Config{})
		for id := range uint64(32) {
			x.receive(part(ch, id, 1025, 0))
		}
		x.wantDrops("32 are held", nil)
		if held := x.m.ChannelStats(ch).Held; held != 32*(1025+messageCost) {
			t.Errorf("%d bytes are held, want %d", held, 32*(1025+messageCost))
		}
		x.receive(part(ch, 40, 1025, 0))
		x.wantDrops("the first made room", map[DropReason]uint64{DropEvicted: 1})
		if held := x.m.ChannelStats(ch).Held; held != 32*(1025+messageCost) {
			t.Errorf("%d bytes are held, want %d", held, 32*(1025+messageCost))
		}
		x.receive(part(ch, 1, 1025, 1))
		x.wantEvents("the second is whole", string('0'+rune(ch))+" 1025 bytes")
		x.receive(part(ch, 0, 1025, 1))
		x.wantEvents("the first has lost its first piece")
		x.m.check(t)
	}
}

// What an unreliable channel holds of incomplete messages is within QueueLimit, to the
// byte.
func TestIncompleteMessagesAreWithinQueueLimit(t *testing.T) {
	const size = 2000
	x := newTestMux(t, Config{Channels: Channels{{Name: "a", MaxMessage: size, QueueLimit: 3*size + 3*messageCost}}})
	for id := range uint64(3) {
		x.receive(part(1, id, size, 0))
	}
	x.wantDrops("three fit", nil)
	x.receive(part(1, 3, 1025, 0))
	x.wantDrops("a smaller one does not fit besides", map[DropReason]uint64{DropEvicted: 1})
	x.receive(part(1, 1, size, 1), part(1, 2, size, 1), part(1, 3, 1025, 1))
	x.wantEvents("the others are whole", "1 2000 bytes", "1 2000 bytes", "1 1025 bytes")
	if s := x.m.ChannelStats(1); s.Held != 0 || s.MessagesIn != 3 || s.BytesIn != 2*size+1025 {
		t.Errorf("%+v, want nothing held, 3 messages of %d bytes in", s, 2*size+1025)
	}
	x.m.check(t)
}

// One more incomplete message needs room for its bytes and 32 more.
func TestRoomForOneMoreIncompleteMessage(t *testing.T) {
	for size, evicted := range map[int]uint64{1100: 0, 1101: 1} {
		x := newTestMux(t, Config{Channels: Channels{{Name: "a", MaxMessage: 2000, QueueLimit: 3100 + 2*messageCost}}})
		x.receive(part(1, 0, 2000, 0), part(1, 1, size, 0))
		if n := x.m.Dropped(DropEvicted); n != evicted {
			t.Errorf("2000 and %d bytes: %d messages made room, want %d", size, n, evicted)
		}
	}
}

// An incomplete unreliable message is given up three seconds after its first piece. Each
// has its own time.
func TestIncompleteMessagesGrowOld(t *testing.T) {
	x := newTestMux(t, Config{})
	x.receive(part(effects, 0, 2000, 0))
	x.wait(time.Second)
	x.receive(part(positions, 0, 2000, 0), part(effects, 1, 3000, 0))
	x.wait(time.Second)
	x.receive(part(effects, 1, 3000, 1)) // does not make it younger
	for len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
	}
	if d := x.m.Deadline().Sub(x.now); d != time.Second {
		t.Errorf("the deadline is in %v, want 1 s", d)
	}
	x.wait(time.Second - 1)
	x.wantDrops("none is three seconds old", nil)
	x.wait(1)
	x.wantDrops("one is", map[DropReason]uint64{DropAged: 1})
	if d := x.m.Deadline().Sub(x.now); d != time.Second {
		t.Errorf("the deadline is in %v, want 1 s", d)
	}
	x.wait(time.Second)
	x.wantDrops("all are", map[DropReason]uint64{DropAged: 3})
	if d := x.m.Deadline(); !d.IsZero() {
		t.Errorf("the deadline is in %v, want none", d.Sub(x.now))
	}
	x.receive(part(effects, 1, 3000, 2))
	x.wantEvents("a late piece makes nothing whole")
	if s := x.m.Stats(); s.Held != 3000+messageCost {
		t.Errorf("%d bytes are held, want %d", s.Held, 3000+messageCost)
	}
	x.wait(3 * time.Second)
	x.wantDrops("and it is not kept", map[DropReason]uint64{DropAged: 4})
	x.m.check(t)
}

// Each mode delivers each message as it guarantees, whole or in pieces, and counts duplicates
// and messages that are too late.
func TestWhatEachModeDoesWithWhatComes(t *testing.T) {
	type step struct {
		frame []byte
		want  string // the events, without the channel
	}
	all := func(ch ID, id uint64) []byte { return whole(ch, id, "id"+string('0'+rune(id))) }
	for _, c := range []struct {
		ch                ID
		steps             []step
		stale, duplicates uint64
		messages, bytes   uint64
	}{
		{effects, []step{
			{bare(effects, "x"), "x"}, {bare(effects, "x"), "x"},
			{part(effects, 5, 1500, 1), ""}, {part(effects, 5, 1500, 1), ""}, {part(effects, 4, 1025, 0), ""},
			{part(effects, 5, 1500, 0), "1500 bytes"}, {part(effects, 4, 1025, 1), "1025 bytes"},
		}, 0, 1, 4, 2527},
		{positions, []step{
			{all(positions, 3), "id3"}, {all(positions, 3), ""}, {all(positions, 2), ""}, {part(positions, 3, 1500, 0), ""},
			{part(positions, 4, 1500, 0), ""}, {part(positions, 5, 1500, 0), ""}, {part(positions, 6, 1500, 0), ""}, {part(positions, 5, 1500, 0), ""},
			{part(positions, 5, 1500, 1), "1500 bytes"}, {part(positions, 4, 1500, 1), ""}, {part(positions, 6, 1500, 1), "1500 bytes"},
			{part(positions, 8, 1500, 0), ""}, {all(positions, 8), "id8"}, {part(positions, 8, 1500, 1), ""}, {all(positions, 9), "id9"},
		}, 7, 1, 5, 3009},
		{loot, []step{
			{all(loot, 1), "id1"}, {all(loot, 1), ""}, {all(loot, 0), "id0"}, {all(loot, 0), ""}, {all(loot, 1), ""},
			{part(loot, 3, 1500, 1), ""}, {part(loot, 3, 1500, 1), ""}, {all(loot, 4), "id4"}, {part(loot, 3, 1500, 0), "1500 bytes"}, {part(loot, 3, 1500, 0), ""},
			{all(loot, 2), "id2"}, {part(loot, 3, 1500, 0), ""}, {all(loot, 5), "id5"},
		}, 0, 6, 6, 1515},
		{chat, []step{
			{all(chat, 1), ""}, {all(chat, 1), ""}, {part(chat, 2, 1500, 1), ""}, {part(chat, 2, 1500, 0), ""}, {part(chat, 2, 1500, 0), ""},
			{all(chat, 0), "id0 id1 1500 bytes"}, {all(chat, 0), ""}, {all(chat, 1), ""},
			{part(chat, 3, 1500, 0), ""}, {part(chat, 3, 1500, 1), "1500 bytes"}, {all(chat, 4), "id4"},
		}, 0, 4, 5, 3009},
	} {
		x := newTestMux(t, Config{})
		for i, s := range c.steps {
			x.receive(s.frame)
			var got []string
			for _, ev := range x.m.Events(nil) {
				got = append(got, short(ev.Payload))
				if len(ev.Payload) > pieceSize && (ev.Payload[0] != 'a' || ev.Payload[pieceSize] != 'b') {
					t.Errorf("channel %d, step %d: the pieces of the message are not in order", c.ch, i)
				}
			}
			if got := strings.Join(got, " "); got != s.want {
				t.Errorf("channel %d, step %d: got %q, want %q", c.ch, i, got, s.want)
			}
			x.m.check(t)
		}
		s := x.m.ChannelStats(c.ch)
		if s.Stale != c.stale || s.Duplicates != c.duplicates || s.MessagesIn != c.messages || s.BytesIn != c.bytes || s.Held != 0 {
			t.Errorf("channel %d: %+v", c.ch, s)
		}
		x.wantDrops("all is as a peer may send it", nil)
	}
}

// A whole message makes its own pieces useless at once.
func TestWholeMessageEndsItsPieces(t *testing.T) {
	x := newTestMux(t, Config{})
	x.receive(part(positions, 4, 1500, 0), part(positions, 5, 1500, 0), part(positions, 6, 1500, 0), whole(positions, 5, "whole"))
	x.wantEvents("it is newer than the first", "2 whole")
	if s := x.m.ChannelStats(positions); s.Held != 1500+messageCost || s.Stale != 2 {
		t.Errorf("%d bytes are held, want %d; %d messages came too late, want 2", s.Held, 1500+messageCost, s.Stale)
	}
}

// A frame that breaks the table's rules is counted under its reason, and has no effect.
// Its packet is not acknowledged, whatever else is in it.
func TestRefusedFrames(t *testing.T) {
	table := Channels{
		{Name: "effects", MaxMessage: 1100}, {Name: "positions", Mode: Sequenced, MaxMessage: 1100}, {Name: "loot", Mode: ReliableUnordered, MaxMessage: 2000, QueueLimit: 4000},
		{Name: "chat", Mode: ReliableOrdered, MaxMessage: 2000, QueueLimit: 3000 + 3*messageCost}, {Name: "up", Direction: ToServer}, {Name: "small", Mode: ReliableOrdered, MaxMessage: 10},
	}
	for _, c := range []struct {
		name  string
		frame []byte
		drop  DropReason
	}{
		{"a channel that is not in the table", bare(7, "x"), DropUnknown},
		{"a channel of the other direction", bare(5, "x"), DropDirection},
		{"a bare message on a sequenced channel", bare(positions, "x"), DropKind},
		{"a bare message on a reliable channel", bare(loot, "x"), DropKind},
		{"a message with an id on an unreliable channel", whole(effects, 0, "x"), DropKind},
		{"a large message", whole(6, 0, "eleven byte"), DropTooLarge},
		{"a piece of a large message", part(effects, 0, 1101, 0), DropTooLarge},
		{"a message far ahead", whole(chat, 4096, "x"), DropWindow},
		{"a piece that contradicts another", part(loot, 1, 1600, 1), DropMismatch},
		{"a whole message that contradicts a piece", whole(loot, 1, "x"), DropMismatch},
		{"more than QueueLimit", part(chat, 4095, 2000, 0), DropBudget},
	} {
		x := newTestMux(t, Config{Channels: table})
		x.receive(part(loot, 1, 1500, 0), whole(chat, 2, strings.Repeat("x", 1000)), whole(chat, 1, "y"))
		x.wait(maxAckDelay)
		x.wantPacket(c.name+": what comes before is fine", "ack 0-0")
		x.receive(c.frame, bare(effects, "good"))
		x.wantEvents(c.name+": the good one is used", "1 good")
		x.wantDrops(c.name, map[DropReason]uint64{c.drop: 1, DropRefused: 1})
		x.wait(maxAckDelay)
		x.wantIdle(c.name + ": not acknowledged")
		x.receive(part(loot, 1, 1500, 1), whole(6, 0, "ten bytes!"), whole(chat, 4095, "x"), bare(effects, "z"), part(effects, 0, 1100, 0))
		x.wantEvents(c.name+": what had come is as it was", "3 1500 bytes", "6 ten bytes!", "1 z")
		x.receive(whole(chat, 0, ""))
		x.wantEvents(c.name+": what waited is delivered", "4 ", "4 y", "4 1000 bytes")
		x.wantDrops(c.name+": and no more", map[DropReason]uint64{c.drop: 1, DropRefused: 1})
		x.m.check(t)
	}
}

// The same on an unreliable channel is counted too, but nothing would be sent again.
func TestContradictingPieceOfAnUnreliableMessage(t *testing.T) {
	x := newTestMux(t, Config{})
	x.receive(part(effects, 0, 1500, 0))
	x.receive(part(effects, 0, 1600, 1))
	x.wantDrops("it does not fit the first", map[DropReason]uint64{DropMismatch: 1})
	x.receive(part(effects, 0, 1500, 1))
	x.wantEvents("the first is made whole", "1 1500 bytes")
}

// What a reliable channel holds for a message's turn is within QueueLimit, to the byte.
func TestHeldForItsTurnIsWithinQueueLimit(t *testing.T) {
	x := newTestMux(t, Config{Channels: Channels{{Name: "a", Mode: ReliableOrdered, MaxMessage: 2000, QueueLimit: 3000 + 3*messageCost}}})
	x.receive(part(1, 1, 2000, 0), whole(1, 2, strings.Repeat("x", 500)), whole(1, 3, strings.Repeat("x", 500)))
	x.wantDrops("exactly as much", nil)
	if held := x.m.ChannelStats(1).Held; held != 3000+3*messageCost {
		t.Errorf("%d bytes are held, want %d", held, 3000+3*messageCost)
	}
	x.receive(whole(1, 4, ""))
	x.wantDrops("no more", map[DropReason]uint64{DropBudget: 1, DropRefused: 1})
	x.receive(whole(1, 0, strings.Repeat("x", 1000)))
	x.wantEvents("the next one in order needs no room", "1 1000 bytes")
}

// Events are handed over once, and their memory is not kept for long after a burst.
func TestEventsAreHandedOverOnce(t *testing.T) {
	x := newTestMux(t, Config{})
	for range 1000 {
		x.receive(bare(effects, "x"))
	}
	before := Event{Type: EventClosed}
	evs := x.m.Events([]Event{before})
	if len(evs) != 1001 || evs[0].Type != EventClosed || string(evs[1000].Payload) != "x" {
		t.Errorf("%d events, want 1001: a close, and then the messages", len(evs))
	}
	if cap(x.m.events) > keptEvents {
		t.Errorf("memory for %d events is kept, want at most %d", cap(x.m.events), keptEvents)
	}
	for range keptEvents {
		x.receive(bare(effects, "x"))
	}
	if n := len(x.m.Events(nil)); n != keptEvents {
		t.Errorf("%d events, want %d", n, keptEvents)
	}
	if n := len(x.m.Events(nil)); n != 0 {
		t.Errorf("%d events again, want 0", n)
	}
	x.receive(part(effects, 0, 1500, 0), part(effects, 0, 1500, 1), bare(effects, "a datagram's"))
	evs = x.m.Events(nil)
	x.m.Release(evs)
	if evs[0].Payload != nil || evs[1].Payload != nil {
		t.Error("released events still have payloads")
	}
	if p := &x.m.pool; len(p.free[class(1500)]) != 1 || len(p.free[class(12)]) != 0 {
		t.Errorf("the pool has %d buffers of a message, want 1, and %d of the datagram, want 0", len(p.free[class(1500)]), len(p.free[class(12)]))
	}
}
