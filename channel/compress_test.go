package channel

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/deflate"
)

const (
	history = ID(1 + iota) // reliable and ordered, with Compress
	finds                  // reliable and unordered, with Compress
	usual                  // without
)

var compressTable = Channels{
	{Name: "history", Mode: ReliableOrdered, Compress: true, MaxMessage: 40_000, QueueLimit: 100_000},
	{Name: "finds", Mode: ReliableUnordered, Compress: true},
	{Name: "other", Mode: ReliableOrdered},
}

// packed returns b as it is sent on a channel with Compress.
func packed(b []byte) []byte {
	p := deflate.TakePacker()
	defer p.Return()
	return bytes.Clone(p.Pack(b))
}

// sendPacked sends b as a session does.
func sendPacked(m *Mux, now time.Time, ch ID, b []byte, o Options) (MessageID, error) {
	if m.Packs(ch, len(b)) {
		return m.SendPacked(now, ch, b, packed(b), o)
	}
	return m.Send(now, ch, b, o)
}

// The first byte of a message says how the rest is to be read, and only on a channel with Compress.
func TestTheFirstByteOfACompressedMessage(t *testing.T) {
	x := newTestMux(t, Config{Channels: compressTable})
	x.send(history, "hello", Options{})
	x.wantPacket("it is sent as it is", "message 1/0 \x00hello")
	zeroes := make([]byte, 600)
	if _, err := x.m.SendPacked(x.now, usual, zeroes, packed(zeroes), Options{}); err != nil {
		t.Fatal(err)
	}
	x.wantPacket("a channel without Compress does not use what is packed", "message 3/0 600 bytes")
	if _, err := x.m.SendPacked(x.now, finds, zeroes, []byte("\x01what DEFLATE made"), Options{}); err != nil {
		t.Fatal(err)
	}
	x.wantPacket("a channel with Compress does", "message 2/0 \x01what DEFLATE made")

	x.receive(whole(history, 0, "\x00hello"), whole(history, 1, "\x00"), whole(history, 2, string(packed(make([]byte, 600)))), whole(usual, 0, "\x00hello"))
	x.wantEvents("all of them arrive", "1 hello", "1 ", "1 600 bytes", "3 \x00hello")
	in, other := x.m.ChannelStats(history), x.m.ChannelStats(usual)
	if in.BytesIn != 605 || in.WireIn >= 100 || in.MessagesIn != 3 || other.BytesIn != 6 || other.WireIn != 6 {
		t.Errorf("bytes of messages and on the wire: %d and %d, without Compress %d and %d, want 605 and few, 6 and 6", in.BytesIn, in.WireIn, other.BytesIn, other.WireIn)
	}
	out, other := x.m.ChannelStats(finds), x.m.ChannelStats(usual)
	if out.BytesOut != 600 || out.WireOut != 18 || other.BytesOut != 600 || other.WireOut != 600 {
		t.Errorf("bytes of messages and on the wire: %d and %d, without Compress %d and %d, want 600 and 18, 600 and 600", out.BytesOut, out.WireOut, other.BytesOut, other.WireOut)
	}
}

// Messages that are too short, too long or on another channel are not packed.
func TestWhatIsPacked(t *testing.T) {
	m := newTestMux(t, Config{Channels: compressTable}).m
	for _, c := range []struct {
		ch   ID
		n    int
		want bool
	}{
		{history, 511, false}, {history, 512, true}, {history, 40_000, true}, {history, 40_001, false}, {usual, 600, false},
		{Control, 600, false}, {usual + 1, 600, false},
	} {
		if got := m.Packs(c.ch, c.n); got != c.want {
			t.Errorf("%d bytes on channel %d: Packs is %v, want %v", c.n, c.ch, got, c.want)
		}
	}
}

