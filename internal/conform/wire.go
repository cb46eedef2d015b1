package conform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
)

// This file reads and writes the bytes of docs/PROTOCOL.md. It shares no code with package
// channel, so that an error of the library is not repeated here.

// Kinds of frames and of control frames: docs/PROTOCOL.md, section 5.
const (
	kindControl  = 0
	kindMessage  = 1
	kindFragment = 2
	kindBare     = 3

	controlPadding   = 0
	controlPing      = 1
	controlClose     = 2
	controlExtension = 32

	maxPacket   = 1150
	pieceLen    = 1024
	maxTotal    = 8 << 20
	maxVarint   = 1<<53 - 1
	maxAckDelay = 16384
)

// A frame is one frame of a packet. channel is the control kind if kind is kindControl.
type frame struct {
	kind, channel    int
	id, index, total uint64 // of a MESSAGE: id; of a FRAGMENT: all three
	code             uint64 // of a CLOSE
	data             []byte
}

// wantsAck reports whether a packet with this frame must be acknowledged.
func (f frame) wantsAck() bool { return f.kind != kindControl || f.channel != controlPadding }

func (f frame) String() string {
	switch f.kind {
	case kindControl:
		return fmt.Sprintf("CONTROL %d %q", f.channel, f.data)
	case kindFragment:
		return fmt.Sprintf("FRAGMENT channel %d id %d index %d total %d", f.channel, f.id, f.index, f.total)
	case kindMessage:
		return fmt.Sprintf("MESSAGE channel %d id %d %.40q", f.channel, f.id, f.data)
	}
	return fmt.Sprintf("BARE channel %d %.40q", f.channel, f.data)
}

// A span is a run of packet numbers, both ends included.
type span struct{ first, last uint64 }

// A packet is one packet.
type packet struct {
	truncated uint64
	length    int // of the number, in bytes
	hasAck    bool
	ackLow    uint16 // the lowest bytes of the largest number received
	ackDelay  uint64
	ackRuns   []uint64 // first, then gap and length of each further range
	frames    []frame
}

// reader reads a packet from the front. The first error stays.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.b = nil
}

