package channel

import (
	"testing"
	"time"
)

// A pair is two Muxes on a perfect link without delay.
type pair struct {
	now    time.Time
	a, b   *Mux
	buf    []byte
	events []Event
	got    int
}

func newPair(t testing.TB) *pair {
	p := &pair{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), buf: make([]byte, 0, MaxPacket)}
	config := Config{Channels: testTable, Rate: 1 << 30, Ceiling: -1, RTT: time.Millisecond}
	var err error
	if p.a, err = New(p.now, config); err != nil {
		t.Fatal(err)
	}
	config.Server = true
	if p.b, err = New(p.now, config); err != nil {
		t.Fatal(err)
	}
	return p
}

// move passes all packets of one Mux to the other.
func (p *pair) move(from, to *Mux) {
	for {
		b := from.Append(p.now, p.buf[:0], MaxPacket)
		if len(b) == 0 {
			break
		}
		to.Receive(p.now, b)
		p.take(to)
	}
	p.take(from)
}

func (p *pair) take(m *Mux) {
	p.events = m.Events(p.events[:0])
	p.got += len(p.events)
	m.Release(p.events)
}

// exchange sends one message each way and advances the time by a frame of 16 ms.
func (p *pair) exchange(t testing.TB, ch ID, b []byte, o Options) {
	p.now = p.now.Add(16 * time.Millisecond)
	for _, m := range []*Mux{p.a, p.b} {
		m.Advance(p.now)
		if _, err := m.Send(p.now, ch, b, o); err != nil {
			t.Fatal(err)
		}
	}
	p.move(p.a, p.b)
	p.move(p.b, p.a)
}

func TestNoAllocations(t *testing.T) {
	for _, tt := range []struct {
		name string
		ch   ID
		size int
		o    Options
	}{
		{"unreliable", effects, 200, Options{}},
		{"unreliable with a receipt", effects, 200, Options{Receipt: true}},
		{"unreliable fragments", effects, 5000, Options{}},
		{"sequenced", positions, 200, Options{}},
		{"sequenced with a key", positions, 200, Options{Key: 7}},
		{"reliable", loot, 200, Options{Receipt: true}},
		{"ordered", chat, 200, Options{}},
		{"ordered fragments", bulk, 64 * pieceSize, Options{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t)
			b := make([]byte, tt.size)
			for range 500 {
				p.exchange(t, tt.ch, b, tt.o)
			}
			before := p.got
			if n := testing.AllocsPerRun(200, func() { p.exchange(t, tt.ch, b, tt.o) }); n != 0 {
				t.Errorf("%v allocations for a message, want 0", n)
			}
			if p.got-before < 400 {
				t.Errorf("%d events for 402 messages, want 400 at least", p.got-before)
			}
		})
	}
}

// TestNoAllocationsUnderLoss loses every fifth packet, so that messages are sent
// again, wait for their turn, and are put together out of order.
func TestNoAllocationsUnderLoss(t *testing.T) {
	p := newPair(t)
	small, large := make([]byte, 200), make([]byte, 5000)
	i := 0
	move := func(from, to *Mux) {
		for {
			b := from.Append(p.now, p.buf[:0], MaxPacket)
			if len(b) == 0 {
				return
			}
			if i++; i%5 != 0 {
				to.Receive(p.now, b)
			}
			p.take(to)
			p.take(from)
		}
	}
	step := func() {
		p.now = p.now.Add(10 * time.Millisecond)
		p.a.Advance(p.now)
		p.b.Advance(p.now)
		for _, ch := range []ID{effects, positions, loot, chat} {
			p.a.Send(p.now, ch, small, Options{})
			p.b.Send(p.now, ch, large, Options{Receipt: true})
		}
		move(p.a, p.b)
		move(p.b, p.a)
	}
	for range 2000 {
		step()
	}
	if n := testing.AllocsPerRun(500, step); n != 0 {
		t.Errorf("%v allocations for eight messages, want 0", n)
	}
}

// BenchmarkFrame measures Send and Append of one message, without the peer's part.
func BenchmarkFrame(b *testing.B) {
	for _, bb := range []struct {
		name string
		ch   ID
	}{{"unreliable", effects}, {"sequenced", positions}, {"ordered", chat}} {
		b.Run(bb.name+"/200B", func(b *testing.B) {
			p := newPair(b)
			msg := make([]byte, 200)
			const batch = 64
			var packets [batch][]byte
			b.ReportAllocs()
			b.SetBytes(200)
			n := 0
			for b.Loop() {
				p.now = p.now.Add(10 * time.Microsecond)
				if _, err := p.a.Send(p.now, bb.ch, msg, Options{}); err != nil {
					b.Fatal(err)
				}
				packets[n] = p.a.Append(p.now, packets[n][:0], MaxPacket)
				if n++; n < batch {
					continue
				}
				b.StopTimer()
				for _, packet := range packets {
					p.b.Receive(p.now, packet)
					p.take(p.b)
				}
				p.now = p.now.Add(maxAckDelay)
				p.move(p.b, p.a)
				n = 0
				b.StartTimer()
			}
		})
	}
}

func BenchmarkExchange(b *testing.B) {
	for _, bb := range []struct {
		name string
		ch   ID
		size int
	}{{"unreliable/200B", effects, 200}, {"sequenced/200B", positions, 200}, {"ordered/200B", chat, 200}, {"ordered/32KB", bulk, 32 << 10}} {
		b.Run(bb.name, func(b *testing.B) {
			p := newPair(b)
			msg := make([]byte, bb.size)
			b.ReportAllocs()
			b.SetBytes(int64(2 * bb.size))
			for b.Loop() {
				p.exchange(b, bb.ch, msg, Options{})
			}
		})
	}
}

// BenchmarkParse measures Receive and Events of one message.
func BenchmarkParse(b *testing.B) {
	for _, bb := range []struct {
		name string
		ch   ID
	}{{"unreliable", effects}, {"sequenced", positions}, {"ordered", chat}} {
		b.Run(bb.name+"/200B", func(b *testing.B) {
			p := newPair(b)
			msg := make([]byte, 200)
			const batch = 1024
			packets := make([][]byte, batch)
			b.ReportAllocs()
			b.SetBytes(200)
			i := batch
			for b.Loop() {
				if i == batch {
					b.StopTimer()
					p.now = p.now.Add(maxAckDelay)
					p.move(p.b, p.a)
					for i = range packets {
						p.now = p.now.Add(10 * time.Microsecond)
						p.a.Send(p.now, bb.ch, msg, Options{})
						packets[i] = p.a.Append(p.now, packets[i][:0], MaxPacket)
					}
					i = 0
					b.StartTimer()
				}
				p.b.Receive(p.now, packets[i])
				p.events = p.b.Events(p.events[:0])
				i++
			}
		})
	}
}
