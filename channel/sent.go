package channel

import "math/bits"

// A packetState says what is known of a packet that was sent.
type packetState uint8

const (
	packetFlying packetState = iota // nothing
	packetAcked
	packetLost // taken for lost; an acknowledgement may still come
)

// A pieceRef is a piece that a packet carries. gen tells whether the message is
// still the one it was: the memory of messages is used again.
type pieceRef struct {
	m     *message
	gen   uint32
	index uint32
}

// sentPacket is what we remember of a packet.
type sentPacket struct {
	at        moment
	size      int
	state     packetState
	eliciting bool
	closing   bool   // it carries a close frame
	ackTop    uint64 // one more than the largest it acknowledged, or 0
	refs      []pieceRef
}

// forget drops the references to messages whose pieces the packet carries.
func (p *sentPacket) forget() {
	clear(p.refs)
	p.refs = p.refs[:0]
}

// flight remembers the packets that were sent, from base up to next.
type flight struct {
	ring       []sentPacket // a power of two, by number
	sets       []flightSets // of their numbers: 64 to a place
	base, next uint64
	bytes      int // of eliciting packets under way
	count      int // of those packets
	steps      int // packets looked at for acknowledgements, for tests
}

// maxFlight bounds the packets remembered; minFlight are room for few.
const (
	maxFlight = 8192
	minFlight = 16
)

// flightSets are two sets of packet numbers, a bit for each. Bits of numbers that are
// not from base up to next have no meaning.
type flightSets struct {
	open   uint64 // the packets that are not acknowledged
	flying uint64 // the eliciting packets of which nothing is known
}

func (f *flight) setsOf(n uint64) *flightSets { return &f.sets[n/64&uint64(len(f.sets)-1)] }

// note sets the bits of packet n, which p records.
func (f *flight) note(n uint64, p *sentPacket) {
	s, bit := f.setsOf(n), uint64(1)<<(n%64)
	s.open |= bit
	s.flying &^= bit
	switch {
	case p.state == packetAcked:
		s.open &^= bit
	case p.state == packetFlying && p.eliciting:
		s.flying |= bit
	}
}

// nextOpen returns the first packet from n on that is not acknowledged, or end.
func (f *flight) nextOpen(n, end uint64) uint64 {
	for n < end {
		if rest := f.setsOf(n).open >> (n % 64); rest != 0 {
			return min(n+uint64(bits.TrailingZeros64(rest)), end)
		}
		n += 64 - n%64
	}
	return end
}

// nextFlying returns the first eliciting packet from n on of which nothing is known,
// or end.
func (f *flight) nextFlying(n, end uint64) uint64 {
	for n < end {
		if rest := f.setsOf(n).flying >> (n % 64); rest != 0 {
			return min(n+uint64(bits.TrailingZeros64(rest)), end)
		}
		n += 64 - n%64
	}
	return end
}

func (f *flight) init() {
	for i := range f.ring {
		f.ring[i].forget()
	}
	if f.ring == nil {
		f.make(minFlight)
	}
	f.base, f.next, f.bytes, f.count = 0, 0, 0, 0
}

// make gives the flight room for n packets.
func (f *flight) make(n int) {
	f.ring, f.sets = make([]sentPacket, n), make([]flightSets, max(1, n/64))
}

// forget makes it as if nothing had been sent so far but the numbers.
func (f *flight) forget() {
	next := f.next
	*f = flight{base: next, next: next}
	f.make(minFlight)
}

func (f *flight) at(n uint64) *sentPacket { return &f.ring[n&uint64(len(f.ring)-1)] }

func (f *flight) full() bool { return f.next-f.base >= maxFlight }

// room returns the record for the next packet, empty.
func (f *flight) room() *sentPacket {
	if f.next-f.base == uint64(len(f.ring)) {
		f.grow()
	}
	p := f.at(f.next)
	*p = sentPacket{refs: p.refs[:0]}
	return p
}

func (f *flight) grow() {
	old := *f
	f.make(2 * len(old.ring))
	for n := f.base; n < f.next; n++ {
		p := old.at(n)
		*f.at(n) = *p
		f.note(n, p)
	}
}

// push makes the record that room returned part of the flight.
func (f *flight) push(p *sentPacket) {
	f.note(f.next, p)
	f.next++
	if p.eliciting {
		f.bytes += p.size
		f.count++
	}
}

// land takes packet n out of the bytes under way.
func (f *flight) land(n uint64, s packetState) {
	p := f.at(n)
	if p.eliciting && p.state == packetFlying {
		f.bytes -= p.size
		f.count--
	}
	p.state = s
	f.note(n, p)
}

// trim forgets packets at the base of which nothing more is to be learned: those
// acknowledged, and those sent before old and not under way.
func (f *flight) trim(old moment) {
	for f.base < f.next {
		p := f.at(f.base)
		if p.state != packetAcked && (p.at >= old || p.state == packetFlying && p.eliciting) {
			return
		}
		p.forget()
		f.base++
	}
}
