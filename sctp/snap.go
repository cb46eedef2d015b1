package sctp

import (
	"cmp"
	"encoding/binary"
	"time"
)

// SNAP replaces the handshake: both ends exchange their INIT chunks outside of the
// association, in the attribute a=sctp-init of an offer and its answer, and count the
// association as established when DTLS is.
// https://datatracker.ietf.org/doc/html/draft-hancke-tsvwg-snap-00

// maxInit is the size in bytes of the largest INIT chunk that ParseInit accepts. That of
// Chromium has 40.
const maxInit = 512

// An Init has what an association uses of the INIT of its peer. The zero Init is that of no
// peer.
type Init struct{ peer endpoint }

// ParseInit reads an INIT chunk that was exchanged outside of the association: one chunk of at
// most 512 bytes, with its header. It checks the chunk like an INIT of a packet, and returns
// false for an INIT that cannot be used. An INIT without FORWARD-TSN cannot be used, because
// messages of this end may be lost.
func ParseInit(b []byte) (Init, bool) {
	if len(b) < chunkHeaderLen || len(b) > maxInit || b[0] != chunkInit {
		return Init{}, false
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	if size < chunkHeaderLen || size > len(b) || pad4(size) < len(b) {
		return Init{}, false
	}
	i, ok := parseInit(b[chunkHeaderLen:size])
	if !ok || !i.forward {
		return Init{}, false
	}
	return Init{i.endpoint}, true
}

// AppendInit appends the INIT chunk of an association whose Config has this LocalTag and this
// InitialTSN. The chunk has 32 bytes, and all others of them are constant.
func AppendInit(b []byte, localTag, initialTSN uint32) []byte {
	start := len(b)
	b, last := appendInitFields(appendChunk(b, chunkInit, 0), cmp.Or(localTag, 1), initialTSN)
	return finishChunk(b, start, last)
}

// AppendInit appends the INIT chunk of the association.
func (a *Assoc) AppendInit(b []byte) []byte {
	return AppendInit(b, a.config.LocalTag, a.config.InitialTSN)
}

// Establish establishes the association with the INIT of the peer, without a handshake. Call
// it when the DTLS handshake is over, if the peer has got the INIT of this end and does the
// same. It does nothing if the association has begun already, or if i is the zero Init. The
// DTLS server sends a HEARTBEAT: the answer shows that its last flight has arrived; see Heard.
//
// If the peer sends an INIT nevertheless, because it did not get the INIT of this end, the
// handshake takes place. Messages sent before its end are lost, and there is no further event.
func (a *Assoc) Establish(now time.Time, i Init, events []Event) []Event {
	if a.state != stateIdle || i == (Init{}) {
		return events
	}
	a.peer = i.peer
	a.unheard = true
	if !a.config.EvenStreams {
		a.pend |= pendHeartbeat
	}
	return a.establish(a.since(now), events)
}

// Heard reports whether the association is established and the peer has shown that it is
// established there, too. After a handshake this is always so; after Establish when a chunk
// has arrived that is not one of a handshake.
func (a *Assoc) Heard() bool { return a.state == stateEstablished && !a.unheard }
