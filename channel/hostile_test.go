package channel

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// TestHostilePeerMemory floods an engine with beginnings of messages, numbers far
// ahead and acknowledgements full of gaps. What it holds stays under the table's
// cap, and so does the heap.
func TestHostilePeerMemory(t *testing.T) {
	table := append(Channels(nil), testTable...)
	table[bulk-1].QueueLimit = 0
	x := newTestMux(t, Config{Channels: table, Server: true})
	limit := table.MaxHeld(true)
	rng := rand.New(rand.NewPCG(9, 9))
	body := make([]byte, maxMessage)
	before := testkit.HeapNow()
	for i := range 200_000 {
		ch := ID(rng.IntN(6))
		max := x.m.receivers[ch].cfg.MaxMessage
		size := min(max, pieceSize+1+rng.IntN(max))
		id := uint64(rng.IntN(6000))
		var frame []byte
		switch rng.IntN(4) {
		case 0:
			frame = whole(ch, id, string(body[:rng.IntN(1000)]))
		default:
			frame = appendPiece(nil, ch, false, id, body[:size], rng.IntN(pieces(size)))
		}
		if x.m.receivers[ch].cfg.Mode == Unreliable && frame[0]&frameKind == frameMessage {
			frame[0] = frameFragment | byte(ch) // malformed, or not
		}
		if rng.IntN(50) == 0 {
			x.number += uint64(rng.IntN(5000))
		}
		x.receive(frame)
		x.m.Release(x.m.Events(nil))
		x.m.Append(x.now, nil, MaxPacket)
		x.now = x.now.Add(time.Duration(rng.IntN(3)) * time.Millisecond)
		x.m.Advance(x.now)
		if held := x.m.Stats().Held; held > limit {
			t.Fatalf("packet %d: %d bytes are held, want at most %d", i, held, limit)
		}
	}
	x.m.check(t)
	grown := testkit.HeapNow() - before
	// Buffers are powers of two, and the pool keeps some; see MaxHeld.
	if most := 2*limit + maxPooled + 1<<20; grown > most {
		t.Errorf("the heap has grown by %d bytes, want at most %d", grown, most)
	}
	s := x.m.Stats()
	t.Logf("holds %d of %d bytes, heap grew by %d; drops %v", s.Held, limit, grown, s.Drops)
	for _, d := range []DropReason{DropRefused, DropWindow, DropBudget, DropEvicted, DropMismatch} {
		if s.Drops[d] == 0 {
			t.Errorf("no packet is dropped for %v", d)
		}
	}
	runtime.KeepAlive(x)
	runtime.KeepAlive(body)
}

// Small messages that wait for the first one cost more than their bytes. Empty messages cost
// most: 4095 of them fill a QueueLimit of 128 KiB.
func TestManySmallMessagesTakeNoMoreThanMaxHeldSays(t *testing.T) {
	const channels = 4
	for _, size := range []int{0, 1, 33} {
		table := make(Channels, channels)
		for i := range table {
			table[i] = Channel{Name: string(rune('a' + i)), Mode: ReliableOrdered, MaxMessage: 1024, QueueLimit: 128 << 10}
		}
		x := newTestMux(t, Config{Channels: table, Server: true})
		body := string(make([]byte, size))
		before := testkit.HeapNow()
		for ch := range ID(channels) {
			for id := uint64(1); id < sendWindow; id++ {
				x.receive(whole(ch+1, id, body))
				x.m.Release(x.m.Events(nil))
				x.m.Append(x.now, nil, MaxPacket)
			}
		}
		grown, held := testkit.HeapNow()-before, x.m.Stats().Held
		if limit := channels*(2*128<<10+384<<10) + 64<<10; grown > limit || held < channels*127<<10 { // 64 KiB for the rest of the Mux
			t.Errorf("messages of %d bytes: %d bytes of heap for %d held, want at most %d", size, grown, held, limit)
		}
		runtime.KeepAlive(x)
	}
}

