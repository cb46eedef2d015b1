package sctp

import (
	"encoding/binary"
	"hash/crc32"
	"iter"
)

// Sizes of the parts of a packet.
const (
	headerLen      = 12
	chunkHeaderLen = 4
	paramHeaderLen = 4
	dataFieldsLen  = 12 // from the TSN to the payload protocol identifier
	dataHeaderLen  = chunkHeaderLen + dataFieldsLen
	sackFieldsLen  = 12 // from the cumulative TSN to the number of duplicates
	sackLen        = chunkHeaderLen + sackFieldsLen
	maxChunks      = 64 // chunks of a received packet
)

// MaxPacket is the size in bytes of the largest packet that is sent: as in Chromium and
// Firefox. Inside DTLS 1.2 it is a UDP payload of 1225 bytes.
const MaxPacket = 1188

// MaxPayload is the size in bytes of the largest message that fits one packet.
const MaxPayload = MaxPacket - headerLen - dataHeaderLen

// Common header.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.1
//
//	source port (16) | destination port (16)
//	verification tag (32)
//	checksum (32), CRC32c, little-endian
const (
	offsetTag      = 4
	offsetChecksum = 8
)

// Chunk types. The two highest bits say what to do with an unknown one.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.2
const (
	chunkData             = 0
	chunkInit             = 1
	chunkInitAck          = 2
	chunkSack             = 3
	chunkHeartbeat        = 4
	chunkHeartbeatAck     = 5
	chunkAbort            = 6
	chunkShutdown         = 7
	chunkShutdownAck      = 8
	chunkError            = 9
	chunkCookieEcho       = 10
	chunkCookieAck        = 11
	chunkShutdownComplete = 14
	chunkReconfig         = 130 // RFC 6525
	chunkForwardTSN       = 192 // RFC 3758

	unknownSkip   = 1 << 7 // skip the chunk and continue; without it drop the rest of the packet
	unknownReport = 1 << 6 // report the chunk to the sender
)

// DATA chunk flags. Browsers set the I bit often, so flags are masked, never
// compared.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.1
const (
	flagEnd       = 1 << 0
	flagBegin     = 1 << 1
	flagUnordered = 1 << 2
	flagImmediate = 1 << 3
	flagWhole     = flagBegin | flagEnd
)

// flagReflected is the T bit of ABORT and SHUTDOWN COMPLETE: the packet carries
// the tag of its receiver's peer.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-8.5.1
const flagReflected = 1 << 0

// Parameters of INIT, INIT ACK, HEARTBEAT and RE-CONFIG. The two highest bits say
// what to do with an unknown one, as in a chunk type.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.2.1
const (
	paramHeartbeatInfo  = 1
	paramCookie         = 7
	paramUnrecognized   = 8
	paramOutgoingReset  = 13     // RFC 6525, section 4.1
	paramIncomingReset  = 14     // RFC 6525, section 4.2
	paramTSNReset       = 15     // RFC 6525, section 4.3
	paramResetResponse  = 16     // RFC 6525, section 4.4
	paramAddOutgoing    = 17     // RFC 6525, section 4.5
	paramAddIncoming    = 18     // RFC 6525, section 4.6
	paramExtensions     = 0x8008 // RFC 5061, supported extensions
	paramForwardTSN     = 0xc000 // RFC 3758, section 3.1
	paramIPv4           = 5
	paramIPv6           = 6
	paramCookieLifetime = 9
	paramAddressTypes   = 12
)

// Error causes.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.10
const (
	causeStaleCookie       = 3
	causeUnrecognizedChunk = 6
	causeNoUserData        = 9
	causeUserAbort         = 12
	causeProtocolViolation = 13
)

// castagnoli is the table of CRC32c; hash/crc32 uses the CPU's instruction for it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// noChecksum are the bytes in place of the checksum field when the checksum is computed.
var noChecksum = make([]byte, headerLen-offsetChecksum)

// A chunk is a view of one chunk of a packet.
type chunk struct {
	kind  byte
	flags byte
	value []byte
	raw   []byte // with its header, without padding
}

// A param is a view of one type-length-value of a chunk.
type param struct {
	kind  uint16
	value []byte
	raw   []byte
}

// checksum returns the CRC32c of a packet as if its checksum field were zero.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.8
func checksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:offsetChecksum])
	sum = crc32.Update(sum, castagnoli, noChecksum)
	return crc32.Update(sum, castagnoli, b[headerLen:])
}

