package sctp

import (
	"slices"
	"testing"
	"time"
)

// A flood is a sequence of packets with as many one-byte chunks as a packet may have.
type flood struct {
	name    string
	opening []byte           // OPEN of stream 1 before the flood; nil for none
	chunk   func(i int) data // the chunk after i others
}

func floods() []flood {
	reliable := openChunk(peerTSN, 1, channelReliable, 0, "")
	late := openChunk(peerTSN, 1, channelLifetime, 60_000, "")
	const turn = 2048           // number of chunks in a row that come in reverse order
	flags := func(i int) byte { // of messages with 4*turn fragments, without the last one
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
		{"halves after some that may not be given up", reliable, func(i int) data {
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

// BenchmarkFloods measures a packet of small chunks when the buffer is full.
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

// However small the fragments and whatever their order, an incomplete message is stored as one
// run of few pieces, so a further fragment costs no search through them.
func TestPiecesJoin(t *testing.T) {
	now := time.Unix(1, 0)
	for _, f := range floods()[1:3] {
		a := f.begin(now, 64<<10)
		for n := range 8 {
			a.Receive(now, f.packet(n), nil)
		}
		if len(a.loose) != 1 || a.loose[0].parts.size != 8*maxChunks {
			t.Fatalf("%s: %d runs, the first of %d bytes; want 1 of %d", f.name, len(a.loose), a.loose[0].parts.size, 8*maxChunks)
		}
		if pieces := a.count(0); f.name == "one message" && pieces != 1 {
			t.Errorf("%s: %d pieces, want 1", f.name, pieces)
		}
	}
}

// count returns how many pieces run i has.
func (a *Assoc) count(i int) (n int) {
	for p := a.loose[i].parts.head; p != nil; p = p.next {
		n++
	}
	return n
}

// The buffer stays within its bound. Fragments that may be given up are in a list of their own;
// fragments of an unknown channel are among them if no channel may be reliable.
func TestFloodsAreBounded(t *testing.T) {
	now := time.Unix(1, 0)
	for _, f := range floods() {
		a := f.begin(now, 64<<10)
		for n := range 200 {
			a.Receive(now, f.packet(n), nil)
			if limit := a.mostBuffered(); a.buffered > limit {
				t.Fatalf("%s: %d bytes are buffered, want at most %d", f.name, a.buffered, limit)
			}
		}
		if f.opening == nil && len(a.kept) > 0 {
			t.Errorf("%s: %d runs are in the list of reliable channels, want 0", f.name, len(a.kept))
		}
	}
}

// First fragments on a reliable channel, each after the one before, are in order, so none is
// refused for its order. They exceed the buffer by at most one message.
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
			t.Errorf("fragments of %d bytes: none is refused", size)
		}
	}
}

// The largest message of a reliable channel arrives in fragments of any size though the buffer
// is full: its next fragment always has room.
func TestLargestMessageIntoAFullBuffer(t *testing.T) {
	for _, size := range []int{1, 7, 513, 600, 1100} {
		a := newTestAssoc(t, allowReliable)
		a.write(openChunk(1, 1, channelReliable, 0, "file"))
		a.events = nil
		largest := a.config.MaxMessage
		tsn := 2 + uint32((largest+size-1)/size) // TSN of the first message after it
		for i := range uint32(2000) {
			if tsn+i > a.rx.cum+maxAhead {
				break
			}
			a.write(rawData(flagWhole, tsn+i, 1, uint16(2+i), ppidBinary, string(make([]byte, 100))))
		}
		if a.Stats().Drops[dropRefused] == 0 && size > 7 {
			t.Fatalf("fragments of %d bytes: the buffer is not full", size)
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
			t.Errorf("fragments of %d bytes: the message has not arrived, %d bytes are buffered", size, a.buffered)
		}
	}
}
