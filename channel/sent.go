package channel

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

// forget lets go of the messages whose pieces the packet carries.
func (p *sentPacket) forget() {
	clear(p.refs)
	p.refs = p.refs[:0]
}

// flight remembers the packets that were sent, from base up to next.
type flight struct {
	ring       []sentPacket // a power of two, by number
	base, next uint64
	bytes      int // of eliciting packets under way
	count      int // of those packets
}

// maxFlight bounds the packets remembered; minFlight are room for few.
const (
	maxFlight = 8192
	minFlight = 16
)

func (f *flight) init() {
	for i := range f.ring {
		f.ring[i].forget()
		f.ring[i] = sentPacket{refs: f.ring[i].refs}
	}
	if f.ring == nil {
		f.ring = make([]sentPacket, minFlight)
	}
	f.base, f.next, f.bytes, f.count = 0, 0, 0, 0
}

// forget makes it as if nothing had been sent so far but the numbers.
func (f *flight) forget() {
	*f = flight{ring: make([]sentPacket, minFlight), base: f.next, next: f.next}
}

func (f *flight) at(n uint64) *sentPacket { return &f.ring[n&uint64(len(f.ring)-1)] }

func (f *flight) full() bool { return f.next-f.base >= maxFlight }

// open returns the record for the next packet, empty.
func (f *flight) open() *sentPacket {
	if f.next-f.base == uint64(len(f.ring)) {
		f.grow()
	}
	p := f.at(f.next)
	*p = sentPacket{refs: p.refs[:0]}
	return p
}

func (f *flight) grow() {
	old := *f
	f.ring = make([]sentPacket, 2*len(old.ring))
	for n := f.base; n < f.next; n++ {
		*f.at(n) = *old.at(n)
	}
}

// push makes the record that open returned part of the flight.
func (f *flight) push(p *sentPacket) {
	f.next++
	if p.eliciting {
		f.bytes += p.size
		f.count++
	}
}

// land takes a packet out of the bytes under way.
func (f *flight) land(p *sentPacket, s packetState) {
	if p.eliciting && p.state == packetFlying {
		f.bytes -= p.size
		f.count--
	}
	p.state = s
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
