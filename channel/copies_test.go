package channel

import (
	"strings"
	"testing"
	"time"
)

// lossy returns a Mux whose link loses one packet in twenty.
func lossy(t *testing.T, channels Channels) *testMux {
	x := newTestMux(t, Config{Channels: channels, Rate: 1 << 20, Ceiling: -1})
	x.m.loss.share = 0.05
	return x
}

// Copies are sent only on a link that loses more than one packet in a hundred and that is not
// reliable, as often as the channel says.
func TestWhichLinksAndChannelsHaveCopies(t *testing.T) {
	table := Channels{
		{Name: "effects"}, {Name: "receipts"}, {Name: "sequenced", Mode: Sequenced}, {Name: "unordered", Mode: ReliableUnordered},
		{Name: "none", Mode: ReliableOrdered, Copies: -1}, {Name: "once", Mode: ReliableOrdered, Copies: 1},
	}
	for _, c := range []struct {
		name     string
		share    float64
		reliable bool
		first    string
		rest     []string
	}{
		{"it loses", 0.011, false, "message 4/0 d; message 6/0 f", []string{"message 4/0 d", "", ""}},
		{"it hardly loses", 0.01, false, "", []string{"", "", ""}},
		{"it is reliable", 0.5, true, "", []string{"", "", ""}},
	} {
		x := newTestMux(t, Config{Channels: table, ReliableLink: c.reliable, Rate: 1 << 20})
		x.m.loss.share = c.share
		for i, s := range []string{"b", "c", "d", "e", "f"} {
			x.send(ID(i+2), s, Options{Receipt: true})
		}
		x.wantPacket(c.name, "bare 2 b", "message 3/0 c", "message 4/0 d", "message 5/0 e", "message 6/0 f")
		for _, want := range append([]string{c.first}, c.rest...) {
			x.now = x.now.Add(ms)
			x.send(1, "a", Options{})
			x.wantPacket(c.name, strings.TrimSuffix("bare 1 a; "+want, "; "))
		}
		if s, d, f := x.m.Stats(), x.m.ChannelStats(4), x.m.ChannelStats(6); !c.reliable && c.share > 0.01 && (s.Copies != 3 || d.Copies != 2 || f.Copies != 1) {
			t.Errorf("%d copies, want 3; %d and %d of the channels, want 2 and 1", s.Copies, d.Copies, f.Copies)
		}
	}
}

// A small message has up to 512 bytes, and its copy must fit, to the byte.
func TestWhichMessagesHaveCopies(t *testing.T) {
	for _, c := range []struct{ size, beside int }{{512, 100}, {513, 100}, {512, MaxPacket - 3 - 3 - 516}, {512, MaxPacket - 3 - 3 - 515}} {
		x := lossy(t, nil)
		x.send(loot, strings.Repeat("x", c.size), Options{})
		x.m.Append(x.now, nil, MaxPacket)
		x.now = x.now.Add(10 * ms)
		x.send(effects, strings.Repeat("y", c.beside), Options{})
		n := len(x.m.Append(x.now, nil, MaxPacket))
		want := 3 + pieceLen(true, 0, c.beside, 0)
		if c.size == 512 && want+516 <= MaxPacket {
			want += 516
		}
		if n != want {
			t.Errorf("%d bytes beside %d: a packet of %d bytes, want %d", c.size, c.beside, n, want)
		}
	}
}

// Copies are limited to a share of the rate: on a narrow link new messages have priority.
func TestCopiesAreKeptToAShareOfTheRate(t *testing.T) {
	x := lossy(t, nil)
	x.send(loot, strings.Repeat("x", 100), Options{})
	x.m.Append(x.now, nil, MaxPacket)
	x.m.pacer.spare = 103 + 102
	x.send(effects, "1", Options{})
	x.wantPacket("as much as there is", "bare 1 1", "message 3/0 100 bytes")
	x.m.pacer.spare = 102
	x.send(effects, "2", Options{})
	x.wantPacket("a byte too few", "bare 1 2")
	x.m.pacer.spare = -5
	x.send(effects, "3", Options{})
	x.wantPacket("none", "bare 1 3")
	x.m.pacer.spare = 103
	x.send(effects, "4", Options{})
	x.wantPacket("as much as there is", "bare 1 4", "message 3/0 100 bytes")
}

