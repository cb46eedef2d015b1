package sctp

import (
	"slices"
	"testing"
	"time"
)

// A flood is packets of as many one-byte chunks as one may have.
type flood struct {
	name    string
	opening []byte           // of stream 1, before all else
	chunk   func(i int) data // the one after i others
}

func floods() []flood {
	reliable := openChunk(peerTSN, 1, channelReliable, 0, "")
	late := openChunk(peerTSN, 1, channelLifetime, 60_000, "")
	const turn = 2048           // chunks in a row, the last first
	flags := func(i int) byte { // of messages of so many pieces, without their ends
		if i%(4*turn) == 0 {
			return flagUnordered | flagBegin
		}
		return flagUnordered
	}
	back := func(i int) int { return i/turn*turn + turn - 1 - i%turn }
	return []flood{
		{"whole messages", nil, func(i int) data { return data{tsn: uint32(i), flags: flagWhole | flagUnordered} }},
		{"one message", nil, func(i int) data { return data{tsn: uint32(i), flags: flags(i)} }},
		{"one message, backwards", nil, func(i int) data { return data{tsn: uint32(back(i)), flags: flags(back(i))} }},
		{"halves", nil, func(i int) data { return data{tsn: uint32(2 * i), flags: flagBegin | flagUnordered} }},
		{"halves, backwards", nil, func(i int) data { return data{tsn: uint32(2 * back(i)), flags: flagBegin | flagUnordered} }},
		{"beginnings", nil, func(i int) data { return data{tsn: uint32(i), flags: flagBegin | flagUnordered} }},
		{"halves behind those that stay", reliable, func(i int) data {
			d := data{tsn: uint32(i), flags: flagBegin | flagUnordered}
			if i > 500 {
				d.stream = 2
			}
			return d
		}},
		{"out of order", late, func(i int) data { return data{tsn: uint32(i), ssn: uint16(2 + i + i/100), flags: flagWhole} }},
		{"out of order, backwards", late, func(i int) data { return data{tsn: uint32(i), ssn: uint16(2 + back(i)), flags: flagWhole} }},
	}
}

func (f *flood) begin(now time.Time, buffer int) *Assoc {
	a := New(Config{
		LocalTag: ourTag, InitialTSN: ourTSN, Ack: AckEager, EvenStreams: true,
		AllowReliable: f.opening != nil, MaxMessage: buffer / 4, MaxBuffered: buffer,
	})
	a.peer = endpoint{tag: peerTag, tsn: peerTSN, in: 0xffff}
	a.establish(a.since(now), nil)
	a.rx.init(peerTSN - 1)
	if f.opening != nil {
		a.Receive(now, packet(ourTag, f.opening), nil)
		a.Receive(now, packet(ourTag, unreliableOpen(peerTSN+1, 3, "")), nil)
	}
	return a
}

// packet is packet n of the flood.
func (f *flood) packet(n int) []byte {
	var all [][]byte
	for i := range maxChunks {
		d := f.chunk(n*maxChunks + i)
		all = append(all, rawData(d.flags, peerTSN+2+d.tsn, 1+d.stream, d.ssn, ppidBinary, "x"))
	}
	return packet(ourTag, slices.Concat(all...))
}

// BenchmarkFloods is what a packet of small chunks costs when the buffer is full.
func BenchmarkFloods(b *testing.B) {
	now := time.Unix(1, 0)
	for _, f := range floods() {
		b.Run(f.name, func(b *testing.B) {
			a := f.begin(now, 64<<10)
			var events []Event
			n := 0
			for ; n < 40; n++ {
				events = a.Receive(now, f.packet(n), events[:0])
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				p := f.packet(n)
				n++
				b.StartTimer()
				events = a.Receive(now, p, events[:0])
			}
		})
	}
}