// checkPacket reports why a packet must not be read, or dropNone. Once it has
// passed, chunks yields at least one chunk and every byte belongs to one. "The port number
// 0 MUST NOT be used."
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.1
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.10
func checkPacket(b []byte) DropReason {
	if len(b) < headerLen+chunkHeaderLen {
		return dropShort
	}
	if binary.BigEndian.Uint16(b) == 0 || binary.BigEndian.Uint16(b[2:]) == 0 {
		return dropPort
	}
	if binary.LittleEndian.Uint32(b[offsetChecksum:]) != checksum(b) {
		return dropChecksum
	}
	n := 0
	for rest := b[headerLen:]; len(rest) > 0; n++ {
		if len(rest) < chunkHeaderLen || n == maxChunks {
			return dropMalformed
		}
		size := int(binary.BigEndian.Uint16(rest[2:]))
		if size < chunkHeaderLen || size > len(rest) {
			return dropMalformed
		}
		rest = rest[min(pad4(size), len(rest)):]
	}
	return dropNone
}

// chunks yields the chunks of a packet that has passed checkPacket.
func chunks(packet []byte) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		for rest := packet[headerLen:]; len(rest) >= chunkHeaderLen; {
			size := int(binary.BigEndian.Uint16(rest[2:]))
			c := chunk{rest[0], rest[1], rest[chunkHeaderLen:size:size], rest[:size:size]}
			if !yield(c) {
				return
			}
			rest = rest[min(pad4(size), len(rest)):]
		}
	}
}

// checkParams reports whether b is a list of whole parameters.
func checkParams(b []byte) bool {
	for len(b) > 0 {
		if len(b) < paramHeaderLen {
			return false
		}
		size := int(binary.BigEndian.Uint16(b[2:]))
		if size < paramHeaderLen || size > len(b) {
			return false
		}
		b = b[min(pad4(size), len(b)):]
	}
	return true
}

// params yields the parameters of a list that has passed checkParams.
func params(b []byte) iter.Seq[param] {
	return func(yield func(param) bool) {
		for len(b) >= paramHeaderLen {
			size := int(binary.BigEndian.Uint16(b[2:]))
			p := param{binary.BigEndian.Uint16(b), b[paramHeaderLen:size:size], b[:size:size]}
			if !yield(p) {
				return
			}
			b = b[min(pad4(size), len(b)):]
		}
	}
}

// firstParam returns the first parameter of a list. It is zero if there is none, or if
// one of them is malformed.
func firstParam(b []byte) (first param) {
	if checkParams(b) {
		for first = range params(b) {
			break
		}
	}
	return first
}

// appendHeader begins a packet.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-8.5
func (a *Assoc) appendHeader(b []byte, tag uint32) []byte {
	b = binary.BigEndian.AppendUint16(b, a.config.LocalPort)
	b = binary.BigEndian.AppendUint16(b, a.config.RemotePort)
	b = binary.BigEndian.AppendUint32(b, tag)
	return append(b, 0, 0, 0, 0)
}

// finishPacket writes the checksum of the packet that begins at start.
func finishPacket(b []byte, start int) []byte {
	packet := b[start:]
	binary.LittleEndian.PutUint32(packet[offsetChecksum:], checksum(packet))
	return b
}

// appendChunk begins a chunk; finishTLV ends it.
func appendChunk(b []byte, kind, flags byte) []byte {
	return append(b, kind, flags, 0, 0)
}

// appendParam begins a parameter or an error cause; finishTLV ends it.
func appendParam(b []byte, kind uint16) []byte {
	return append(b, byte(kind>>8), byte(kind), 0, 0)
}

// finishTLV writes the length of the chunk, parameter or cause that begins at
// start, and pads it. See finishChunk for a chunk that ends with a parameter.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.2.1
func finishTLV(b []byte, start int) []byte {
	n := len(b) - start
	binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	var zero [3]byte
	return append(b, zero[:pad4(n)-n]...)
}

// finishChunk writes the length of the chunk that begins at start. last is where its
// last parameter or cause begins, which is finished: its padding is the padding of the
// chunk, and does not count in the length.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.2
func finishChunk(b []byte, start, last int) []byte {
	n := last - start + int(binary.BigEndian.Uint16(b[last+2:]))
	binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	return b
}

// pad4 rounds n up to a multiple of four.
func pad4(n int) int { return (n + 3) &^ 3 }
