package channel

import "encoding/binary"

// Sizes of packets.
const (
	// MaxPacket is the size in bytes of the largest packet that a Mux makes. The limit of
	// Append may be less, and a Mux makes smaller packets if large ones do not arrive.
	MaxPacket = 1150
	// MinLimit is the smallest limit of Append with which a Mux sends.
	MinLimit = 1100
)

// A packet is flags, a truncated number, maybe an ack block, then frames.
//
//	flags   1 byte
//	number  1 to 4 bytes, big endian: the lowest bytes of the packet's number
//	ack     if flagAck
//	frames  to the end
const (
	wireVersion  = 1
	versionShift = 4      // the version is the upper half of flags
	flagNumber   = 3      // length of number, less one
	flagAck      = 1 << 2 // an ack block follows
	flagGaps     = 1 << 3 // of more than one range
	maxHeader    = 5
)

// An ack block says which packets have arrived.
//
//	largest  2 bytes: the lowest bytes of the largest number that has arrived
//	delay    varint: time since it arrived, in units of 256 µs
//	first    varint: number of packets directly before largest that have arrived, too
//	count    1 byte, if flagGaps: number of further ranges, 1 to 31
//	         count times:
//	gap      varint: number of packets missing before the last range, less one
//	length   varint: number of packets before the gap that have arrived, less one
const (
	maxRanges = 32
	delayUnit = 256_000 // nanoseconds
	maxDelay  = 1 << 14 // units, about 4.2 s; block sends at most this, and parse refuses more
)

// ackRange is a range of an ack block, as on the wire; not the first one.
type ackRange struct{ gap, length uint64 }

// ackBlock is an ack block as on the wire.
type ackBlock struct {
	largest uint16
	delay   uint64
	first   uint64
	ranges  int
	rest    [maxRanges - 1]ackRange
}

// packet is a parsed packet: a view of the datagram.
type packet struct {
	number    uint64 // truncated
	numberLen int
	hasAck    bool
	ack       ackBlock
	frames    []byte
}

// parse reads a packet without its frames. It reports whether b is well-formed so far.
func (p *packet) parse(b []byte) bool {
	if len(b) == 0 || b[0]>>versionShift != wireVersion {
		return false
	}
	flags := b[0]
	p.numberLen = int(flags&flagNumber) + 1
	p.hasAck = flags&flagAck != 0
	b = b[1:]
	if len(b) < p.numberLen || !p.hasAck && flags&flagGaps != 0 {
		return false
	}
	p.number = 0
	for _, c := range b[:p.numberLen] {
		p.number = p.number<<8 | uint64(c)
	}
	b = b[p.numberLen:]
	if p.hasAck {
		n := p.ack.parse(b, flags&flagGaps != 0)
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	p.frames = b
	return p.hasAck || len(b) > 0
}

// parse reads an ack block and returns its length, or 0 if it is malformed.
func (a *ackBlock) parse(b []byte, gaps bool) int {
	if len(b) < 4 {
		return 0
	}
	a.largest = binary.BigEndian.Uint16(b)
	a.ranges = 0
	at := 2
	var ok bool
	if a.delay, at, ok = read(b, at); !ok || a.delay > maxDelay {
		return 0
	}
	if a.first, at, ok = read(b, at); !ok {
		return 0
	}
	if !gaps {
		return at
	}
	if at >= len(b) || b[at] == 0 || b[at] >= maxRanges {
		return 0
	}
	a.ranges = int(b[at])
	at++
	for i := range a.ranges {
		r := &a.rest[i]
		if r.gap, at, ok = read(b, at); !ok {
			return 0
		}
		if r.length, at, ok = read(b, at); !ok {
			return 0
		}
	}
	return at
}

// span returns the distance between largest and the smallest number of the block.
func (a *ackBlock) span() uint64 {
	n := a.first
	for _, r := range a.rest[:a.ranges] {
		n += r.gap + r.length + 2
	}
	return n
}

// read reads the varint at b[at:] and returns where the next field begins.
func read(b []byte, at int) (v uint64, next int, ok bool) {
	v, n := varint(b[at:])
	return v, at + n, n > 0
}

// appendHeader appends flags and number. It writes two bytes of a number below 2^15, and
// three bytes of a larger one: a packet that arrives minutes late must not look like a new
// one. (QUIC would detect it by its encryption.)
func appendHeader(b []byte, number uint64) []byte {
	if number < 1<<15 {
		return append(b, wireVersion<<versionShift|1, byte(number>>8), byte(number))
	}
	return append(b, wireVersion<<versionShift|2, byte(number>>16), byte(number>>8), byte(number))
}

// append appends the block and returns its flags for the header. It leaves out the oldest
// ranges that do not fit before end.
func (a *ackBlock) append(b []byte, end int) ([]byte, byte) {
	b = binary.BigEndian.AppendUint16(b, a.largest)
	b = appendVarint(b, a.delay)
	b = appendVarint(b, a.first)
	if a.ranges == 0 {
		return b, flagAck
	}
	count := len(b)
	b = append(b, 0)
	for _, r := range a.rest[:a.ranges] {
		if len(b)+varintLen(r.gap)+varintLen(r.length) > end {
			break
		}
		b[count]++
		b = appendVarint(b, r.gap)
		b = appendVarint(b, r.length)
	}
	if b[count] == 0 {
		return b[:count], flagAck
	}
	return b, flagAck | flagGaps
}

// expand returns the number nearest to expected whose lowest n bytes are truncated.
//
// https://www.rfc-editor.org/rfc/rfc9000.html#section-a.3
func expand(truncated uint64, n int, expected uint64) uint64 {
	win := uint64(1) << (8 * n)
	half := win / 2
	v := expected&^(win-1) | truncated
	switch {
	case v+half <= expected:
		return v + win
	case v > expected+half && v >= win:
		return v - win
	}
	return v
}