// After a message that cannot be read, the channel delivers nothing: it would come out of order.
func TestAMessageThatCannotBeInflated(t *testing.T) {
	good := string(packed(make([]byte, 40_000)))
	for name, message := range map[string]string{
		"nothing":                    "",
		"a first byte of no meaning": "\x02hello",
		"no meaning before DEFLATE":  "\x02" + good[1:],
		"no DEFLATE":                 "\x01hello",
		"nothing deflated":           "\x01",
		"half of a message":          good[:len(good)/2],
		"bytes behind the end":       good + "x",
		"more than MaxMessage":       string(packed(make([]byte, 40_001))),
	} {
		t.Run(name, func(t *testing.T) {
			x := newTestMux(t, Config{Channels: compressTable})
			x.receive(whole(history, 0, good), whole(history, 1, message), whole(history, 2, "\x00later"), whole(usual, 0, "other"))
			x.wantEvents("those before, and those of other channels", "1 40000 bytes", "3 other")
			x.receive(whole(history, 3, "\x02even later"), whole(usual, 1, "another"))
			x.wantEvents("on the other channel", "3 another")
			if n := x.m.Dropped(DropInflate); n != 1 {
				t.Errorf("%d messages are counted as dropped, want 1", n)
			}
			if st := x.m.ChannelStats(history); st.MessagesIn != 1 {
				t.Errorf("%d messages are counted, want 1", st.MessagesIn)
			}
		})
	}
}

// What has arrived on a channel that is closed since is not read: it ends nothing.
func TestAMessageOfAClosedChannelIsNotInflated(t *testing.T) {
	x := newTestMux(t, Config{Channels: compressTable})
	x.receive(whole(history, 0, "\x02hello"))
	x.m.StopReceiving(history)
	x.wantEvents("nothing")
	if n := x.m.Dropped(DropInflate); n != 0 {
		t.Errorf("%d messages are counted as dropped", n)
	}
}

// What waited for a missing message is inflated bit by bit: a few bytes of each message may stand for
// MaxMessage. The events behind it wait too, in order, and do not depend on the datagram any more.
func TestMessagesThatWaitedAreInflatedBitByBit(t *testing.T) {
	const n = 200
	hold := func(t *testing.T) *testMux {
		x := newTestMux(t, Config{Channels: compressTable})
		for i := n; i >= 0; i-- {
			x.receive(whole(history, uint64(i), string(packed(make([]byte, 40_000-i)))))
		}
		return x
	}
	t.Run("all arrive", func(t *testing.T) {
		x := hold(t)
		last := append(appendHeader(nil, x.number), whole(usual, 0, "behind")...)
		x.m.Receive(x.now, last)
		next := 0
		for {
			evs := x.m.Events(nil)
			clear(last)
			bytes := 0
			for _, ev := range evs {
				want := 40_000 - next
				if next > n {
					want = len("behind")
				}
				if len(ev.Payload) != want {
					t.Fatalf("message %d has %d bytes, want %d", next, len(ev.Payload), want)
				}
				if bytes += want; next > n && string(ev.Payload) != "behind" {
					t.Errorf("the message behind them is %q", ev.Payload)
				}
				next++
			}
			if bytes > maxUnpacked+40_000 {
				t.Fatalf("%d bytes at once, want at most %d", bytes, maxUnpacked+40_000)
			}
			x.m.Release(evs)
			if !x.m.More() {
				break
			}
			if d := x.m.Deadline(); d.IsZero() || d.After(x.now) {
				t.Fatalf("the deadline is %v, want at once", d)
			}
		}
		if st := x.m.ChannelStats(history); next != n+2 || st.MessagesIn != n+1 {
			t.Errorf("%d messages, and %d are counted, want %d and %d", next, st.MessagesIn, n+2, n+1)
		}
	})
	for name, end := range map[string]func(x *testMux){
		"the program closes the link": func(x *testMux) { x.m.Close(x.now, 1, "") },
		"both do":                     func(x *testMux) { x.receive(appendClose(nil, 1, "")); x.m.Close(x.now, 1, "") },
	} {
		t.Run(name, func(t *testing.T) {
			x := hold(t)
			end(x)
			evs := x.m.Events(nil)
			if st := x.m.ChannelStats(history); st.BytesIn > 0 || x.m.More() {
				t.Errorf("%d bytes were inflated, and more waits is %v, want none", st.BytesIn, x.m.More())
			}
			for _, ev := range evs {
				if ev.Type == EventMessage {
					t.Fatal("a message arrives")
				}
			}
		})
	}
}

