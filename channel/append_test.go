package channel

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A packet of nothing but an ack block with many ranges asks for an answer, once a
// round trip, so that the block gets shorter.
func TestLoneAckAsksForAnAnswer(t *testing.T) {
	gaps := func(x *testMux, n int) {
		for range n {
			x.number++
			x.receive([]byte{controlPing})
		}
	}
	x := newTestMux(t, Config{RTT: 100 * ms})
	x.wait(time.Second)
	x.receive([]byte{controlPing})
	gaps(x, 7)
	x.wantPacket("seven ranges besides the newest", "ack 14-14 12-12 10-10 8-8 6-6 4-4 2-2 0-0")
	gaps(x, 1)
	x.wantPacket("eight", "ack 16-16 14-14 12-12 10-10 8-8 6-6 4-4 2-2 0-0", "ping")
	if d := x.m.Deadline().Sub(x.now); d != 250*ms {
		t.Errorf("the answer is waited for until %v, want 250 ms", d)
	}
	x.wait(100*ms - 1)
	gaps(x, 1)
	x.wantPacket("not a round trip later", "ack 18-18 16-16 14-14 12-12 10-10 8-8 6-6 4-4 2-2 0-0")
	x.wait(1)
	gaps(x, 1)
	x.wantPacket("a round trip later", "ack 20-20 18-18 16-16 14-14 12-12 10-10 8-8 6-6 4-4 2-2 0-0", "ping")
	if s := x.m.Stats(); s.AcksOut != 4 || s.PacketsOut != 4 {
		t.Errorf("%d packets with only an ack block of %d packets, want 4 of 4", s.AcksOut, s.PacketsOut)
	}
	x.wait(50 * ms)
	x.ack(3, 3)
	x.wait(100 * ms)
	gaps(x, 1)
	x.wantPacket("the answer shows what need not be said again", "ack 23-23 21-21")

	for name, end := range map[string]func(x *testMux){
		"the peer has closed": func(x *testMux) { x.receive(appendClose(nil, 0, "")) },
		"we have closed":      func(x *testMux) { x.m.Close(x.now, 0, ""); x.m.Append(x.now, nil, MaxPacket) },
	} {
		x := newTestMux(t, Config{})
		x.wait(time.Second)
		end(x)
		gaps(x, 20)
		if s := script(x.m.Append(x.now, nil, MaxPacket)); strings.Count(s, "-") < 20 || strings.Contains(s, ";") {
			t.Errorf("%s: %s, want nothing but many ranges", name, s)
		}
	}
}

// An ack block leaves room for the largest piece behind it: the oldest ranges that do not fit
// are left out.
func TestAckBlockIsCut(t *testing.T) {
	a := ackBlock{largest: 1000, delay: 1, first: 2, ranges: 3}
	a.rest[0], a.rest[1], a.rest[2] = ackRange{1, 2}, ackRange{200, 3}, ackRange{4, 5}
	full, flags := a.append([]byte("before"), 100)
	if flags != flagAck|flagGaps || len(full) != 6+4+1+2+3+2 {
		t.Fatalf("a packet of %d bytes with flags %x, want %d bytes, flags %x", len(full), flags, 6+4+1+2+3+2, flagAck|flagGaps)
	}
	for end, want := range map[int]struct {
		ranges int
		length int
	}{
		18: {3, 18}, 17: {2, 16}, 16: {2, 16}, 15: {1, 13}, 13: {1, 13}, 12: {0, 10}, 0: {0, 10},
	} {
		b, flags := a.append([]byte("before"), end)
		var got ackBlock
		n := got.parse(b[6:], flags&flagGaps != 0)
		if len(b) != want.length || n != len(b)-6 || got.ranges != want.ranges || flags&flagAck == 0 || string(b[:6]) != "before" {
			t.Errorf("end %d: %d bytes with %d ranges, want %d with %d", end, len(b), got.ranges, want.length, want.ranges)
		}
	}
}