// Messages that should have been acknowledged by now are first, the oldest before others, and
// count as new then. The others follow, the newest first, by priority of channels.
func TestOrderOfCopies(t *testing.T) {
	x := lossy(t, Channels{
		{Name: "effects"}, {Name: "late", Mode: ReliableOrdered, Priority: 5, Copies: 1}, {Name: "early", Mode: ReliableOrdered, Priority: 1, Copies: 1},
	})
	x.m.rtt.init(40 * ms) // overdue after 45 ms, and 20
	for i := range 3 {
		x.send(2, string('a'+rune(i)), Options{})
		x.wantPacket("first", "message 2/"+string('0'+rune(i))+" "+string('a'+rune(i)))
		x.m.senders[2].waiting.tail.pieces[0].copies = 1 // has had its copy
		x.now = x.now.Add(ms)
	}
	x.send(3, "d", Options{})
	x.send(3, "e", Options{})
	x.wantPacket("first", "message 3/0 d", "message 3/1 e")
	x.now = x.now.Add(65*ms - 3*ms - 1)
	x.send(1, "1", Options{})
	x.wantPacket("the newest first", "bare 1 1", "message 3/1 e", "message 3/0 d")
	x.now = x.now.Add(1)
	x.send(1, "2", Options{})
	x.wantPacket("the oldest is overdue", "bare 1 2", "message 2/0 a")
	x.now = x.now.Add(ms)
	x.send(1, "3", Options{})
	x.wantPacket("the next one, and the oldest has a copy again", "bare 1 3", "message 2/1 b", "message 2/0 a")
	x.now = x.now.Add(2 * ms)
	x.send(1, "4", Options{})
	x.wantPacket("all are", "bare 1 4", "message 3/0 d", "message 3/1 e", "message 2/2 c", "message 2/1 b")

	opened := x.open(Channel{Name: "opened", Mode: ReliableUnordered, Priority: 0}, true)
	x.send(3, "p", Options{})
	x.send(opened, "o", Options{})
	x.wantPacket("the opened channel's turn is by its priority", "message 4/0 o", "message 3/2 p", "message 3/1 e", "message 3/0 d", "message 2/2 c")
	x.send(1, "5", Options{})
	x.wantPacket("also for copies", "bare 1 5", "message 4/0 o", "message 3/2 p")
}

// A copy that is overdue, and for which there is no room, is overdue still.
func TestOverdueCopyWithoutRoom(t *testing.T) {
	x := lossy(t, Channels{{Name: "effects"}, {Name: "chat", Mode: ReliableOrdered, Copies: 1}, {Name: "none", Mode: ReliableOrdered, Copies: -1}})
	x.m.rtt.init(40 * ms)
	x.send(2, strings.Repeat("x", 500), Options{})
	x.send(3, "no copies", Options{})
	x.wantPacket("first", "message 2/0 500 bytes", "message 3/0 no copies")
	x.now = x.now.Add(70 * ms)
	x.send(1, strings.Repeat("y", 1000), Options{})
	x.wantPacket("no room", "bare 1 1000 bytes")
	x.now = x.now.Add(ms)
	x.send(1, "1", Options{})
	x.wantPacket("it was overdue", "bare 1 1", "message 2/0 500 bytes")
	x.now = x.now.Add(ms)
	x.send(1, "2", Options{})
	x.wantPacket("so its one copy comes besides", "bare 1 2", "message 2/0 500 bytes")
	x.now = x.now.Add(ms)
	x.send(1, "3", Options{})
	x.wantPacket("no more", "bare 1 3")
}

// No more than 64 messages from each end of a channel's list are looked at for a packet.
func TestCopiesAreLookedForAmongFew(t *testing.T) {
	for _, c := range []struct {
		name    string
		overdue bool
		first   string
		last    string
	}{
		{"the newest", false, "message 2/199 ", "message 2/136 "},
		{"the oldest, then the newest that have no copy yet", true, "message 2/0 ", "message 2/136 "},
	} {
		x := lossy(t, Channels{{Name: "effects"}, {Name: "many", Mode: ReliableUnordered, Copies: 1}})
		for range 200 {
			x.send(2, "", Options{})
		}
		x.m.Append(x.now, nil, MaxPacket)
		if n := x.m.senders[2].waiting.n; n != 200 {
			t.Fatalf("%d messages wait, want 200", n)
		}
		x.now = x.now.Add(ms)
		count := maxLookback
		if c.overdue {
			x.m.rtt.init(10 * ms)
			x.now = x.now.Add(time.Second)
			count *= 2
		}
		x.send(1, "1", Options{})
		b := x.m.Append(x.now, nil, MaxPacket)
		got := strings.Split(script(b), "; ")[1:]
		if len(got) != count || got[0] != c.first || got[len(got)-1] != c.last {
			t.Errorf("%s: %d copies, %q to %q; want %d, %q to %q", c.name, len(got), got[0], got[len(got)-1], count, c.first, c.last)
		}
	}
}
