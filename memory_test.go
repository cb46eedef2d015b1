package godwit

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A floodingClient is a stranger that writes its packets by hand, and acknowledges nothing.
type floodingClient struct {
	*hostileClient
	number uint32 // of its next packet
}

// packet sends a packet of these frames. docs/PROTOCOL.md, section 3.
func (x *floodingClient) packet(frames ...[]byte) {
	x.links.loop.Lock()
	d := x.links.inbox.Add()
	d.to = x.ours
	b := binary.BigEndian.AppendUint32(append(d.b[:0], 0x13), x.number)
	x.number++
	for _, f := range frames {
		b = append(b, f...)
	}
	d.b, x.came = b, nil
	x.links.loop.Wake()
	x.links.loop.Unlock()
	if x.number%64 == 0 { // a batch
		settle()
	}
}

func varint(b []byte, v int) []byte { return binary.AppendUvarint(b, uint64(v)) }

// fragment is the first piece of a message of total bytes.
func fragment(ch ChannelID, id, total int) []byte {
	b := varint(varint(varint([]byte{0x80 | byte(ch)}, id), 0), total)
	return append(b, make([]byte, min(total, 1024))...)
}

// whole is a message.
func whole(ch ChannelID, id int, s string) []byte {
	return append(varint(varint([]byte{0x40 | byte(ch)}, id), len(s)), s...)
}

// burst sends 60 small packets full of empty messages.
func (x *floodingClient) burst(ch ChannelID) {
	for i := range 60 {
		var frames []byte
		for j := range 100 {
			frames = append(frames, whole(ch, 1+100*i+j, "")...)
		}
		x.packet(frames)
	}
	settle()
}

// fill does all that makes the server's end keep something, on every channel of a
// table.
func (x *floodingClient) fill(table Channels) {
	// Requests that wait for an answer, before anything that is not in order.
	for i := range 64 {
		x.packet(whole(0, 1+i, "\x03\x00\x00\x00"+string(rune(1+i))+"\x01r"))
	}
	settle()
	for i, c := range append(Channels{{Mode: ReliableOrdered, QueueLimit: 256 << 10, MaxMessage: 64 << 10}}, table...) {
		ch, base := ChannelID(i), 65
		if c.Mode < ReliableUnordered {
			for id := range 40 { // sizes that each have a class of buffers to themselves
				x.packet(fragment(ch, base+id, min(c.MaxMessage, 1025<<(id%4))))
			}
			continue
		}
		held, id := 0, base+4095 // a window as wide as may be
		if ch != 0 {
			id = 4095
		}
		for ; held+1025+32 <= max(c.QueueLimit/2, c.QueueLimit-128<<10); held += 1025 + 32 { // the most that rounding adds
			x.packet(fragment(ch, id, 1025))
			id--
		}
		for c.Mode == ReliableUnordered && held+1025+32 <= c.QueueLimit {
			x.packet(fragment(ch, id, 1025))
			held, id = held+1025+32, id-1
		}
		for ; c.Mode == ReliableOrdered && held+32 <= c.QueueLimit && id > base; held += 32 { // the most of them
			x.packet(whole(ch, id, ""))
			id--
		}
	}
	settle()
}

// newFloodingClient opens a session for a floodingClient.
func newFloodingClient(t *testing.T, s *Server, table Channels) *floodingClient {
	x := &floodingClient{hostileClient: newHostileClient(t, s, table)}
	x.packet(whole(0, 0, hello))
	settle()
	return x
}

func levelTwo(limits ...int) Channels {
	table := Channels{
		{Name: "move", Mode: Sequenced, MaxMessage: 8 << 10},
		{Name: "chat", Mode: ReliableOrdered, MaxMessage: 2 << 10},
		{Name: "loot", Mode: ReliableUnordered, MaxMessage: 2 << 10},
	}
	for i := range table {
		table[i].QueueLimit = limits[i]
	}
	return table
}

// The memory of a burst of messages is freed when the burst is over.
func TestBurstIsNotKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		got := 0
		srv, _ := newTestServer(t, func(c *Config) { c.Handler.Message = func(*Conn, ChannelID, []byte) { got++ } })
		newFloodingClient(t, srv, table).burst(move) // what grows once
		x := newFloodingClient(t, srv, table)
		before := testkit.HeapNow()
		got = 0
		x.burst(move)
		if got < 1000 {
			t.Fatalf("%d messages have arrived, want 1000 at least", got)
		}
		x.packet([]byte{1}) // a ping
		settle()
		if grown := testkit.HeapNow() - before; grown > 64<<10 {
			t.Errorf("the heap has grown by %d bytes after %d messages, want at most 64 KiB", grown, got)
		}
		runtime.KeepAlive(x)
	})
}

// Messages that arrive before the opening are limited, also if they are small.
func TestMemoryOfEarlyMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) { c.Limits = Limits{Messages: -1, Bytes: -1} })
		(&floodingClient{hostileClient: newHostileClient(t, srv, table)}).burst(move) // what grows once
		x := &floodingClient{hostileClient: newHostileClient(t, srv, table)}
		before, most := testkit.HeapNow(), 0
		for i := range 600 {
			x.packet(whole(move, 10*i, ""), whole(move, 10*i+1, ""), whole(move, 10*i+2, ""), whole(move, 10*i+3, ""))
			if i%20 == 0 {
				settle()
				most = max(most, testkit.HeapNow()-before)
			}
		}
		if most > 320<<10 {
			t.Errorf("%d bytes of heap, want little more than 256 KiB", most)
		}
		if most < 128<<10 || len(x.server.session.Reason().Text) == 0 {
			t.Errorf("the queues were not full: %d bytes; the end is %v", most, x.server.session.Reason())
		}
	})
}