// Append never exceeds the size that the link carries, uses all of it, and returns its buffer
// unchanged when there is nothing to send.
func TestAppendKeepsToTheLimit(t *testing.T) {
	x := newTestMux(t, Config{})
	for range 6 {
		x.send(loot, strings.Repeat("x", 500), Options{})
	}
	before := []byte("before")
	if b := x.m.Append(x.now, before, MinLimit-1); string(b) != "before" {
		t.Errorf("a limit of %d bytes: %q, want nothing appended", MinLimit-1, b)
	}
	if b := x.m.Append(x.now, before, MinLimit); len(b) != 6+3+2*(4+500) || string(b[:6]) != "before" {
		t.Errorf("a limit of %d bytes: %d bytes, want %d with the caller's first", MinLimit, len(b), 6+3+2*(4+500))
	}
	x.now = x.now.Add(time.Second)
	if b := x.m.Append(x.now, before, 1<<20); len(b) != 6+3+2*(4+500) {
		t.Errorf("a limit of 1 MiB: %d bytes, want %d", len(b), 6+3+2*(4+500))
	}
	x.m.Append(x.now, nil, MaxPacket)
	if b := x.m.Append(x.now, before, MaxPacket); string(b) != "before" {
		t.Errorf("%d bytes are appended though nothing waits", len(b)-6)
	}
	for _, limit := range []int{MinLimit, MaxPacket} {
		for spare := range 3 {
			x := newTestMux(t, Config{})
			x.send(effects, strings.Repeat("x", 800), Options{})
			x.send(effects, strings.Repeat("y", limit-3-803-3-1+spare), Options{})
			n := len(x.m.Append(x.now, nil, limit))
			if want := map[bool]int{true: limit - 1 + spare, false: 3 + 803}[spare < 2]; n != want {
				t.Errorf("limit %d: %d bytes, want %d", limit, n, want)
			}
		}
	}
}

// A ping that is due waits for the pacer like all content, and the deadline is that time.
func TestPingWaitsForItsTurn(t *testing.T) {
	x := newTestMux(t, Config{KeepAlive: 10 * ms, Rate: 10_000, Floor: 10_000})
	for range 2 {
		x.send(loot, strings.Repeat("x", 1000), Options{})
		x.m.Append(x.now, nil, MaxPacket)
	}
	x.wait(5 * ms)
	x.ack(0, 1)
	x.wait(10 * ms)
	x.wantIdle("two packets of 1 KB take a tenth of a second each")
	if d := x.m.Deadline().Sub(x.now); d < 50*ms || d > 100*ms {
		t.Errorf("the deadline is in %v, want between 50 and 100 ms", d)
	}
	x.now = x.m.Deadline()
	x.wantPacket("its turn", "ping")
	if x.m.Deadline().Sub(x.now) < 5*ms {
		t.Error("the deadline of the ping was not removed")
	}
}

// With a window that is full to the byte nothing leaves. An acknowledgement opens it, time does
// not.
func TestFullWindow(t *testing.T) {
	x := newTestMux(t, Config{RTT: 100 * ms})
	x.send(loot, "first", Options{})
	x.m.Append(x.now, nil, MaxPacket)
	x.send(loot, "second", Options{})
	window, bytes := x.m.cc.window(&x.m.rtt, 0), x.m.flight.bytes
	x.m.flight.bytes = window
	x.wantIdle("full")
	if d := x.m.Deadline().Sub(x.now); d != 250*ms {
		t.Errorf("the deadline is in %v, want the timeout", d)
	}
	x.m.flight.bytes = window - 1
	x.wantPacket("not full", "message 3/1 second")
	x.m.flight.bytes += bytes - window + 1
	x.m.check(t)
}

// A piece takes exactly the bytes in a packet that were computed for it; the larger ones are
// fragments.
func TestLengthOfPieces(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 1023, 1024, 1025, 2048, 2049, 20_000} {
		for _, id := range []uint64{0, 127, 128, 1 << 20} {
			for _, bare := range []bool{false, true} {
				for i := range pieces(size) {
					b := appendPiece(nil, 5, bare, id, make([]byte, size), i)
					var f frame
					if n := pieceLen(bare, id, size, i); n != len(b) || f.parse(b) != n || (f.kind == frameFragment) != (size > 1024) {
						t.Errorf("piece %d of %d bytes: the frame has %d bytes, computed %d, kind %d", i, size, len(b), n, f.kind)
					}
				}
			}
		}
	}
	largest := appendPiece(nil, 5, false, 0, make([]byte, maxMessage), 8191)
	var f frame
	if f.parse(largest) != len(largest) || f.total != maxMessage || len(f.payload) != pieceSize {
		t.Error("the last piece of the largest message is not parsed")
	}
	larger := appendPiece(nil, 5, false, 0, make([]byte, maxMessage+1), 8191)
	if f.parse(larger) != 0 {
		t.Error("a piece of a message that is too large is accepted")
	}
}

