package dtls

import (
	"encoding/binary"
	"slices"
)

// Handshake message header, 12 bytes. https://www.rfc-editor.org/rfc/rfc6347.html#section-4.2.2
//
//	msg_type(1) length(3) message_seq(2) fragment_offset(3) fragment_length(3)
const (
	fragmentHeaderLen = 12
	offMessageLen     = 1
	offMessageSeq     = 4
	offFragmentOff    = 6
	offFragmentLen    = 9
)

// Handshake message types that are used here.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.4
const (
	msgClientHello        = 1
	msgServerHello        = 2
	msgHelloVerifyRequest = 3 // of DTLS: https://www.rfc-editor.org/rfc/rfc6347.html#section-4.3.2
	msgCertificate        = 11
	msgServerKeyExchange  = 12
	msgCertificateRequest = 13
	msgServerHelloDone    = 14
	msgCertificateVerify  = 15
	msgClientKeyExchange  = 16
	msgFinished           = 20 // always encrypted
)

// Limits of one handshake. A browser sends one certificate and 1.5 KB in five messages,
// far less than the limits.
const (
	maxMessages       = 16 // message_seq 0 to 15
	maxMessagePieces  = 32
	maxPieces         = 64 // pieces of all messages: in pion each costs 160 bytes and its content
	maxHandshakeBytes = 8 << 10

	// Limits of one message: the cost of a certificate and of a signature grows with
	// the length.
	maxCertificateLen = 3 << 10
	maxKeyMessageLen  = 1 << 10 // ServerKeyExchange, CertificateVerify, ClientKeyExchange
	maxMessageLen     = 4 << 10
)

// maxLength returns how long a message of this kind may be, -1 if there is no such
// message in plaintext.
func maxLength(kind uint8) int {
	switch kind {
	case msgCertificate:
		return maxCertificateLen
	case msgServerKeyExchange, msgCertificateVerify, msgClientKeyExchange:
		return maxKeyMessageLen
	case msgClientHello, msgServerHello, msgHelloVerifyRequest, msgCertificateRequest, msgServerHelloDone:
		return maxMessageLen
	}
	return -1
}

// A fragment is one piece of a handshake message.
type fragment struct {
	kind     uint8
	length   int // length of the whole message
	seq      int
	off, end int
	body     []byte
}

// parseFragment reads the first fragment of b, the content of a handshake record, and
// returns the rest of b.
func parseFragment(b []byte) (f fragment, rest []byte, ok bool) {
	if len(b) < fragmentHeaderLen {
		return fragment{}, nil, false
	}
	// msg_type(1) length(3) message_seq(2) fragment_offset(3) fragment_length(3)
	f.kind = b[0]
	f.length = uint24(b[offMessageLen:])
	f.seq = int(binary.BigEndian.Uint16(b[offMessageSeq:]))
	f.off = uint24(b[offFragmentOff:])
	n := uint24(b[offFragmentLen:])
	f.end = f.off + n
	if b = b[fragmentHeaderLen:]; n > len(b) || f.end > f.length {
		return fragment{}, nil, false
	}
	f.body = b[:n]
	return f, b[n:], true
}

// appendFragment appends bytes off to end of the message that f is a piece of.
func appendFragment(b []byte, f *fragment, off, end int) []byte {
	b = append(b, f.kind)
	b = appendUint24(b, f.length)
	b = binary.BigEndian.AppendUint16(b, uint16(f.seq))
	b = appendUint24(b, off)
	b = appendUint24(b, end-off)
	return append(b, f.body[off-f.off:end-f.off]...)
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

func appendUint24(b []byte, v int) []byte { return append(b, byte(v>>16), byte(v>>8), byte(v)) }

// A piece is a range of bytes of a message that has passed the Sieve.
type piece struct {
	off, end uint16
	again    uint32 // interval of the Sieve in which it passed last
}

// A message is the state of one handshake message of the peer. Its pieces never
// overlap: the first value of each byte counts.
type message struct {
	known  bool
	kind   uint8
	length int
	bytes  int     // bytes that have passed so far
	pieces []piece // in the order of their offsets
}

func (m *message) complete() bool { return m.known && m.bytes == m.length }

// agrees reports whether f can be a piece of m. The first fragment of a
// message_seq decides type and length.
func (m *message) agrees(f *fragment) bool {
	if !m.known {
		m.known, m.kind, m.length = true, f.kind, f.length
	}
	return m.kind == f.kind && m.length == f.length
}

// gap returns the first range in [off, end) that has not passed.
func (m *message) gap(off, end int) (from, to int) {
	from = off
	for _, p := range m.pieces {
		if int(p.off) > from {
			return from, min(end, int(p.off))
		}
		if from = max(from, int(p.end)); from >= end {
			return end, end
		}
	}
	return from, end
}

// add adds a piece, which overlaps no other.
func (m *message) add(p piece) {
	i := len(m.pieces)
	for i > 0 && m.pieces[i-1].off > p.off {
		i--
	}
	m.pieces = slices.Insert(m.pieces, i, p)
	m.bytes += int(p.end - p.off)
}

// pieceAt returns the index of the piece that begins at off, -1 if there is none.
func (m *message) pieceAt(off int) int {
	return slices.IndexFunc(m.pieces, func(p piece) bool { return int(p.off) == off })
}