// When one end closes a Mux, the Mux keeps only delivered messages, however many messages both
// ends have begun.
func TestClosedMuxKeepsNothing(t *testing.T) {
	body := bytes.Repeat([]byte("delivered"), 200)
	for _, c := range []struct {
		name  string
		close func(x *testMux)
		event []string
	}{
		{"we close", func(x *testMux) { x.m.Close(x.now, 1, "kicked") }, nil},
		{"the peer closes", func(x *testMux) { x.receive(appendClose(nil, 1, "bye")) }, []string{"closed 1 bye"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := testkit.HeapNow()
			x := newTestMux(t, Config{Server: true, Ceiling: -1, Rate: 1 << 30})
			x.send(loot, "lost with its link", Options{})
			x.m.Append(x.now, nil, MaxPacket)
			for id := range uint64(1000) {
				for ch := effects; ch <= bulk; ch++ {
					most := x.m.receivers[ch].cfg.MaxMessage
					x.receive(appendPiece(nil, ch, false, id+10, make([]byte, min(most, 3000)), 0))
					x.m.Send(x.now, ch, make([]byte, min(most, 3000)), Options{Key: id + 1})
				}
				x.m.Append(x.now, nil, MaxPacket)
			}
			x.m.Events(nil)
			for i := range pieces(len(body)) {
				x.receive(appendPiece(nil, loot, false, 0, body, i))
			}
			if s := x.m.Stats(); s.Held < 1<<20 || s.Queued < 1<<20 {
				t.Fatalf("%d bytes are held and %d are queued, want a megabyte of each at least", s.Held, s.Queued)
			}
			x.m.Relink(x.now, false, 0)
			x.number = 0
			if x.m.senders[loot].lost == 0 {
				t.Fatal("no message is to be sent again")
			}
			c.close(x)
			if s := x.m.Stats(); s.Held != 0 || s.Queued != 0 {
				t.Errorf("after the end %d bytes are held and %d are queued, want 0", s.Held, s.Queued)
			}
			x.m.check(t)
			if grown := testkit.HeapNow() - before; grown > 64<<10 {
				t.Errorf("the heap has grown by %d bytes, want at most 64 KiB", grown)
			}
			evs := x.m.Events(nil)
			if len(evs) == 0 || !bytes.Equal(evs[0].Payload, body) {
				t.Error("the payload that was delivered before the end has changed")
			}
			x.m.Release(evs[:1])
			if len(evs) != 1+len(c.event) {
				t.Errorf("%d events, want %d", len(evs), 1+len(c.event))
			}
			if grown := testkit.HeapNow() - before; grown > 64<<10 {
				t.Errorf("the heap has grown by %d bytes after the payload was released, want at most 64 KiB", grown)
			}
			runtime.KeepAlive(x)
		})
	}
}

// A full queue of messages leaves little memory in use after they have arrived.
func TestBurstIsNotKept(t *testing.T) {
	for _, ch := range []ID{effects, loot, chat} {
		t.Run(testTable.Name(ch), func(t *testing.T) {
			p := newPair(t)
			p.exchange(t, ch, nil, Options{})
			before, sent := testkit.HeapNow(), 0
			for p.a.Free(ch) >= 0 && sent < 40_000 {
				if _, err := p.a.Send(p.now, ch, nil, Options{Receipt: true}); err != nil {
					t.Fatal(err)
				}
				sent++
			}
			most := testkit.HeapNow() - before
			for range 1000 {
				p.now = p.now.Add(16 * time.Millisecond)
				for _, m := range []*Mux{p.a, p.b} {
					m.Advance(p.now)
				}
				p.move(p.a, p.b)
				p.move(p.b, p.a)
			}
			p.events = nil
			kept := testkit.HeapNow() - before
			t.Logf("%d messages took %d bytes of heap, and %d are left", sent, most, kept)
			if !p.a.Idle() || p.got < sent {
				t.Errorf("%d events, want at least %d", p.got, sent)
			}
			if bound := maxPooled + 256<<10; most < 2*bound || kept > bound {
				t.Errorf("%d bytes are left of %d, want at most %d", kept, most, bound)
			}
			p.a.check(t)
			p.b.check(t)
			runtime.KeepAlive(p)
		})
	}
}