// A packet's number takes two bytes up to 32767, then three.
func TestLengthOfNumbers(t *testing.T) {
	for n, want := range map[uint64]string{0: "110000", 32767: "117fff", 32768: "12008000", 1<<24 + 5: "12000005"} {
		if got := fmt.Sprintf("%x", appendHeader(nil, n)); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
}

// Whether a packet wants an acknowledgement is not up to its last frame.
func TestPaddingBehindWhatWantsAnAck(t *testing.T) {
	for _, c := range []struct {
		frames []byte
		want   bool
	}{{[]byte{controlPing, controlPadding}, true}, {[]byte{controlPadding, controlPadding}, false}, {whole(Control, 0, "x"), true}, {bare(effects, ""), true}} {
		if ok, eliciting := wellFormed(c.frames); !ok || eliciting != c.want {
			t.Errorf("frames %x: well formed %v, want true; eliciting %v, want %v", c.frames, ok, eliciting, c.want)
		}
	}
	if v, n := varint([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}); n != 0 {
		t.Errorf("a varint of eleven bytes is read as %d, want an error", v)
	}
	var p packet
	if p.parse(nil) {
		t.Error("parse accepts an empty packet")
	}
}

// What came and was not used is counted by reason; only packets that are used count.
func TestFiguresOfWhatComes(t *testing.T) {
	x := newTestMux(t, Config{Channels: Channels{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}, {Name: "e"}}})
	good := append(appendHeader(nil, 0), bare(effects, "x")...)
	x.m.Receive(x.now, good)
	x.m.Receive(x.now, good)
	x.wantDrops("the same again", map[DropReason]uint64{DropDuplicate: 1})
	x.m.Receive(x.now, nil)
	x.wantDrops("nothing", map[DropReason]uint64{DropDuplicate: 1, DropMalformed: 1})
	x.number = 1
	x.ack(0, 0)
	x.wantDrops("nothing was sent", map[DropReason]uint64{DropDuplicate: 1, DropMalformed: 1, DropAck: 1})
	x.receive([]byte{frameControl | 33, 1, 0}, []byte{frameControl | controlGivenUp, 0}, []byte{controlPadding, controlPing})
	x.wantDrops("extensions", map[DropReason]uint64{DropDuplicate: 1, DropMalformed: 1, DropAck: 1, DropUnknownFrame: 2})
	if s := x.m.Stats(); s.PacketsIn != 2 || s.BytesIn != uint64(len(good)+3+3+2+2) {
		t.Errorf("%d packets of %d bytes are counted, want 2 of %d", s.PacketsIn, s.BytesIn, len(good)+3+3+2+2)
	}
	x.m.Close(x.now, 0, "")
	x.receive(bare(effects, "y"))
	if n := x.m.Dropped(DropClosed); n != 1 {
		t.Errorf("%d packets after the end are counted, want 1", n)
	}
	if s := x.m.ChannelStats(6); s != (ChannelStats{}) {
		t.Errorf("an unknown channel has the counters %+v, want zero", s)
	}
}

// Free is the largest size of a message now, or -1 if none fits.
func TestFree(t *testing.T) {
	x := newTestMux(t, Config{Channels: Channels{{Name: "up", Direction: ToServer, MaxMessage: 77}, {Name: "down", Direction: ToClient}, {Name: "chat", Mode: ReliableOrdered, MaxMessage: 50, QueueLimit: 100}}})
	want := func(why string, want ...int) {
		t.Helper()
		for ch, n := range want {
			if got := x.m.Free(ID(ch)); got != n {
				t.Errorf("%s: a message of %d bytes is taken on channel %d, want %d", why, got, ch, n)
			}
		}
	}
	want("at first", controlMax, 77, -1, 50, -1)
	x.send(3, strings.Repeat("x", 30), Options{})
	want("there is room for six bytes", controlMax, 77, -1, 6, -1)
	x.send(3, "seven:)"[:6], Options{})
	want("a message has a cost besides its bytes", controlMax, 77, -1, -1, -1)
	peer := *x
	x.m.Close(x.now, 0, "")
	want("closed", -1, -1, -1, -1, -1)
	x = newTestMux(t, Config{Channels: peer.m.Channels()})
	x.receive(appendClose(nil, 0, ""))
	want("the peer has closed", -1, -1, -1, -1, -1)
	if _, err := x.m.Send(x.now, 1, nil, Options{}); err != ErrClosed {
		t.Errorf("Send after the end: %v, want ErrClosed", err)
	}
}

// A ping is sent after three seconds of silence at the client and four at the server, unless the
// program sets another time.
func TestSilenceBeforeAPing(t *testing.T) {
	for want, c := range map[time.Duration]Config{3 * time.Second: {}, 4 * time.Second: {Server: true}, 5 * time.Second: {Server: true, KeepAlive: 5 * time.Second}} {
		now := time.Unix(1000, 0)
		m, err := New(now, c)
		if err != nil {
			t.Fatal(err)
		}
		if d := m.Deadline().Sub(now); d != want {
			t.Errorf("%+v: a ping after %v, want %v", c, d, want)
		}
	}
	x := newTestMux(t, Config{})
	if d := x.m.Deadline(); !d.IsZero() {
		t.Errorf("the deadline is in %v though pings are off", d.Sub(x.now))
	}
}
