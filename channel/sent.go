package channel

import "math/bits"

// A packetState is the state of a packet that was sent.
type packetState uint8

const (
	packetFlying packetState = iota // neither acknowledged nor lost
	packetAcked
	packetLost // considered lost; an acknowledgement may still arrive
)

// A pieceRef is a piece that a packet carries. It is valid while gen is the message's:
// the memory of messages is used again.
type pieceRef struct {
	m     *message
	gen   uint32
	index uint32
}

// sentPacket is the record of a packet that was sent.
type sentPacket struct {
	at        moment
	size      int
	state     packetState
	eliciting bool       // the peer must acknowledge it
	closing   bool       // it carries a close frame
	ackTop    uint64     // largest number that its ack block acknowledged, plus one; 0 if none
	refs      []pieceRef // reliable pieces, and pieces of messages with a receipt
}

// flight has the records of the packets that were sent, from base to next-1.
type flight struct {
	ring       []sentPacket // by number; its length is a power of two
	sets       []flightSets // by number; each element is for 64 numbers
	base, next uint64
	bytes      int // bytes of flying packets that must be acknowledged
	count      int // number of these packets
	refs       int // references for which the records have room
	spare      int // those of the record that room returned
	steps      int // packets looked at for acknowledgements, for tests
}

// maxFlight is the largest length of the ring, minFlight the first one. No content leaves
// while the records have room for maxRefs references. Records without references keep
// their room if there is room for keptRefs at most.
const (
	maxFlight = 8192
	minFlight = 16
	maxRefs   = 32 << 10
	keptRefs  = maxRefs / 2
)

// flightSets are two sets of packet numbers, a bit for each. Bits of numbers below base,
// and from next on, have no meaning.
type flightSets struct {
	open   uint64 // packets that are not acknowledged
	flying uint64 // flying packets that must be acknowledged
}

func (f *flight) setsOf(n uint64) *flightSets { return &f.sets[n/64&uint64(len(f.sets)-1)] }

// note sets the bits of packet n, whose record is p.
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

// nextFlying returns the first packet of the set flying from n on, or end.
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
		f.release(&f.ring[i])
	}
	if f.ring == nil {
		f.make(minFlight)
	}
	f.base, f.next, f.bytes, f.count = 0, 0, 0, 0
}

// make makes an empty ring for n packets.
func (f *flight) make(n int) {
	f.ring, f.sets, f.refs = make([]sentPacket, n), make([]flightSets, max(1, n/64)), 0
}

// release drops the references of p to the messages whose pieces it carries.
func (f *flight) release(p *sentPacket) {
	clear(p.refs)
	if p.refs = p.refs[:0]; f.refs > keptRefs {
		f.refs -= cap(p.refs)
		p.refs = nil
	}
}

// forget removes all records. The numbers of packets continue.
func (f *flight) forget() {
	next := f.next
	*f = flight{base: next, next: next}
	f.make(minFlight)
}

func (f *flight) at(n uint64) *sentPacket { return &f.ring[n&uint64(len(f.ring)-1)] }

func (f *flight) full() bool { return f.next-f.base >= maxFlight }

// crowded reports whether content must wait, because there are too many references. Then
// there is at least one record: those without references keep room for keptRefs at most.
func (f *flight) crowded() bool { return f.refs >= maxRefs }

// room returns an empty record for the next packet.
func (f *flight) room() *sentPacket {
	if f.next-f.base == uint64(len(f.ring)) {
		f.grow()
	}
	p := f.at(f.next)
	*p = sentPacket{refs: p.refs[:0]}
	f.spare = cap(p.refs)
	return p
}

func (f *flight) grow() {
	old := *f
	f.make(2 * len(old.ring))
	for n := f.base; n < f.next; n++ {
		p := old.at(n)
		*f.at(n) = *p
		f.note(n, p)
		f.refs += cap(p.refs)
	}
}

// push adds the record that room returned to the flight.
func (f *flight) push(p *sentPacket) {
	f.note(f.next, p)
	f.refs += cap(p.refs) - f.spare
	f.next++
	if p.eliciting {
		f.bytes += p.size
		f.count++
	}
}

// land sets the state of packet n, which is not flying any more.
func (f *flight) land(n uint64, s packetState) {
	p := f.at(n)
	if p.eliciting && p.state == packetFlying {
		f.bytes -= p.size
		f.count--
	}
	p.state = s
	f.note(n, p)
}

// trim removes records at the base: those of acknowledged packets, and those of packets
// that were sent before old and are not flying.
func (f *flight) trim(old moment) {
	for f.base < f.next {
		p := f.at(f.base)
		if p.state != packetAcked && (p.at >= old || p.state == packetFlying && p.eliciting) {
			return
		}
		f.release(p)
		f.base++
	}
}