// A message of MaxMessage arrives, whether it gets smaller or not, and there is room for it in an
// empty queue.
func TestTheLargestCompressedMessage(t *testing.T) {
	tight := Channels{{Name: "tight", Mode: ReliableOrdered, Compress: true, MaxMessage: 3000, QueueLimit: 3033}}
	if err := tight.Validate(); err != nil {
		t.Fatal(err)
	}
	narrower := Channels{tight[0]}
	narrower[0].QueueLimit--
	if err := narrower.Validate(); err == nil {
		t.Error("a QueueLimit with no room for MaxMessage and the byte before it is valid")
	}
	largest := Channels{{Name: "largest", Mode: ReliableOrdered, Compress: true, MaxMessage: 8<<20 - 1}}
	if err := largest.Validate(); err != nil {
		t.Error(err)
	}
	largest[0].MaxMessage++
	if err := largest.Validate(); err == nil {
		t.Error("a MaxMessage of 8 MiB with Compress is valid: a packet cannot say the length")
	}

	x := newTestMux(t, Config{Channels: tight})
	if n := x.m.Free(1); n != 3000 {
		t.Errorf("an empty queue has room for a message of %d bytes, want 3000", n)
	}
	if _, err := x.m.Send(x.now, 1, make([]byte, 3001), Options{}); err != ErrTooLarge {
		t.Errorf("3001 bytes: %v, want ErrTooLarge", err)
	}
	if _, err := x.m.SendPacked(x.now, 1, make([]byte, 3001), []byte("\x01x"), Options{}); err != ErrTooLarge {
		t.Errorf("3001 bytes that get small: %v, want ErrTooLarge", err)
	}
	x.send(1, strings.Repeat("x", 3000), Options{})
	if n := x.m.Free(1); n != -1 {
		t.Errorf("the queue has room for a message of %d bytes more, want -1", n)
	}
	if _, err := x.m.Send(x.now, 1, nil, Options{}); err != ErrBudget {
		t.Errorf("one message more: %v, want ErrBudget", err)
	}
	x.m.Append(x.now, nil, MaxPacket)
	x.m.Append(x.now, nil, MaxPacket)
	x.wait(20 * time.Millisecond)
	x.m.Append(x.now, nil, MaxPacket)
	x.ack(0, 2)
	if evs := x.m.Events(nil); len(evs) != 1 || evs[0].Type != EventRoom {
		t.Errorf("the events are %+v, want EventRoom", evs)
	}
}

// A shared payload is used as it is if it is packed, and is given back in every case.
func TestSharedPayloadsOfCompressedMessages(t *testing.T) {
	for _, c := range []struct {
		name   string
		ch     ID
		packed []byte
		want   string
		done   int // when the message has not left yet
	}{
		{"packed", history, []byte("\x01small"), "message 1/0 \x01small", 0},
		{"not packed", history, nil, "message 1/0 \x00large", 1},
		{"on a channel without", usual, []byte("\x01small"), "message 3/0 large", 0},
	} {
		x := newTestMux(t, Config{Channels: compressTable})
		done := 0
		p := &Shared{B: []byte("large"), Packed: c.packed, Done: func() { done++ }}
		if _, err := x.m.SendShared(x.now, c.ch, p, Options{}); err != nil || done != c.done {
			t.Errorf("%s: %v, and the payload was given back %d times, want %d", c.name, err, done, c.done)
		}
		x.wantPacket(c.name, c.want)
		x.ack(0, 0)
		if done != 1 {
			t.Errorf("%s: the payload was given back %d times, want once", c.name, done)
		}
	}
	x := newTestMux(t, Config{Channels: compressTable})
	if _, err := x.m.SendShared(x.now, history, &Shared{B: []byte("no Done")}, Options{}); err != nil {
		t.Error(err)
	}
}

// A newer message with the same key takes the place of one that waits, with its own length.
func TestAReplacedCompressedMessage(t *testing.T) {
	x := newTestMux(t, Config{Channels: compressTable})
	for _, n := range []int{700, 900} {
		if _, err := sendPacked(x.m, x.now, history, make([]byte, n), Options{Key: 1}); err != nil {
			t.Fatal(err)
		}
	}
	x.m.Append(x.now, nil, MaxPacket)
	if st := x.m.ChannelStats(history); st.MessagesOut != 1 || st.BytesOut != 900 || st.Replaced != 1 {
		t.Errorf("%d messages of %d bytes left and %d were replaced, want 1 of 900 and 1", st.MessagesOut, st.BytesOut, st.Replaced)
	}
}

