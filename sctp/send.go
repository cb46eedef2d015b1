package sctp

import (
	"encoding/binary"
	"time"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// AppendMessage appends a packet with a message to b, and with the pending SACK if both
// fit. The message is sent once, whole and unordered. A stream without a channel counts
// as a negotiated channel. The errors are ErrTooLarge, ErrNotOpen and ErrClosed; then b
// has no new packet.
func (a *Assoc) AppendMessage(now time.Time, b []byte, stream uint16, k Kind, payload []byte) ([]byte, error) {
	start := len(b)
	b, err := a.beginMessage(b, stream, len(payload))
	if err != nil {
		return b, err
	}
	b = append(b, payload...)
	return a.finishMessage(a.since(now), b, start, stream, k), nil
}

// beginMessage begins a packet with a message of at most size bytes. The caller appends the
// message and then calls finishMessage.
func (a *Assoc) beginMessage(b []byte, stream uint16, size int) ([]byte, error) {
	switch {
	case a.state == stateClosed:
		return b, ErrClosed
	case a.state != stateEstablished || stream >= a.peer.in:
		return b, ErrNotOpen
	case size > MaxPayload:
		return b, ErrTooLarge
	}
	if ch := a.channel(stream); ch != nil && ch.state != channelOpen {
		return b, ErrNotOpen
	}
	limit := len(b) + MaxPacket - dataHeaderLen - pad4(max(size, 1))
	b = a.appendHeader(b, a.peer.tag)
	b = a.appendSackNow(b, limit)
	if a.ack.due {
		a.pend |= pendSack // the SACK did not fit; Append returns it next
	}
	return appendDataHeader(b, flagWhole|flagUnordered, 0, stream, 0, 0, 0), nil
}

// finishMessage ends the packet that beginMessage began at start.
func (a *Assoc) finishMessage(t time.Duration, b []byte, start int, stream uint16, k Kind) []byte {
	// The DATA chunk is after the header and the SACK, if there is one.
	c := start + headerLen
	if b[c] == chunkSack {
		c += int(binary.BigEndian.Uint16(b[c+2:]))
	}
	size := len(b) - c - dataHeaderLen
	ppid := uint32(ppidText)
	if k == Binary {
		ppid = ppidBinary
	}
	a.stats.MessagesOut++
	a.stats.BytesOut += uint64(size)
	if size == 0 {
		// SCTP has no empty messages: a zero byte and an identifier mean an empty one.
		// https://www.rfc-editor.org/rfc/rfc8831.html#section-6.6
		ppid += ppidTextEmpty - ppidText
		if k == Binary {
			ppid = ppidBinaryEmpty
		}
		b = append(b, 0)
	}
	binary.BigEndian.PutUint32(b[c+chunkHeaderLen:], a.assignTSN(t))
	binary.BigEndian.PutUint32(b[c+chunkHeaderLen+8:], ppid)
	return finishPacket(finishTLV(b, c), start)
}

// appendDataHeader appends a DATA chunk without its user data.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.1
func appendDataHeader(b []byte, flags byte, tsn uint32, stream, ssn uint16, ppid uint32, size int) []byte {
	b = append(b, chunkData, flags, 0, 0)
	binary.BigEndian.PutUint16(b[len(b)-2:], uint16(dataHeaderLen+size))
	b = binary.BigEndian.AppendUint32(b, tsn)
	b = binary.BigEndian.AppendUint16(b, stream)
	b = binary.BigEndian.AppendUint16(b, ssn)
	return binary.BigEndian.AppendUint32(b, ppid)
}

// assignTSN takes the next TSN for a chunk that is sent now.
func (a *Assoc) assignTSN(t time.Duration) uint32 {
	tsn := a.nextTSN
	a.nextTSN++
	a.marks.add(tsn, micros(t))
	if a.timers[timerT3] == 0 {
		a.timers[timerT3] = t + a.idleTimeout()
	}
	return tsn
}

// sampleRTT adds a measured round trip. It includes delays of the peer's acknowledgements:
// timers that are too long because of them are safe.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.3.1
func (a *Assoc) sampleRTT(d time.Duration) {
	d = max(d, time.Microsecond)
	if a.rtt == 0 {
		a.rtt = d
		return
	}
	a.rtt += (d - a.rtt) / 8
}

// Limits of the ring of marks.
const (
	minMarks  = 8
	keepMarks = 32 // a larger ring is freed when it is empty
	maxMarks  = 2048
)

// A mark says when a TSN was sent. TSNs before it without a mark were sent at the same time.
type mark struct {
	tsn uint32
	at  uint32 // microseconds, wraps after 71 minutes
}

// marks are the send times of the TSNs that are not acknowledged: one mark for each
// time, oldest first. Beyond maxMarks the oldest mark is merged into the next one, so
// its TSNs seem younger than they are.
type marks struct {
	ring []mark // its length is a power of two
	head int
	n    int
}

func (m *marks) at(i int) *mark { return &m.ring[(m.head+i)&(len(m.ring)-1)] }

// add notes that tsn is sent now.
func (m *marks) add(tsn, now uint32) {
	if m.n > 0 {
		if last := m.at(m.n - 1); last.at == now {
			last.tsn = tsn
			return
		}
	}
	switch {
	case m.n < len(m.ring):
	case m.n < maxMarks:
		grown := make([]mark, max(2*m.n, minMarks))
		for i := range m.n {
			grown[i] = *m.at(i)
		}
		m.ring, m.head = grown, 0
	default:
		m.head++
		m.n--
	}
	m.n++
	*m.at(m.n - 1) = mark{tsn, now}
}

// removeUpTo removes the marks up to tsn.
func (m *marks) removeUpTo(tsn uint32) {
	for m.n > 0 && seq.LessEq(m.at(0).tsn, tsn) {
		m.head = (m.head + 1) & (len(m.ring) - 1)
		m.n--
	}
	if m.n == 0 && len(m.ring) > keepMarks {
		*m = marks{}
	}
}

// sent returns when tsn was sent, or the last one before it that has a mark.
func (m *marks) sent(tsn uint32) (at uint32, ok bool) {
	lo, hi := 0, m.n // the first mark after tsn is in [lo, hi]
	for lo < hi {
		if mid := (lo + hi) / 2; seq.LessEq(m.at(mid).tsn, tsn) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return 0, false
	}
	return m.at(lo - 1).at, true
}

// before returns the last TSN sent at or before a time.
func (m *marks) before(at uint32) (tsn uint32, ok bool) {
	lo, hi := 0, m.n
	for lo < hi {
		if mid := (lo + hi) / 2; int32(at-m.at(mid).at) >= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return 0, false
	}
	return m.at(lo - 1).tsn, true
}

// micros returns a time in the form of mark.at.
func micros(t time.Duration) uint32 { return uint32(t / time.Microsecond) }

// microsSince returns the time from mark.at to now.
func microsSince(now time.Duration, at uint32) time.Duration {
	return time.Duration(micros(now)-at) * time.Microsecond
}
