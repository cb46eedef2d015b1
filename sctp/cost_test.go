package sctp

import (
	"encoding/binary"
	"testing"
	"time"
	"unsafe"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// retag sets the TSN of a DATA packet.
func retag(b []byte, tsn uint32) {
	binary.BigEndian.PutUint32(b[headerLen+chunkHeaderLen:], tsn)
	finishPacket(b, 0)
}

func TestReceiveDoesNotAllocate(t *testing.T) {
	for _, mode := range []AckMode{AckAuto, AckHonest, AckEager} {
		a := newTestAssoc(t, func(c *Config) { c.Ack = mode })
		a.use()
		in := packet(ourTag, dataChunk(0, 1, ppidText, "a message of some length"))
		events, out := make([]Event, 0, 8), make([]byte, 0, 2000)
		tsn := uint32(2)
		step := func(gap uint32) {
			retag(in, tsn)
			tsn += gap
			events = a.Receive(a.now, in, events[:0])
			a.Flush(a.now)
			out = a.Append(a.now, out[:0])
			a.now = a.now.Add(time.Millisecond)
		}
		for range 100 { // the first loss allocates the bitmap and the list of duplicates
			step(2)
		}
		if n := testing.AllocsPerRun(1000, func() { step(1) }); n != 0 {
			t.Errorf("%v: %v allocations for a message, want 0", mode, n)
		}
		if mode == AckHonest {
			continue // with a gap that is never filled, TSNs reach the end of the window
		}
		if n := testing.AllocsPerRun(1000, func() { step(2) }); n != 0 {
			t.Errorf("%v: %v allocations for a message after a loss, want 0", mode, n)
		}
		if len(events) != 1 {
			t.Errorf("%v: %d messages are delivered, want 1", mode, len(events))
		}
	}
}

func TestAppendMessageDoesNotAllocate(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	payload, out := make([]byte, 200), make([]byte, 0, 2000)
	in, events := packet(ourTag, dataChunk(0, 1, ppidText, "x")), make([]Event, 0, 8)
	ack := packet(ourTag, sack(0))
	tsn := uint32(2)
	step := func() {
		retag(in, tsn)
		tsn++
		events = a.Receive(a.now, in, events[:0])
		out, _ = a.AppendMessage(a.now, out[:0], 1, Binary, payload)
		a.now = a.now.Add(16 * time.Millisecond)
		if tsn%4 == 0 {
			binary.BigEndian.PutUint32(ack[headerLen+chunkHeaderLen:], a.nextTSN-3)
			finishPacket(ack, 0)
			events = a.Receive(a.now, ack, events[:0])
		}
		a.events = a.Advance(a.now, a.events[:0])
		out = a.Append(a.now, out[:0])
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations for a message, want 0", n)
	}
	if a.Stats().Drops[dropSack] != 0 || a.marks.n > 8 {
		t.Errorf("the SACKs are not accepted, or too many marks are stored: %+v", a.Stats())
	}
}

// The size of an established association with one channel, without and with a loss.
func TestIdleAssociationIsSmall(t *testing.T) {
	const most = 1536
	t.Logf("Assoc is %d bytes, Event %d", unsafe.Sizeof(Assoc{}), unsafe.Sizeof(Event{}))
	all := make([]*Assoc, 2000)
	for _, lossy := range []bool{false, true} {
		before := testkit.HeapNow()
		for i := range all {
			a := newTestAssoc(t)
			a.write(unreliableOpen(1, 1, "c"))
			a.send(1, Text, "x")
			a.drain()
			a.ackAll()
			if lossy {
				a.pass(settleTime)
				a.write(dataChunk(3, 1, ppidText, "x"))
				a.pass(time.Second)
				a.drain()
			}
			all[i] = a.Assoc
		}
		size := (testkit.HeapNow() - before) / len(all)
		t.Logf("with a loss %v: %d bytes each", lossy, size)
		if size > most {
			t.Errorf("with a loss %v: %d bytes, want at most %d", lossy, size, most)
		}
		clear(all)
	}
}

func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{100, 1000} {
		b.Run(map[int]string{100: "100B", 1000: "1000B"}[size], func(b *testing.B) {
			a := benchAssoc()
			now := time.Unix(1, 0)
			in := packet(ourTag, dataChunk(0, 1, ppidBinary, string(make([]byte, size))))
			events, out := make([]Event, 0, 8), make([]byte, 0, 2000)
			tsn := uint32(peerTSN)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				retag(in, tsn)
				tsn++
				events = a.Receive(now, in, events[:0])
				a.Flush(now)
				out = a.Append(now, out[:0])
			}
		})
	}
}

func BenchmarkAppendMessage(b *testing.B) {
	for _, size := range []int{100, 1000} {
		b.Run(map[int]string{100: "100B", 1000: "1000B"}[size], func(b *testing.B) {
			a := benchAssoc()
			now := time.Unix(1, 0)
			payload, out := make([]byte, size), make([]byte, 0, 2000)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				out, _ = a.AppendMessage(now, out[:0], 1, Binary, payload)
			}
		})
	}
}

// benchAssoc returns an association that is established without a handshake.
func benchAssoc() *Assoc {
	a := New(Config{LocalTag: ourTag, InitialTSN: ourTSN, Ack: AckEager})
	a.peer = endpoint{tag: peerTag, tsn: peerTSN, in: 0xffff}
	a.establish(a.since(time.Unix(1, 0)), nil)
	return a
}