// Over a bad link that changes, messages of all sizes arrive exactly once, unchanged, and in order
// where the channel promises it. Receipts come for all of them.
func TestCompressedMessagesOverABadLink(t *testing.T) {
	now := time.Unix(1000, 0)
	var ends [2]*Mux
	for i := range ends {
		m, err := New(now, Config{Channels: compressTable, Server: i == 0})
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = m
	}
	random := rand.New(rand.NewPCG(7, 8))
	message := func(n int) []byte {
		b := fmt.Appendf(nil, "%06d ", n)
		size := []int{0, 100, 504, 505, 3000, 20_000}[random.IntN(6)]
		kind := random.IntN(3)
		for len(b) < size {
			switch kind {
			case 0:
				b = append(b, byte(random.Uint32()))
			case 1:
				b = append(b, "the same words again, "...)
			default:
				b = append(b, byte('a'+random.IntN(8)))
			}
		}
		return b
	}
	const each = 150
	sent := map[ID][][]byte{}
	got := map[ID]map[string]int{history: {}, finds: {}}
	receipts := 0
	for step := range 40_000 {
		now = now.Add(5 * time.Millisecond)
		for _, ch := range []ID{history, finds} {
			if len(sent[ch]) < each && ends[0].Free(ch) >= 20_010 {
				b := message(len(sent[ch]))
				if _, err := sendPacked(ends[0], now, ch, b, Options{Receipt: true}); err != nil {
					t.Fatal(err)
				}
				sent[ch] = append(sent[ch], b)
			}
		}
		for i, m := range ends {
			m.Advance(now)
			for b := m.Append(now, nil, MaxPacket); len(b) > 0; b = m.Append(now, nil, MaxPacket) {
				for n := random.IntN(10); n > 1; n -= 6 { // lost, or twice
					ends[1-i].Receive(now, b)
					evs := ends[1-i].Events(nil)
					for _, ev := range evs {
						if ev.Type == EventReceipt {
							receipts++
						}
						if ev.Type != EventMessage {
							continue
						}
						if ch := ev.Channel; ch == history && !bytes.Equal(ev.Payload, sent[ch][len(got[ch])]) {
							t.Fatalf("message %d of the ordered channel is %.10q", len(got[ch]), ev.Payload)
						}
						got[ev.Channel][string(ev.Payload)]++
					}
					ends[1-i].Release(evs)
				}
			}
		}
		if step%300 == 299 {
			for _, m := range ends {
				m.Relink(now, false, 0)
			}
		}
		if len(got[history]) == each && len(got[finds]) == each && ends[0].Idle() {
			break
		}
	}
	for ch, all := range sent {
		for n, b := range all {
			if got[ch][string(b)] != 1 {
				t.Fatalf("message %d of channel %d has arrived %d times, want once", n, ch, got[ch][string(b)])
			}
		}
		a, b := ends[0].ChannelStats(ch), ends[1].ChannelStats(ch)
		if a.BytesOut != b.BytesIn || a.WireOut != b.WireIn || a.WireOut >= a.BytesOut {
			t.Errorf("channel %d: %d bytes as %d are sent, and %d as %d are received: want the same, and fewer on the wire", ch, a.BytesOut, a.WireOut, b.BytesIn, b.WireIn)
		}
	}
	if receipts != 2*each {
		t.Errorf("%d receipts, want %d", receipts, 2*each)
	}
	if n := ends[0].Stats().Drops; n[DropInflate]+n[DropTooLarge]+n[DropRefused] > 0 {
		t.Errorf("drops: %v", n)
	}
}

// FuzzUnpack gives a channel with Compress any message, in one packet and in several.
func FuzzUnpack(f *testing.F) {
	for _, b := range [][]byte{nil, {0}, {1}, {2}, packed(make([]byte, 5000)), packed([]byte("hello"))} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := New(time.Unix(0, 0), Config{Channels: compressTable, Server: true})
		if err != nil {
			t.Fatal(err)
		}
		r := m.receivers[history]
		payload := append(m.pool.get(len(b))[:0], b...)
		m.deliver(r, payload, true)
		evs := m.Events(nil)
		if len(evs) == 0 != r.broken || r.broken && m.Dropped(DropInflate) != 1 {
			t.Fatalf("%d events, broken is %v", len(evs), r.broken)
		}
		for _, ev := range evs {
			if len(ev.Payload) > max(r.cfg.MaxMessage, len(b)-1) {
				t.Fatalf("%d bytes, want at most MaxMessage", len(ev.Payload))
			}
			if b[0] == deflate.AsIs && !bytes.Equal(ev.Payload, b[1:]) {
				t.Fatal("the bytes have changed")
			}
		}
		m.Release(evs)
	})
}
