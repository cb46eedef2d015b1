package dtls

import (
	"encoding/binary"
	"iter"
)

// ContentType says what a record carries.
type ContentType uint8

// Content types. https://www.rfc-editor.org/rfc/rfc5246.html#section-6.2.1
const (
	TypeChangeCipherSpec ContentType = 20
	TypeAlert            ContentType = 21
	TypeHandshake        ContentType = 22
	TypeApplicationData  ContentType = 23
)

// Record header, 13 bytes. https://www.rfc-editor.org/rfc/rfc6347.html#section-4.1
//
//	type(1) version(2) epoch(2) sequence_number(6) length(2) fragment
const (
	headerLen    = 13
	offVersion   = 1
	offEpoch     = 3
	offNumber    = 5
	offLength    = 11
	majorVersion = 0xfe
	version12    = 0xfefd
	version10    = 0xfeff // a ClientHello may still carry it in the record header
	maxNumber    = 1<<48 - 1

	// "The length MUST NOT exceed 2^14." The ciphertext may have 2,048 bytes more.
	// https://www.rfc-editor.org/rfc/rfc5246.html#section-6.2.1
	// https://www.rfc-editor.org/rfc/rfc5246.html#section-6.2.3
	maxPlaintext  = 1 << 14
	maxCiphertext = maxPlaintext + 2048
)

// A Record is one record of a datagram. It is encrypted if its epoch is not 0.
type Record struct {
	Type   ContentType
	Epoch  uint16
	Number uint64 // 48 bits, counted per epoch
	Raw    []byte // header and fragment, a view of the datagram
}

// Body returns the record without its header.
func (r Record) Body() []byte { return r.Raw[headerLen:] }

// The first bytes of DTLS, among the protocols that share a port.
// https://www.rfc-editor.org/rfc/rfc7983.html#section-7
const (
	firstByteMin = 20
	firstByteMax = 63
)

// IsDTLS reports whether the first byte of b is that of DTLS, and not of STUN or media.
func IsDTLS(b []byte) bool {
	return len(b) > 0 && b[0] >= firstByteMin && b[0] <= firstByteMax
}

// Records yields the records of a datagram in order. It stops before the first
// malformed one, which is shorter than its header says, or has another version.
func Records(b []byte) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for {
			r, drop := parseRecord(b)
			if drop != DropNone || !yield(r) {
				return
			}
			b = b[len(r.Raw):]
		}
	}
}

// parseRecord reads the first record of b.
func parseRecord(b []byte) (Record, Drop) {
	if len(b) < headerLen {
		return Record{}, dropMalformed
	}
	// type(1) version(2) epoch(2) sequence_number(6) length(2)
	if v := binary.BigEndian.Uint16(b[offVersion:]); v != version12 && v != version10 {
		return Record{}, dropVersion
	}
	n := int(binary.BigEndian.Uint16(b[offLength:]))
	if n > maxCiphertext || headerLen+n > len(b) {
		return Record{}, dropMalformed
	}
	return Record{
		Type:   ContentType(b[0]),
		Epoch:  binary.BigEndian.Uint16(b[offEpoch:]),
		Number: recordNumber(b),
		Raw:    b[: headerLen+n : headerLen+n],
	}, DropNone
}

// recordNumber reads the 48-bit number of the record at b.
func recordNumber(b []byte) uint64 {
	return binary.BigEndian.Uint64(b[offEpoch:]) & maxNumber
}

// putRecordNumber writes epoch and number into the header of the record at b.
func putRecordNumber(b []byte, epoch uint16, number uint64) {
	binary.BigEndian.PutUint64(b[offEpoch:], uint64(epoch)<<48|number)
}
