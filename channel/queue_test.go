package channel

import (
	"strings"
	"testing"
	"time"
)

// wantQueue compares what a channel counts of its queue.
func (x *testMux) wantQueue(why string, ch ID, messages, bytes int) {
	x.t.Helper()
	if s := x.m.ChannelStats(ch); s.Queued != messages || s.QueueBytes != bytes {
		x.t.Errorf("%s: %d messages queued and %d bytes, want %d and %d", why, s.Queued, s.QueueBytes, messages, bytes)
	}
}

// A message with the key of a queued one takes its place in the order, and nothing else: bytes,
// receipt, deadline and age are those of the new message.
func TestReplacedMessageLeavesOnlyItsPlace(t *testing.T) {
	for _, ch := range []ID{effects, positions, loot, chat} {
		x := newTestMux(t, Config{})
		x.send(ch, "old", Options{Key: 1, Receipt: true, Deadline: x.now.Add(10 * time.Millisecond)})
		x.send(ch, "other", Options{Key: 2})
		x.wait(8 * time.Millisecond)
		x.send(ch, strings.Repeat("n", 1500), Options{Key: 1, Receipt: true})
		x.wantEvents("told", "receipt 1 replaced")
		x.wantQueue("two messages", ch, 2, 1500+len("other")+2*messageCost)
		x.wait(32 * time.Millisecond) // the old one would have expired
		want := []string{"fragment 1/0 0 of 1500", "fragment 1/0 1 of 1500", "message 1/1 other"}
		if ch == effects {
			want[2] = "bare 1 other"
		}
		for i := range want {
			want[i] = strings.Replace(want[i], " 1", " "+string('0'+rune(ch)), 1)
		}
		x.wantPacket("the new one is first", want[0])
		x.wantPacket("its rest", want[1], want[2])
		x.wait(20 * time.Millisecond)
		x.ack(0, 1)
		x.wantEvents("and arrives", "receipt 3 delivered")
		s := x.m.ChannelStats(ch)
		if s.Replaced != 1 || s.Expired != 0 || s.MessagesOut != 2 || s.BytesOut != 1505 {
			t.Errorf("%+v, want 1 replaced, 0 expired, 2 messages of 1505 bytes out", s)
		}
		// The other one waited for 40 ms, the new one for 32.
		if want := 2*time.Millisecond + (40*time.Millisecond-2*time.Millisecond)/16; s.QueueTime != want {
			t.Errorf("time in the queue is %v, want %v", s.QueueTime, want)
		}
		x.wantQueue("nothing waits", ch, 0, 0)
	}
}

// A message without a receipt gets none when it replaces a message with one, and its own
// deadline applies.
func TestReplacingMessageKeepsItsOptions(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(positions, "old", Options{Receipt: true})
	x.send(positions, "new", Options{Deadline: x.now.Add(10 * time.Millisecond)})
	x.wantEvents("told", "receipt 1 replaced")
	x.wait(10 * time.Millisecond)
	x.wantIdle("the new one is too late")
	x.wantEvents("nobody asked")
	if s := x.m.ChannelStats(positions); s.Expired != 1 || s.MessagesOut != 0 {
		t.Errorf("%+v, want 1 expired, 0 out", s)
	}
}

