package wiretap

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/godwit-rtc/godwit/dtls"
)

// Names of the packets on the wire.
var (
	stunNames = map[uint16]string{0x0001: "check", 0x0101: "answer", 0x0111: "error", 0x0011: "indication"}

	handshakeNames = map[byte]string{
		1: "ClientHello", 2: "ServerHello", 3: "HelloVerifyRequest", 11: "Certificate", 12: "ServerKeyExchange",
		13: "CertificateRequest", 14: "ServerHelloDone", 15: "CertificateVerify", 16: "ClientKeyExchange", 20: "Finished",
	}

	chunkNames = map[byte]string{
		0: "DATA", 1: "INIT", 2: "INIT-ACK", 3: "SACK", 4: "HEARTBEAT", 5: "HEARTBEAT-ACK", 6: "ABORT", 7: "SHUTDOWN",
		8: "SHUTDOWN-ACK", 9: "ERROR", 10: "COOKIE-ECHO", 11: "COOKIE-ACK", 14: "SHUTDOWN-COMPLETE",
		130: "RE-CONFIG", 192: "FORWARD-TSN",
	}
)

func nameOf[K comparable](names map[K]string, k K) string {
	if s, ok := names[k]; ok {
		return s
	}
	return fmt.Sprint(k)
}

// Describe returns a short description of a datagram.
func Describe(d Datagram, records []Record) string {
	if len(d.B) >= 20 && d.B[0] < 4 {
		return "STUN " + describeSTUN(d.B)
	}
	var s []string
	for _, r := range records {
		s = append(s, describeRecord(r))
	}
	return strings.Join(s, " ")
}

// describeSTUN returns the kind, the transaction, and a nomination.
func describeSTUN(b []byte) string {
	s := fmt.Sprintf("%s %x", nameOf(stunNames, binary.BigEndian.Uint16(b)), b[8:11])
	for rest := b[20:]; len(rest) >= 4; {
		const useCandidate = 0x0025
		if binary.BigEndian.Uint16(rest) == useCandidate {
			s += " USE-CANDIDATE"
		}
		n := 4 + (int(binary.BigEndian.Uint16(rest[2:]))+3)&^3
		rest = rest[min(n, len(rest)):]
	}
	return s
}

func describeRecord(r Record) string {
	at := fmt.Sprintf("%d/%d ", r.Epoch, r.Number)
	switch {
	case r.Plain == nil:
		return at + fmt.Sprintf("(type %d, again or sealed)", r.Type)
	case r.Type == dtls.TypeHandshake && len(r.Plain) >= fragmentLen:
		return at + nameOf(handshakeNames, r.Plain[0])
	case r.Type == dtls.TypeApplicationData:
		return at + DescribeSCTP(r.Plain)
	case r.Type == dtls.TypeAlert:
		return at + fmt.Sprintf("alert %v", r.Plain)
	case r.Type == dtls.TypeChangeCipherSpec:
		return at + "ChangeCipherSpec"
	}
	return at + fmt.Sprintf("type %d", r.Type)
}

// DescribeSCTP returns a description of the chunks of a packet.
func DescribeSCTP(b []byte) string {
	var s []string
	for kind, value := range Chunks(b) {
		text := ChunkName(kind)
		switch {
		case kind == 0 && len(value) >= 12:
			text += fmt.Sprintf("(tsn %d stream %d ppid %d)",
				binary.BigEndian.Uint32(value), binary.BigEndian.Uint16(value[4:]), binary.BigEndian.Uint32(value[8:]))
		case kind == 3 && len(value) >= 12:
			text += describeSACK(value)
		case kind == 192 && len(value) >= 4:
			text += fmt.Sprintf("(%d)", binary.BigEndian.Uint32(value))
		}
		s = append(s, text)
	}
	return "[" + strings.Join(s, " ") + "]"
}

// describeSACK returns the acknowledged TSN and the gaps.
func describeSACK(v []byte) string {
	cum := binary.BigEndian.Uint32(v)
	s := fmt.Sprintf("(%d", cum)
	gaps, duplicates := binary.BigEndian.Uint16(v[8:]), binary.BigEndian.Uint16(v[10:])
	for v = v[12:]; gaps > 0 && len(v) >= 4; gaps, v = gaps-1, v[4:] {
		s += fmt.Sprintf(" %d-%d", cum+uint32(binary.BigEndian.Uint16(v)), cum+uint32(binary.BigEndian.Uint16(v[2:])))
	}
	if duplicates > 0 {
		s += fmt.Sprintf(", %d duplicates", duplicates)
	}
	return s + ")"
}

// ChunkName returns the name of a chunk type.
func ChunkName(kind byte) string { return nameOf(chunkNames, kind) }

// Chunks yields the type and the value of each chunk of an SCTP packet.
func Chunks(b []byte) func(yield func(kind byte, value []byte) bool) {
	return func(yield func(byte, []byte) bool) {
		for rest := b[min(12, len(b)):]; len(rest) >= 4; {
			n := int(binary.BigEndian.Uint16(rest[2:]))
			if n < 4 || n > len(rest) || !yield(rest[0], rest[4:n]) {
				return
			}
			rest = rest[min((n+3)&^3, len(rest)):]
		}
	}
}