// However small the pieces and whatever their order, what is held of a message is one
// run of few pieces: none of them is looked at again when another comes.
func TestPiecesJoin(t *testing.T) {
	now := time.Unix(1, 0)
	for _, f := range floods()[1:3] {
		a := f.begin(now, 64<<10)
		for n := range 8 {
			a.Receive(now, f.packet(n), nil)
		}
		if len(a.loose) != 1 || a.loose[0].parts.size != 8*maxChunks {
			t.Fatalf("%s: %d runs, the first of %d bytes", f.name, len(a.loose), a.loose[0].parts.size)
		}
		if pieces := a.count(0); f.name == "one message" && pieces != 1 {
			t.Errorf("%s: %d pieces", f.name, pieces)
		}
	}
}

// count returns how many pieces a run has.
func (a *Assoc) count(i int) (n int) {
	for p := a.loose[i].parts.head; p != nil; p = p.next {
		n++
	}
	return n
}

// What may be given up is known without a look at what may not, and what is held
// stays within its bound, as it is counted and as it is.
func TestFloodsAreBounded(t *testing.T) {
	now := time.Unix(1, 0)
	for _, f := range floods() {
		a := f.begin(now, 64<<10)
		for n := range 200 {
			a.Receive(now, f.packet(n), nil)
			if limit := a.mostBuffered(); a.buffered > limit {
				t.Fatalf("%s: %d bytes of %d", f.name, a.buffered, limit)
			}
		}
		if f.opening == nil && len(a.kept) > 0 {
			t.Errorf("%s: %d runs of no reliable channel stay", f.name, len(a.kept))
		}
	}
}

// Beginnings of messages of a reliable channel, each behind the one before, cannot be
// refused for being out of order. They exceed the buffer by one message, not more.
func TestBeginningsOfReliableMessages(t *testing.T) {
	for _, size := range []int{1, 100, 1100} {
		a := newTestAssoc(t, allowReliable)
		a.write(openChunk(1, 1, channelUnordered|channelReliable, 0, "evil"))
		for i := range uint32(3000) {
			a.write(rawData(flagBegin|unordered, 2+i, 1, 0, ppidBinary, string(make([]byte, size))))
		}
		if limit := a.config.MaxBuffered + a.config.MaxMessage + 2*bufferOverhead; a.buffered > limit {
			t.Errorf("pieces of %d: %d bytes, want at most %d", size, a.buffered, limit)
		}
		if a.Stats().Drops[dropRefused] == 0 {
			t.Errorf("pieces of %d: none was refused", size)
		}
	}
}

// The largest message of a reliable channel comes through in pieces of any size though
// the buffer is full: its next piece is what frees it.
func TestLargestMessageIntoAFullBuffer(t *testing.T) {
	for _, size := range []int{1, 7, 513, 600, 1100} {
		a := newTestAssoc(t, allowReliable)
		a.write(openChunk(1, 1, channelReliable, 0, "file"))
		a.events = nil
		largest := a.config.MaxMessage
		tsn := 2 + uint32((largest+size-1)/size) // of what is behind it
		for i := range uint32(2000) {
			if tsn+i > a.rx.cum+maxAhead {
				break
			}
			a.write(rawData(flagWhole, tsn+i, 1, uint16(2+i), ppidBinary, string(make([]byte, 100))))
		}
		if a.Stats().Drops[dropRefused] == 0 && size > 7 {
			t.Fatalf("pieces of %d: the buffer is not full", size)
		}
		for sent := 0; sent < largest; sent += size {
			n, flags := min(size, largest-sent), byte(0)
			if sent == 0 {
				flags |= flagBegin
			}
			if sent+n == largest {
				flags |= flagEnd
			}
			a.write(rawData(flags, 2+uint32(sent/size), 1, 1, ppidBinary, string(make([]byte, n))))
		}
		if len(a.events) == 0 || len(a.events[0].Payload) != largest {
			t.Errorf("pieces of %d: it did not come, %d bytes are held", size, a.buffered)
		}
	}
}