// When a message replaces another, each payload is given back with its own message.
func TestReplacingGivesTheRightPayloadBack(t *testing.T) {
	x := newTestMux(t, Config{})
	var done []string
	shared := func(s string) *Shared { return &Shared{B: []byte(s), Done: func() { done = append(done, s) }} }
	for _, s := range []string{"one", "two", "three"} {
		if _, err := x.m.SendShared(x.now, positions, shared(s), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	x.send(positions, "four", Options{})
	if got := strings.Join(done, " "); got != "one two three" {
		t.Errorf("payloads returned: %q, want one two three", got)
	}
	if _, err := x.m.SendShared(x.now, positions, shared("five"), Options{}); err != nil {
		t.Fatal(err)
	}
	x.wantPacket("the last", "message 2/0 five")
	if got := strings.Join(done, " "); got != "one two three five" {
		t.Errorf("payloads returned: %q, want one two three five", got)
	}
}

// A large message with a key that is being sent is finished. The one behind it with
// the same key is replaced nevertheless, also when the large one has left.
func TestKeyOfAMessageThatIsBeingSent(t *testing.T) {
	for _, o := range []Options{{}, {Key: 7}} {
		x := newTestMux(t, Config{})
		x.send(positions, strings.Repeat("a", 3000), o)
		x.wantPacket("the first piece", "fragment 2/0 0 of 3000")
		x.send(positions, strings.Repeat("b", 1200), o)
		x.wantPacket("the second piece", "fragment 2/0 1 of 3000")
		x.wait(time.Second / 10)
		x.send(positions, strings.Repeat("c", 200), o)
		x.wantPacket("the last piece, and no room for the next message", "fragment 2/0 2 of 3000")
		x.send(positions, "d", o)
		x.wantPacket("the newest", "message 2/1 d")
		if s := x.m.ChannelStats(positions); s.Replaced != 2 {
			t.Errorf("%d messages are replaced, want 2", s.Replaced)
		}
	}
}

// Messages with a key and those without one do not replace each other.
func TestKeysAreApart(t *testing.T) {
	x := newTestMux(t, Config{})
	for _, ch := range []ID{positions, loot} {
		x.send(ch, "x1", Options{})
		x.send(ch, "a1", Options{Key: 1})
		x.send(ch, "b1", Options{Key: 2})
	}
	x.send(positions, "x2", Options{})
	x.send(loot, "x2", Options{})
	x.send(positions, "a2", Options{Key: 1})
	x.send(loot, "a2", Options{Key: 1})
	x.wantPacket("on an unordered channel those without a key are all sent",
		"message 2/0 x2", "message 2/1 a2", "message 2/2 b1",
		"message 3/0 x1", "message 3/1 a2", "message 3/2 b1", "message 3/3 x2")
	x.send(positions, "a3", Options{Key: 1})
	x.send(positions, "x3", Options{})
	x.wantPacket("the keys of what has left are free", "message 2/3 a3", "message 2/4 x3")
}

// At QueueLimit the oldest message is dropped, to the byte, but not one that is partly sent,
// unless it is the only one.
func TestOldestMakesRoom(t *testing.T) {
	table := Channels{{Name: "voice", MaxMessage: 3000, QueueLimit: 3200}}
	yes := Options{Receipt: true}
	x := newTestMux(t, Config{Channels: table})
	x.send(1, strings.Repeat("a", 1000), yes)
	x.send(1, strings.Repeat("b", 1000), yes)
	x.send(1, strings.Repeat("c", 3200-2000-3*messageCost), yes)
	x.wantEvents("three fit exactly")
	x.wantQueue("three fit exactly", 1, 3, 3200)
	x.send(1, "", yes)
	x.wantEvents("the oldest makes room", "receipt 1 dropped")
	x.wantQueue("the oldest is gone", 1, 3, 3200-1000)

	x = newTestMux(t, Config{Channels: table})
	x.send(1, strings.Repeat("a", 1500), yes)
	x.wantPacket("half of it", "fragment 1/0 0 of 1500")
	x.send(1, strings.Repeat("b", 1500), yes)
	x.send(1, strings.Repeat("c", 1500), yes)
	x.wantEvents("what is sent in part stays", "receipt 2 dropped")
	x.send(1, strings.Repeat("d", 3000), yes)
	x.wantEvents("unless there is no room besides", "receipt 3 dropped", "receipt 1 dropped")
	x.wantPacket("the newest", "fragment 1/1 0 of 3000")

	x = newTestMux(t, Config{Channels: table})
	x.send(1, strings.Repeat("a", 1000), yes)
	x.send(1, strings.Repeat("b", 500), yes)
	x.m.Append(x.now, nil, MaxPacket)
	x.m.Append(x.now, nil, MaxPacket)
	x.send(1, strings.Repeat("c", 2500), yes)
	x.wantEvents("what waits for its receipt makes room", "receipt 1 dropped")
	if s := x.m.ChannelStats(1); s.Overflowed != 1 {
		t.Errorf("%d messages are dropped, want 1", s.Overflowed)
	}
}

// A replaced message counts as gone: nothing else is dropped for its room.
func TestReplacedMessageMakesRoom(t *testing.T) {
	yes := func(key uint64) Options { return Options{Key: key, Receipt: true} }
	table := Channels{{Name: "state", Mode: Sequenced, MaxMessage: 900, QueueLimit: 1000 + 2*messageCost}, {Name: "news", Mode: ReliableOrdered, MaxMessage: 900, QueueLimit: 1000 + 2*messageCost}}
	for ch := range ID(2) {
		x := newTestMux(t, Config{Channels: table})
		x.send(ch+1, strings.Repeat("a", 500), yes(1))
		x.send(ch+1, strings.Repeat("b", 500), yes(2))
		x.send(ch+1, strings.Repeat("c", 500), yes(1))
		x.wantEvents("the queue was full, and is", "receipt 1 replaced")
	}
	x := newTestMux(t, Config{Channels: table})
	x.send(1, strings.Repeat("a", 400), yes(1))
	x.send(1, strings.Repeat("b", 600), yes(2))
	x.send(1, strings.Repeat("c", 800), yes(2))
	x.wantEvents("the oldest is dropped, and then there is room", "receipt 1 dropped", "receipt 2 replaced")
	x.wantQueue("one is left", 1, 1, 800+messageCost)
}

// A message that leaves before its deadline meets it. A message that is partly sent by then is
// finished on a reliable channel, and dropped on an unreliable one.
func TestDeadlinesInTheQueue(t *testing.T) {
	const ms = time.Millisecond
	for _, ch := range []ID{effects, positions, loot, chat} {
		x := newTestMux(t, Config{})
		o := func(key uint64, after time.Duration) Options {
			return Options{Key: key, Receipt: true, Deadline: x.now.Add(after)}
		}
		x.send(ch, strings.Repeat("a", 2000), o(1, 10*ms))
		x.send(ch, "b", o(2, 10*ms))
		x.send(ch, "c", o(3, 10*ms+1))
		x.m.Append(x.now, nil, MaxPacket)
		x.wait(10 * ms)
		x.m.Append(x.now, nil, MaxPacket)
		x.m.Append(x.now, nil, MaxPacket)
		s := x.m.ChannelStats(ch)
		if ch >= loot {
			x.wantEvents("the second is too late", "receipt 2 expired")
			if s.Expired != 1 || s.MessagesOut != 2 {
				t.Errorf("%+v, want 1 expired, 2 out", s)
			}
		} else {
			x.wantEvents("the rest of the first and the second are too late", "receipt 1 expired", "receipt 2 expired")
			if s.Expired != 2 || s.MessagesOut != 2 {
				t.Errorf("%+v, want 2 expired, 2 out", s)
			}
		}
		x.wantQueue("none waits to be sent", ch, 0, map[bool]int{true: 2001 + 2*messageCost, false: 1 + messageCost}[ch >= loot])
	}
}

// When no answer arrives, unreliable messages that have waited for more than a quarter of a
// second are dropped, from anywhere in the queue. Reliable and younger messages stay.
func TestSilenceMakesTheOldUseless(t *testing.T) {
	x := newTestMux(t, Config{})
	yes := Options{Receipt: true}
	var ids []ID
	for _, mode := range []Mode{Unreliable, Sequenced, ReliableUnordered} {
		id := x.open(Channel{Name: mode.String(), Mode: mode}, false) // what is sent on it waits
		ids = append(ids, id)
	}
	x.send(chat, "probe", Options{})
	x.m.Append(x.now, nil, MaxPacket)
	for _, id := range ids {
		x.send(id, "old", yes)
	}
	x.now = x.now.Add(1)
	x.send(ids[0], "not too old", yes)
	x.send(ids[1], "not too old", Options{Receipt: true, Key: 1})
	x.now = x.now.Add(staleAge)
	x.m.probe(x.m.at(x.now))
	x.wantEvents("one timeout is no silence")
	x.m.probe(x.m.at(x.now))
	x.wantEvents("what is older", "receipt 2 expired", "receipt 3 expired")
	if s := x.m.ChannelStats(ids[0]); s.Expired != 1 || s.Queued != 1 {
		t.Errorf("%+v, want 1 expired, 1 byte queued", s)
	}
	x.now = x.now.Add(1)
	x.ack(0, 0)
	x.wantEvents("and what is now, when an answer comes", "receipt 5 expired", "receipt 6 expired")
	x.wantQueue("the reliable one", ids[2], 1, 3+messageCost)
	x.m.check(t)
}