// TestHostileAcks acknowledges random numbers, sent and unsent.
func TestHostileAcks(t *testing.T) {
	x := newTestMux(t, Config{})
	rng := rand.New(rand.NewPCG(3, 3))
	for range 20_000 {
		for ch := effects; ch <= bulk; ch++ {
			x.m.Send(x.now, ch, make([]byte, rng.IntN(3000)), Options{Receipt: true})
		}
		for range 3 {
			x.m.Append(x.now, nil, MaxPacket)
		}
		a := ackBlock{largest: uint16(x.m.flight.next - 1 - uint64(rng.IntN(20))), first: uint64(rng.IntN(10)), ranges: rng.IntN(maxRanges)}
		for i := range a.rest {
			a.rest[i] = ackRange{uint64(rng.IntN(30)), uint64(rng.IntN(5))}
		}
		b := appendHeader(nil, x.number)
		b, flags := a.append(b, MaxPacket)
		b[0] |= flags
		x.m.Receive(x.now, b)
		x.number++
		x.m.Events(nil)
		x.now = x.now.Add(time.Duration(rng.IntN(20)) * time.Millisecond)
		x.m.Advance(x.now)
	}
	x.m.check(t)
}

func TestOverflowOfPacketsRemembered(t *testing.T) {
	x := newTestMux(t, Config{Rate: 1 << 30, Ceiling: -1, RTT: 10 * time.Second})
	for i := range 3 * maxFlight {
		x.send(loot, "", Options{})
		x.m.Append(x.now, nil, MaxPacket)
		x.wait(time.Microsecond)
		if i%1000 == 999 {
			x.ack(x.m.flight.next-500, x.m.flight.next-1)
		}
	}
	if n := len(x.m.flight.ring); n > maxFlight {
		t.Errorf("%d packets are stored, want at most %d", n, maxFlight)
	}
	x.m.check(t)
}

// The records of packets have room for a limited number of references, however small the messages
// are and however often they are sent again. They keep half of it at most when all is acknowledged.
func TestReferencesAreLimited(t *testing.T) {
	var table Channels
	for i := range 8 {
		table = append(table, Channel{Name: fmt.Sprint(i), Mode: ReliableUnordered})
	}
	x := newTestMux(t, Config{Channels: table, Rate: 1 << 30, Ceiling: -1, RTT: 100 * ms})
	packets := func() (n int) {
		for len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
			n++
		}
		return n
	}
	for i := range 3 * maxRefs {
		x.m.Send(x.now, ID(1+i%len(table)), nil, Options{})
		if x.now = x.now.Add(time.Microsecond); i%100 == 0 {
			packets()
		}
	}
	x.m.check(t)
	if f := &x.m.flight; f.refs < maxRefs || f.count == 0 {
		t.Fatalf("there is room for %d references, want %d at least; %d packets fly", f.refs, maxRefs, f.count)
	}
	lost := x.m.Stats().PacketsLost
	if n := packets(); n > 0 || x.m.Stats().PacketsLost > lost {
		t.Errorf("%d packets leave, %d are lost; want none until one is acknowledged", n, x.m.Stats().PacketsLost-lost)
	}
	for range 2000 { // the peer is there, but acknowledges nothing
		x.receive([]byte{controlPing})
		x.wait(100 * ms)
		packets()
	}
	x.m.check(t)
	if x.m.Stats().Timeouts == 0 || x.m.Stats().PacketsLost == lost {
		t.Errorf("%+v, want probes that take the place of other packets", x.m.Stats())
	}
	for n := 0; x.m.Stats().Queued > 0; n++ {
		if n == 1000 {
			t.Fatalf("%d bytes are queued though the peer acknowledges all packets", x.m.Stats().Queued)
		}
		x.ack(x.m.flight.base, x.m.flight.next-1)
		x.now = x.now.Add(10 * ms)
		x.m.Advance(x.now)
		packets()
	}
	if f := &x.m.flight; f.refs > keptRefs {
		t.Errorf("there is room for %d references, want %d at most", f.refs, keptRefs)
	}
}

