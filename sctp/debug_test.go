package sctp

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// debugPacket describes a packet in one line, chunk by chunk.
func debugPacket(b []byte) string {
	if r := checkPacket(b); r != dropNone {
		return "bad packet: " + r.String()
	}
	var s []string
	for c := range chunks(b) {
		s = append(s, debugChunk(c))
	}
	return strings.Join(s, " ")
}

// debugChunk describes a chunk.
func debugChunk(c chunk) string {
	u16, u32 := binary.BigEndian.Uint16, binary.BigEndian.Uint32
	v := c.value
	switch {
	case c.kind == chunkData && len(v) >= 12:
		return fmt.Sprintf("DATA(tsn=%d stream=%d ssn=%d ppid=%d flags=%d %q)", u32(v), u16(v[4:]), u16(v[6:]), u32(v[8:]), c.flags, v[12:])
	case c.kind == chunkSack && len(v) >= 12:
		s := fmt.Sprintf("SACK(cum=%d", u32(v))
		gaps, rest := int(u16(v[8:])), v[12:]
		for ; gaps > 0 && len(rest) >= 4; gaps, rest = gaps-1, rest[4:] {
			s += fmt.Sprintf(" gap=%d-%d", u32(v)+uint32(u16(rest)), u32(v)+uint32(u16(rest[2:])))
		}
		for ; len(rest) >= 4; rest = rest[4:] {
			s += fmt.Sprintf(" dup=%d", u32(rest))
		}
		return s + ")"
	case c.kind == chunkForwardTSN && len(v) >= 4:
		return fmt.Sprintf("FORWARD-TSN(%d)", u32(v))
	case c.kind == chunkReconfig && checkParams(v):
		return debugReconfig(v)
	}
	names := map[byte]string{
		chunkInit: "INIT", chunkInitAck: "INIT-ACK", chunkCookieEcho: "COOKIE-ECHO", chunkCookieAck: "COOKIE-ACK",
		chunkHeartbeat: "HEARTBEAT", chunkHeartbeatAck: "HEARTBEAT-ACK", chunkAbort: "ABORT", chunkError: "ERROR",
		chunkShutdown: "SHUTDOWN", chunkShutdownAck: "SHUTDOWN-ACK", chunkShutdownComplete: "SHUTDOWN-COMPLETE",
	}
	if s, ok := names[c.kind]; ok {
		return s
	}
	return fmt.Sprintf("chunk(%d %x)", c.kind, v)
}

// debugReconfig describes the parameters of a RE-CONFIG chunk.
func debugReconfig(v []byte) string {
	var s []string
	for p := range params(v) {
		switch {
		case p.kind == paramOutgoingReset && len(p.value) >= outgoingResetLen:
			d := fmt.Sprintf("RESET(%d last=%d", binary.BigEndian.Uint32(p.value), binary.BigEndian.Uint32(p.value[8:]))
			for l := p.value[outgoingResetLen:]; len(l) >= 2; l = l[2:] {
				d += fmt.Sprintf(" stream=%d", binary.BigEndian.Uint16(l))
			}
			s = append(s, d+")")
		case p.kind == paramResetResponse && len(p.value) >= responseLen:
			s = append(s, fmt.Sprintf("RESET-RESPONSE(%d result=%d)", binary.BigEndian.Uint32(p.value), binary.BigEndian.Uint32(p.value[4:])))
		default:
			s = append(s, fmt.Sprintf("param(%d)", p.kind))
		}
	}
	return strings.Join(s, " ")
}