func (r *reader) bytes(n uint64, what string) []byte {
	if uint64(len(r.b)) < n {
		r.fail("%s ends after %d of %d bytes", what, len(r.b), n)
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte(what string) byte {
	if b := r.bytes(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) varint(what string) uint64 {
	v := uint64(0)
	for i := 0; ; i++ {
		c := r.byte(what)
		if r.err != nil {
			return 0
		}
		if i == 7 && c >= 1<<4 {
			r.fail("%s is above 2^53-1", what)
			return 0
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if c == 0 && i > 0 {
				r.fail("%s is not in its shortest encoding", what)
			}
			return v
		}
	}
}

// parsePacket reads a packet. It returns an error for packets that sections 3 to 5 call
// malformed.
func parsePacket(b []byte) (p packet, err error) {
	if len(b) > maxPacket {
		return p, fmt.Errorf("a packet of %d bytes; the most is %d (PROTOCOL 1)", len(b), maxPacket)
	}
	r := &reader{b: b}
	flags := r.byte("flags")
	if flags>>4 != 1 {
		r.fail("version %d (PROTOCOL 3)", flags>>4)
	}
	p.length = int(flags&3) + 1
	for _, c := range r.bytes(uint64(p.length), "the packet number") {
		p.truncated = p.truncated<<8 | uint64(c)
	}
	p.hasAck = flags&4 != 0
	if flags&8 != 0 && !p.hasAck {
		r.fail("flag g without a (PROTOCOL 3)")
	}
	if p.hasAck {
		p.ack(r, flags&8 != 0)
	} else if len(r.b) == 0 {
		r.fail("neither an ack block nor a frame (PROTOCOL 3)")
	}
	for len(r.b) > 0 {
		p.frames = append(p.frames, parseFrame(r))
	}
	return p, r.err
}

func (p *packet) ack(r *reader, gaps bool) {
	if b := r.bytes(2, "largest of an ack block"); b != nil {
		p.ackLow = binary.BigEndian.Uint16(b)
	}
	if p.ackDelay = r.varint("delay of an ack block"); p.ackDelay > maxAckDelay {
		r.fail("an ack delay of %d (PROTOCOL 4)", p.ackDelay)
	}
	p.ackRuns = append(p.ackRuns, r.varint("first of an ack block"))
	if !gaps {
		return
	}
	count := r.byte("count of an ack block")
	if r.err == nil && (count == 0 || count > 31) {
		r.fail("%d further ranges (PROTOCOL 4)", count)
	}
	for range 2 * int(count) {
		p.ackRuns = append(p.ackRuns, r.varint("a range of an ack block"))
	}
}

func parseFrame(r *reader) (f frame) {
	first := r.byte("a frame")
	f.kind, f.channel = int(first>>6), int(first&63)
	switch f.kind {
	case kindControl:
		f.control(r)
	case kindFragment:
		f.id, f.index, f.total = r.varint("id"), r.varint("index"), r.varint("total")
		if r.err == nil && (f.total <= pieceLen || f.total > maxTotal || f.index*pieceLen >= f.total) {
			r.fail("fragment %d of a message of %d bytes (PROTOCOL 5)", f.index, f.total)
			return f
		}
		f.data = r.bytes(min(pieceLen, f.total-f.index*pieceLen), "a fragment")
	default:
		if f.kind == kindMessage {
			f.id = r.varint("id")
		}
		n := r.varint("length")
		if n > pieceLen {
			r.fail("a piece of %d bytes (PROTOCOL 5)", n)
		}
		f.data = r.bytes(n, "a message")
	}
	return f
}

func (f *frame) control(r *reader) {
	switch {
	case f.channel == controlPadding || f.channel == controlPing:
		return
	case f.channel == controlClose:
		f.code = r.varint("code of a CLOSE")
	case f.channel < controlExtension:
		r.fail("control kind %d, which is reserved (PROTOCOL 5)", f.channel)
		return
	}
	n := r.varint("length of a control frame")
	if f.channel == controlClose && n > 256 {
		r.fail("a CLOSE with a text of %d bytes (PROTOCOL 5)", n)
	}
	f.data = r.bytes(n, "a control frame")
}

// acked returns the numbers that an ack block acknowledges, given the last number that
// was sent, or what makes that impossible.
func (p packet) acked(last int64) ([]span, error) {
	if last < 0 {
		return nil, errors.New("an acknowledgement before anything was sent (PROTOCOL 4)")
	}
	largest := uint64(last) - (uint64(last)-uint64(p.ackLow))&0xffff
	if largest > uint64(last) {
		return nil, fmt.Errorf("an acknowledgement of a number that was never sent: %d after %d (PROTOCOL 4)", p.ackLow, last)
	}
	var spans []span
	end, length := largest, p.ackRuns[0]
	for i := 1; ; i += 2 {
		if length > end {
			return nil, errors.New("an acknowledgement below 0 (PROTOCOL 4)")
		}
		spans = append(spans, span{end - length, end})
		if i >= len(p.ackRuns) {
			return spans, nil
		}
		gap := p.ackRuns[i] + 2
		if gap > end-length {
			return nil, errors.New("an acknowledgement below 0 (PROTOCOL 4)")
		}
		end, length = end-length-gap, p.ackRuns[i+1]
	}
}

// restore makes a truncated packet number whole.
func restore(truncated uint64, length int, expected uint64) uint64 {
	win := uint64(1) << (8 * length)
	v := expected - expected%win + truncated
	switch {
	case v+win/2 <= expected:
		return v + win
	case v > expected+win/2 && v >= win:
		return v - win
	}
	return v
}

func appendVarint(b []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// append appends the frame as it stands, well-formed or not.
func (f frame) append(b []byte) []byte {
	b = append(b, byte(f.kind<<6|f.channel))
	switch {
	case f.kind == kindFragment:
		b = appendVarint(appendVarint(appendVarint(b, f.id), f.index), f.total)
		return append(b, f.data...)
	case f.kind == kindMessage:
		b = appendVarint(b, f.id)
	case f.kind == kindControl && f.channel < controlClose:
		return b
	case f.kind == kindControl && f.channel == controlClose:
		b = appendVarint(b, f.code)
	}
	b = appendVarint(b, uint64(len(f.data)))
	return append(b, f.data...)
}

// tableHash is the hash that the ends exchange: docs/PROTOCOL.md, section 6.
func tableHash(text string) string {
	h := fnv.New64a()
	h.Write([]byte(text))
	return fmt.Sprintf("%016x", h.Sum64())
}