// Content waits from maxRefs references on, and a record keeps its room up to keptRefs.
func TestReferencesAtTheirLimits(t *testing.T) {
	x := newTestMux(t, Config{})
	f := &x.m.flight
	sent := func(refs int) bool {
		before := f.refs
		f.refs = refs
		x.send(loot, "x", Options{})
		n := len(x.m.Append(x.now, nil, MaxPacket))
		f.refs += before - refs
		x.now = x.now.Add(time.Millisecond)
		return n > 0
	}
	if !sent(maxRefs-1) || sent(maxRefs) || !sent(maxRefs-1) {
		t.Errorf("content does not wait from %d references on, or is stuck", maxRefs)
	}
	p := sentPacket{refs: make([]pieceRef, 1, 4)}
	f.refs = keptRefs
	if f.release(&p); f.refs != keptRefs || len(p.refs) != 0 || cap(p.refs) != 4 {
		t.Errorf("%d references, want %d; the record has room for %d, want 4", f.refs, keptRefs, cap(p.refs))
	}
	f.refs++
	if f.release(&p); f.refs != keptRefs-3 || p.refs != nil {
		t.Errorf("%d references, want %d; the record has room for %d, want none", f.refs, keptRefs-3, cap(p.refs))
	}
}

// After a packet with a close frame and a refused frame there is nothing to send, so there is no
// deadline.
func TestCloseBesideARefusedFrame(t *testing.T) {
	x := newTestMux(t, Config{Server: true})
	x.receive(whole(63, 0, "no such channel"), appendClose(nil, 1, "bye"))
	x.wantEvents("the peer is gone", "closed 1 bye")
	x.wantIdle("its packet is not acknowledged")
	if at := x.m.Deadline(); !at.IsZero() {
		t.Errorf("the deadline is in %v, want none", at.Sub(x.now))
	}
}

// Whatever arrives and whatever the program does: when everything that may be sent is sent, the
// deadline is in the future. Otherwise the loop above would never wait.
func TestDeadlineIsAhead(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 5))
		x := newTestMux(t, Config{Server: seed%2 == 0, KeepAlive: time.Second, Rate: 20_000})
		body := make([]byte, 3000)
		for step := range 300 {
			var frames [][]byte
			for range rng.IntN(4) {
				ch, id := ID(rng.IntN(8)), uint64(rng.IntN(5000))
				switch rng.IntN(40) {
				case 0:
					if rng.IntN(20) == 0 {
						frames = append(frames, appendClose(nil, 1, "bye"))
					}
				case 1, 2, 3, 4:
					frames = append(frames, bare(ch, "x"))
				case 5, 6, 7, 8:
					frames = append(frames, []byte{controlPadding})
				case 9, 10, 11, 12:
					frames = append(frames, []byte{controlPing})
				case 13, 14, 15, 16:
					frames = append(frames, appendPiece(nil, ch, false, id, body, rng.IntN(3)))
				default:
					frames = append(frames, whole(ch, id, "x"))
				}
			}
			x.number += uint64(max(0, rng.IntN(8)-5))
			if last := x.m.flight.next; last > 0 && rng.IntN(2) == 0 {
				high := last - 1 - min(last-1, uint64(rng.IntN(4)))
				x.m.Receive(x.now, append(x.ackPacket(high-min(high, uint64(rng.IntN(3))), high), bytes.Join(frames, nil)...))
				x.number++
			} else if len(frames) > 0 {
				x.receive(frames...)
			}
			switch rng.IntN(60) {
			case 0:
				x.m.Relink(x.now, rng.IntN(8) == 0, 0)
				x.number = 0
			case 1:
				if step > 100 {
					x.m.Close(x.now, 2, "enough")
				}
			default:
				x.m.Send(x.now, ID(rng.IntN(6)), body[:rng.IntN(len(body))], Options{
					Receipt: rng.IntN(2) == 0, Key: uint64(rng.IntN(3)), Deadline: x.now.Add(time.Duration(rng.IntN(100)-10) * time.Millisecond),
				})
			}
			x.m.Advance(x.now)
			for len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
			}
			x.m.Release(x.m.Events(nil))
			at := x.m.Deadline()
			if !at.IsZero() && !at.After(x.now) {
				t.Fatalf("seed %d, step %d: the deadline is in %v, want later than now", seed, step, at.Sub(x.now))
			}
			if !at.IsZero() && rng.IntN(2) == 0 {
				x.now = at
			} else {
				x.now = x.now.Add(time.Duration(rng.IntN(50)) * time.Millisecond)
			}
		}
		x.m.check(t)
	}
}