// A page connects, sends the first piece of the largest message on every channel, and
// disappears. For Grace its session needs little more memory than the bytes that it sent.
func TestMemoryOfInterruptedSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const sessions = 40
		srv, _ := newTestServer(t, func(c *Config) { c.Handler = Handler{} })
		leave := func() *Conn {
			x := newFloodingClient(t, srv, table)
			for i := range srv.config.Channels {
				x.packet(fragment(ChannelID(i+1), 1, srv.maxMessage[i+1]))
			}
			settle()
			x.ours.Close("")
			settle()
			return x.server
		}
		leave() // what grows once
		before, left := testkit.HeapNow(), []*Conn{}
		for range sessions {
			left = append(left, leave())
		}
		each := (testkit.HeapNow() - before) / sessions
		t.Logf("%d bytes of heap each, for %d of pieces", each, 1024*len(table))
		if each > 96<<10 {
			t.Errorf("%d bytes, want at most 96 KiB", each)
		}
		for _, c := range left {
			if !c.interrupted() || c.Stats().Held < 500<<10 {
				t.Fatalf("the session is not interrupted, or holds only %d bytes", c.Stats().Held)
			}
		}
	})
}

// A session whose page fills every buffer needs at most the memory that docs/security.md says.
func TestMemoryOfAFilledSession(t *testing.T) {
	for _, table := range []Channels{levelTwo(64<<10, 1<<20, 1<<20), levelTwo(16<<10, 4<<10, 4<<10), levelTwo(16<<10, 256<<10, 128<<10)} {
		t.Run(fmt.Sprint(table[1].QueueLimit), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				srv, d := newTestServer(t, func(c *Config) {
					c.Channels = table
					c.Handler = Handler{Request: func(_ *Conn, r *Request) { r.Keep(); time.AfterFunc(time.Hour, func() { r.Ack() }) }}
				})
				x := newFloodingClient(t, srv, table)
				x.fill(table) // so that the server has the buffers that it keeps
				x.server.Kick("")
				time.Sleep(time.Minute) // its memory is given back
				x = newFloodingClient(t, srv, table)
				before := testkit.HeapNow()
				x.fill(table)
				x.burst(1)
				for range 9000 { // each is behind a gap, so it is acknowledged at once, and that is remembered
					x.number++
					x.packet([]byte{1})
					settle()
				}
				st := x.server.Stats()
				grown, held := testkit.HeapNow()-before, table.MaxHeld(true)
				t.Logf("%d bytes of heap, %d held of %d; drops %v, %v", grown, st.Held, held, st.Drops, d.Take())
				if limit := 2*held + 3*256<<10 + 1<<20; grown > limit { // three reliable channels
					t.Errorf("%d bytes, want at most %d", grown, limit)
				}
				if st.Held < held*9/10 {
					t.Errorf("the queues were not full: %d bytes held, want %d at least", st.Held, held*9/10)
				}
				x.server.Kick("")
				time.Sleep(time.Minute)
				settle()
				// A session that stayed would keep more than 1 MB. The client, which stays, has
				// grown by up to 60 KB.
				if kept := testkit.HeapNow() - before; kept > 128<<10 {
					t.Errorf("the heap has %d more bytes after the session was kicked, want at most 128 KiB", kept)
				}
				runtime.KeepAlive(x)
			})
		})
	}
}

// A page acknowledges no packet of many small answers, so the server sends them again and again. The
// records of these packets need no more memory than docs/security.md says.
func TestMemoryOfAnswersThatAreNotAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		small := Channels{{Name: "move", Mode: Sequenced, MaxMessage: 1000, QueueLimit: 4 << 10}}
		srv, _ := newTestServer(t, func(c *Config) {
			c.Channels = small
			c.Handler = Handler{Request: func(_ *Conn, r *Request) { r.Ack() }}
		})
		x := newFloodingClient(t, srv, small)
		before := testkit.HeapNow()
		packet := func(b []byte) {
			x.packet(b)
			time.Sleep(5 * time.Millisecond)
			settle()
			x.came = nil
		}
		for i := range 4000 {
			packet(whole(0, i+1, "\x03\x00\x00"+string([]byte{byte(i >> 8), byte(i)})+"\x01r"))
		}
		for range 24_000 { // two minutes
			packet([]byte{1})
		}
		settle()
		st, grown := x.server.Stats(), testkit.HeapNow()-before
		t.Logf("%d bytes of heap, %d queued", grown, st.Queued)
		if limit := 2*small.MaxHeld(true) + 384<<10 + 1<<20; grown > limit { // the control channel is reliable
			t.Errorf("%d bytes, want at most %d", grown, limit)
		}
		if x.server.State() != session.StateOpen || st.Queued < 140_000 || st.Timeouts == 0 {
			t.Errorf("the session is %v, has %d bytes of answers and %d timeouts; want an open one with all answers and probes", x.server.State(), st.Queued, st.Timeouts)
		}
		runtime.KeepAlive(x)
	})
}
